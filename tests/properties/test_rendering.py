"""Attributes of any kind give a picture or an `ImageFailure`: no other exception, and no warning of numpy."""

from __future__ import annotations

import warnings
from struct import pack
from typing import Any, get_args

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.elements import RawElement, SequenceItem
from app.errors import ImageFailure
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import DecodedFrame
from app.imaging.rendering.icc_profiles import icc_profile
from app.imaging.rendering.parameters import ColourProfile, Window
from app.imaging.rendering.pipeline import RenderingPipeline
from tests.support.selection import thorough

NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    0.5,
    255,
    256,
    -1024,
    4095,
    32767,
    -32768,
    65535,
    1e-300,
    1e300,
    "1e999",
    "-1e999",
    "nan",
    "x",
)
TEXTS = ("INVERSE", "IDENTITY", "SIGMOID", "LINEAR_EXACT", "BINARY", "FRACTIONAL", "LABELMAP", "MIXED", "COLOR")
PHOTOMETRIC = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_RCT", "YBR_PARTIAL_420", "CMYK")
DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "f4", "f8")
DOSE = "1.2.840.10008.5.1.4.1.1.481.2"

SEQUENCES = {
    0x00283000: (0x00283002, 0x00283006),
    0x00283010: (0x00283002, 0x00283006),
    0x20500010: (0x00283002, 0x00283006),
    0x00480105: (0x00282000,),
    0x00620002: (0x00620004, 0x0062000D),
    0x00289145: (0x00281052, 0x00281053),
    0x00289132: (0x00281050, 0x00281051, 0x00281056),
    0x00289110: (0x00280030,),
    0x0062000A: (0x0062000B,),
}
"""The attributes in the items of each sequence."""
SEGMENTATION_TYPE = 0x00620001
GROUPS = (0x52009229, 0x52009230)
OVERLAYS = tuple(group | number for group in (0x60000000, 0x60020000)
                 for number in (0x10, 0x11, 0x15, 0x50, 0x51, 0x102, 0x3000))  # fmt: skip
PALETTE = (*range(0x00281101, 0x00281105), *range(0x00281201, 0x00281205), *range(0x00281221, 0x00281225))
ATTRIBUTES = (
    *(0x00080016, 0x00089205, 0x00181164, 0x00280030, 0x00280034, 0x00281050, 0x00281051, 0x00281052, 0x00281053),
    *(0x00281056, 0x00282000, SEGMENTATION_TYPE, 0x0062000E, 0x3004000E, 0x20500020, *range(0x00280120, 0x00280126)),
)


def element(tag: int, value: bytes, vr: str) -> RawElement:
    return RawElement(tag, vr, value, 0, len(value))


def texts() -> st.SearchStrategy[bytes]:
    whole = st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3).map(lambda parts: "\\".join(map(str, parts)))
    return st.one_of(whole, st.sampled_from((*TEXTS, DOSE))).map(str.encode)


def words(minimum: int = 0) -> st.SearchStrategy[bytes]:
    """Words such as descriptors and tables have them: often small numbers."""
    number = st.one_of(st.integers(0, 4), st.integers(0, 20), st.integers(0, 65535))
    return st.lists(number, min_size=minimum, max_size=12).map(lambda numbers: pack(f"<{len(numbers)}H", *numbers))


def elements(tag: int) -> st.SearchStrategy[RawElement]:
    return st.one_of(
        st.builds(element, st.just(tag), texts(), st.sampled_from(("DS", "IS", "CS", "UN"))),
        st.builds(element, st.just(tag), words(), st.sampled_from(("US", "SS", "OW", "OB", "FD", "FL", "UN"))),
        st.builds(element, st.just(tag), st.binary(max_size=40), st.sampled_from(("US", "OW", "DS", "FD"))),
        st.just(element(tag, icc_profile("adobergb")[:300], "OB")),
    )


def items(tags: tuple[int, ...]) -> st.SearchStrategy[SequenceItem]:
    return st.lists(st.sampled_from(tags), unique=True).flatmap(lambda chosen: st.tuples(*map(elements, chosen)))


