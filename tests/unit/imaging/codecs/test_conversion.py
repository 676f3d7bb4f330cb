"""Frames of every kind in every target syntax. The samples stay the same, for this service and for pydicom."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.pixels.utils import pixel_array

from app.errors import ImageFailure
from app.imaging.codecs import conversion
from app.imaging.codecs.syntaxes import SYNTAXES, check_target
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import EncodedFrame
from tests.support.images import KINDS, ImageKind, description_of, make_compressed, native_frame, samples_of
from tests.support.instances import EXPLICIT_LITTLE

RLE = "1.2.840.10008.1.2.5"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
HTJ2K = "1.2.840.10008.1.2.4.201"
TARGETS = (RLE, JPEG_LS, JPEG_2000, HTJ2K)


def _accepted(name: str, target: str) -> bool:
    try:
        check_target(description_of(KINDS[name]), target)
    except ImageFailure:
        return False
    return True


PAIRS = [(name, target) for name in KINDS for target in TARGETS if _accepted(name, target)]


def _encoded(kind: ImageKind, target: str, frame: int = 0) -> tuple[EncodedFrame, PixelDescription]:
    """Return a frame of a kind in the target syntax, and the description of the result."""
    description = description_of(kind)
    encoded = conversion.transcode(description, native_frame(kind, samples_of(kind, frame)), target)
    high_bit = description.bits_stored - 1
    found = replace(description, photometric=encoded.photometric, planar=encoded.planar, high_bit=high_bit)
    return encoded, found.stored_as(target)


@pytest.mark.parametrize(("name", "target"), PAIRS)
def test_an_encoded_frame_is_decoded_to_the_same_samples(name: str, target: str) -> None:
    kind = KINDS[name]
    for frame in range(kind.frames):
        encoded, description = _encoded(kind, target, frame)
        decoded = conversion.decode(description, encoded.data)
        np.testing.assert_array_equal(decoded.samples, samples_of(kind, frame))
        assert decoded.samples.dtype == samples_of(kind).dtype
        assert decoded.photometric == ("YBR_FULL" if kind.photometric == "YBR_FULL_422" else kind.photometric)
        assert not encoded.lossy


@pytest.mark.parametrize(("name", "target"), PAIRS)
def test_pydicom_decodes_the_same_samples(name: str, target: str) -> None:
    kind = KINDS[name]
    if kind.photometric == "CMYK":
        pytest.skip("pydicom reads no images with four samples per pixel")
    if target == JPEG_2000 and kind.bits_allocated == 32:
        pytest.importorskip("openjpeg", reason="Pillow reads JPEG 2000 up to 16 bits")
    encoded, description = _encoded(kind, target)
    stored = replace(kind, photometric=description.photometric, planar=0, high_bit=0, frames=1)
    read = dcmread(BytesIO(make_compressed(stored, [encoded.data], target)))
    np.testing.assert_array_equal(pixel_array(read, raw=True), samples_of(kind))


def test_what_each_target_refuses() -> None:
    refused = {name: [target.rpartition(".")[2] for target in TARGETS if not _accepted(name, target)] for name in KINDS}
    assert {name: targets for name, targets in refused.items() if targets} == {
        "32 bit": ["80", "90", "201"],
        "32 bit signed": ["80", "90", "201"],
        "20 of 32 bit": ["80", "201"],
        "64 bit": ["80", "90", "201"],
        "1 bit": ["5", "80", "90", "201"],
        "1 bit odd, 3 frames": ["5", "80", "90", "201"],
        "float": ["5", "80", "90", "201"],
        "double": ["5", "80", "90", "201"],
        "RGB 32 bit": ["80", "90", "201"],
        "CMYK": ["80", "90", "201"],
    }


def test_the_text_of_a_refusal_names_the_syntax_and_the_samples() -> None:
    with pytest.raises(ImageFailure, match="JPEG 2000 Lossless holds no samples of 1 bits"):
        check_target(description_of(KINDS["1 bit"]), JPEG_2000)
    with pytest.raises(ImageFailure, match=r"Frames cannot be encoded in the transfer syntax 1\.2\.3"):
        check_target(description_of(KINDS["16 bit"]), "1.2.3")
    with pytest.raises(ImageFailure, match=r"Frames of the transfer syntax 1\.2\.3 cannot be decoded"):
        check_target(description_of(KINDS["16 bit"], "1.2.3"), EXPLICIT_LITTLE)


@pytest.mark.parametrize(
    ("target", "photometric"), [(JPEG_2000, "YBR_RCT"), (HTJ2K, "YBR_RCT"), (JPEG_LS, "RGB"), (RLE, "RGB")]
)
def test_the_photometric_interpretation_of_rgb_after_encoding(target: str, photometric: str) -> None:
    assert _encoded(KINDS["RGB"], target)[0].photometric == photometric


def test_ybr_partial_422_is_not_encoded() -> None:
    description = replace(description_of(KINDS["YBR_FULL_422"]), photometric="YBR_PARTIAL_422")
    with pytest.raises(ImageFailure, match="There is no photometric interpretation for decoded YBR_PARTIAL_422 pixels"):
        check_target(description, RLE)
    check_target(description, EXPLICIT_LITTLE)


@pytest.mark.parametrize("target", TARGETS)
def test_ybr_full_is_not_transformed(target: str) -> None:
    assert _encoded(KINDS["YBR_FULL_422"], target)[0].photometric == "YBR_FULL"


def test_every_syntax_has_a_decoder_and_every_target_an_encoder() -> None:
    assert conversion.DECODERS.keys() == SYNTAXES.keys()
    assert conversion.ENCODERS.keys() == {uid for uid, row in SYNTAXES.items() if row.native or row.encoding}