def sequences(tag: int) -> st.SearchStrategy[RawElement]:
    if tag in GROUPS:
        macros = st.lists(st.sampled_from(tuple(SEQUENCES)), unique=True)
        nested = macros.flatmap(lambda tags: st.tuples(*map(sequences, tags)))
    else:
        nested = items(SEQUENCES[tag])
    return st.lists(nested, max_size=3).map(lambda found: RawElement(tag, "SQ", tuple(found), 0, 0))


def usual(tag: int) -> st.SearchStrategy[RawElement]:
    """Values that a palette, an overlay or a segmentation is likely to have, and now and then others."""
    if tag == SEGMENTATION_TYPE:
        likely = st.sampled_from((b"BINARY", b"FRACTIONAL", b"LABELMAP")).map(lambda text: element(tag, text, "CS"))
    elif tag & 0xFFFF == 0x0050:
        corners = st.tuples(st.integers(-3, 4), st.integers(-3, 4))
        likely = corners.map(lambda corner: element(tag, pack("<2h", *corner), "SS"))
    else:
        likely = st.builds(element, st.just(tag), words(3), st.just("OW"))
    return st.one_of(likely, likely, likely, elements(tag))


def attribute_readers() -> st.SearchStrategy[AttributeReader]:
    topic = st.sampled_from(((), PALETTE, OVERLAYS, (SEGMENTATION_TYPE,)))
    found = st.tuples(
        topic.flatmap(lambda tags: st.tuples(*map(usual, tags))),
        st.lists(st.sampled_from(ATTRIBUTES), unique=True, max_size=8).flatmap(
            lambda tags: st.tuples(*map(elements, tags))
        ),
        st.lists(st.sampled_from((*SEQUENCES, *GROUPS)), unique=True, max_size=4).flatmap(
            lambda tags: st.tuples(*map(sequences, tags))
        ),
    )
    return found.map(lambda parts: AttributeReader(b"", [*parts[1], *parts[0], *parts[2]]))


@st.composite
def frames(draw: st.DrawFn) -> tuple[DecodedFrame, PixelDescription, NDArray[Any]]:
    """A frame, its description and the words that are stored."""
    kind = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.sampled_from((1, 1, 1, 3, 4))))
    bits = kind.itemsize * 8
    stored = draw(st.integers(1, bits))
    description = PixelDescription(
        transfer_syntax="1.2.840.10008.1.2.1", rows=shape[0], columns=shape[1], samples=shape[2],
        photometric=draw(st.sampled_from(PHOTOMETRIC)), planar=False, bits_allocated=bits, bits_stored=stored,
        high_bit=draw(st.integers(stored - 1, bits - 1)), signed=kind.kind == "i", floating=kind.kind == "f",
    )  # fmt: skip
    data = draw(st.binary(min_size=int(np.prod(shape)) * kind.itemsize, max_size=int(np.prod(shape)) * kind.itemsize))
    whole = np.frombuffer(data, kind).reshape(shape if shape[2] > 1 else shape[:2])
    photometric = draw(st.sampled_from((description.photometric, "HSV")))
    return DecodedFrame(samples=whole, photometric=photometric), description, whole


@thorough
@settings(max_examples=150, deadline=None)
@given(
    frames(),
    attribute_readers(),
    st.integers(-1, 4),
    st.sampled_from((None, Window(1, 1), Window(-5, 0.1, "sigmoid"), Window(1e300, 1e-300))),
    st.sampled_from((None, *get_args(ColourProfile))),
    st.integers(1, 3),
)
def test_any_attributes_give_a_picture_or_an_image_failure(
    frame: tuple[DecodedFrame, PixelDescription, NDArray[Any]],
    attributes: AttributeReader,
    number: int,
    window: Window | None,
    profile: ColourProfile | None,
    step: int,
) -> None:
    decoded, description, stored = frame
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            pipeline = RenderingPipeline(attributes, description)
            pipeline.needs_window(number)
            if description.samples == 1:
                pipeline.automatic_window(decoded, number)
            picture = pipeline.render(
                decoded, number, window=window, icc_profile=profile, native_data=stored.tobytes(), step=step
            )
        except ImageFailure:
            return
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.shape[:2] == (-(-description.rows // step), -(-description.columns // step))
    assert picture.pixels.ndim == 2 or picture.pixels.shape[2] == 3
    height, width = picture.pixel_aspect
    assert 1 / 20 < height / width < 20
