"""Generated images as Part 10 bytes: every kind of samples that the Image Pixel module allows (PS3.3 C.7.6.3).

`KINDS` names the kinds, and `make_image` makes an instance of one. Its samples are the same in each run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.frames import frame_table
from app.dicom.encoding.part10 import DOUBLE_FLOAT_PIXEL_DATA, FLOAT_PIXEL_DATA, PIXEL_DATA, inflated, parse
from app.dicom.encoding.transcode import swapped
from app.imaging.pixels.description import PixelDescription
from tests.support.instances import EXPLICIT_LITTLE, encapsulated, make_instance

SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageKind:
    """A kind of images. `shape` of a frame is (rows, columns) or (rows, columns, samples)."""

    shape: tuple[int, ...] = (16, 20)
    bits_allocated: int = 16
    bits_stored: int = 0
    high_bit: int = 0
    signed: bool = False
    floating: bool = False
    photometric: str = "MONOCHROME2"
    planar: int = 0
    frames: int = 1
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stored(self) -> int:
        """Return Bits Stored."""
        return self.bits_stored or self.bits_allocated


def _palette() -> dict[str, Any]:
    ramp = np.arange(256, dtype="<u2") * 257
    tables = {"Red": ramp, "Green": ramp[::-1], "Blue": np.roll(ramp, 64)}
    found: dict[str, Any] = {}
    for colour, table in tables.items():
        found[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        found[f"{colour}PaletteColorLookupTableData"] = table.tobytes()
    return found


_TAGS: Final = {
    "PixelData": PIXEL_DATA,
    "FloatPixelData": FLOAT_PIXEL_DATA,
    "DoubleFloatPixelData": DOUBLE_FLOAT_PIXEL_DATA,
}
_ODD: Final = (7, 5)
_RGB: Final = (12, 10, 3)
KINDS: Final[Mapping[str, ImageKind]] = MappingProxyType(
    {
        "8 bit": ImageKind(bits_allocated=8),
        "8 bit signed": ImageKind(bits_allocated=8, signed=True),
        "8 bit odd": ImageKind(bits_allocated=8, shape=_ODD),
        "10 of 16 bit": ImageKind(bits_stored=10),
        "12 of 16 bit": ImageKind(bits_stored=12),
        "12 of 16 bit signed": ImageKind(bits_stored=12, signed=True),
        "12 of 16 bit, high bit 15": ImageKind(bits_stored=12, high_bit=15),
        "12 of 16 bit signed, high bit 13": ImageKind(bits_stored=12, high_bit=13, signed=True),
        "16 bit": ImageKind(),
        "16 bit signed": ImageKind(signed=True),
        "16 bit odd": ImageKind(shape=_ODD),
        "16 bit, 3 frames": ImageKind(frames=3),
        "16 bit signed odd, 3 frames": ImageKind(signed=True, shape=_ODD, frames=3),
        "MONOCHROME1": ImageKind(bits_stored=12, photometric="MONOCHROME1"),
        "32 bit": ImageKind(bits_allocated=32),
        "32 bit signed": ImageKind(bits_allocated=32, signed=True),
        "20 of 32 bit": ImageKind(bits_allocated=32, bits_stored=20),
        "64 bit": ImageKind(bits_allocated=64),
        "1 bit": ImageKind(bits_allocated=1),
        "1 bit odd, 3 frames": ImageKind(bits_allocated=1, shape=_ODD, frames=3),
        "float": ImageKind(bits_allocated=32, floating=True),
        "double": ImageKind(bits_allocated=64, floating=True),
        "RGB": ImageKind(bits_allocated=8, shape=_RGB, photometric="RGB"),
        "RGB planar": ImageKind(bits_allocated=8, shape=_RGB, photometric="RGB", planar=1),
        "RGB odd, 3 frames": ImageKind(bits_allocated=8, shape=(7, 5, 3), photometric="RGB", frames=3),
        "RGB planar odd, 3 frames": ImageKind(bits_allocated=8, shape=(7, 5, 3), photometric="RGB", planar=1, frames=3),
        "RGB 16 bit": ImageKind(shape=_RGB, photometric="RGB"),
        "RGB 12 of 16 bit planar": ImageKind(shape=_RGB, photometric="RGB", bits_stored=12, planar=1),
        "RGB 32 bit": ImageKind(bits_allocated=32, shape=_RGB, photometric="RGB"),
        "YBR_FULL": ImageKind(bits_allocated=8, shape=_RGB, photometric="YBR_FULL"),
        "YBR_FULL_422": ImageKind(bits_allocated=8, shape=_RGB, photometric="YBR_FULL_422"),
        "CMYK": ImageKind(bits_allocated=8, shape=(12, 10, 4), photometric="CMYK"),
        "palette": ImageKind(bits_allocated=8, photometric="PALETTE COLOR", attributes=_palette()),
        "palette 16 bit": ImageKind(bits_stored=8, photometric="PALETTE COLOR", attributes=_palette()),
    }
)
"""The kinds of images, by name."""


def samples_of(kind: ImageKind, frame: int = 0) -> NDArray[Any]:
    """Return the samples of frame `frame`, from 0: a smooth image with noise that uses all of Bits Stored.

    YBR_FULL_422: two pixels in a row have the same colour samples.
    """
    noise = np.random.default_rng([frame, *kind.shape, kind.bits_allocated])
    rows, columns = np.mgrid[: kind.shape[0], : kind.shape[1]]
    smooth = (np.sin(rows / 5) * np.cos(columns / 7) + 1) / 2
    if len(kind.shape) == 3:
        smooth = np.stack([np.roll(smooth, plane, axis=1) for plane in range(kind.shape[2])], axis=-1)
    values = np.clip(smooth * 0.9 + noise.random(kind.shape) * 0.1, 0, 1)
    values.flat[0], values.flat[-1] = 0, 1
    if kind.floating:
        return np.asarray(values * 200 - 100, f"<f{kind.bits_allocated // 8}")
    whole = np.minimum(values * 2.0**kind.stored, 2.0**kind.stored - max(1, 2 ** (kind.stored - 52)))
    samples = whole.astype(np.uint64)
    if kind.photometric == "YBR_FULL_422":
        samples[:, 1::2, 1:] = samples[:, ::2, 1:]
    width = max(kind.bits_allocated, 8) // 8
    if not kind.signed:
        return np.asarray(samples, f"<u{width}")
    return np.asarray(samples.astype(np.int64) - (1 << (kind.stored - 1)), f"<i{width}")


def native_frame(kind: ImageKind, samples: NDArray[Any]) -> bytes:
    """Return samples as a native frame of Explicit VR Little Endian. Bits that no sample uses are 0."""
    if kind.bits_allocated == 1:
        return np.packbits(samples.reshape(-1), bitorder="little").tobytes()
    if kind.photometric == "YBR_FULL_422":
        pairs = samples.reshape(-1, 2, 3)
        return np.concatenate([pairs[:, :, 0], pairs[:, 0, 1:]], axis=1).tobytes()
    if kind.planar:
        samples = np.moveaxis(samples, -1, 0)
    if kind.floating or kind.stored == kind.bits_allocated:
        return np.ascontiguousarray(samples).tobytes()
    unsigned = np.ascontiguousarray(samples).view(f"<u{samples.dtype.itemsize}")
    kept = unsigned & unsigned.dtype.type((1 << kind.stored) - 1)
    placed: NDArray[Any] = kept << ((kind.high_bit or kind.stored - 1) - kind.stored + 1)
    return placed.tobytes()


def attributes_of(kind: ImageKind) -> dict[str, Any]:
    """Return the attributes of the Image Pixel module, by keyword, without the pixels."""
    found: dict[str, Any] = {
        "SOPClassUID": SECONDARY_CAPTURE,
        "Modality": "OT",
        "Rows": kind.shape[0],
        "Columns": kind.shape[1],
        "SamplesPerPixel": kind.shape[2] if len(kind.shape) == 3 else 1,
        "PhotometricInterpretation": kind.photometric,
        "BitsAllocated": kind.bits_allocated,
    }
    if not kind.floating:
        found |= {
            "BitsStored": kind.stored,
            "HighBit": kind.high_bit or kind.stored - 1,
            "PixelRepresentation": int(kind.signed),
        }
    if len(kind.shape) == 3:
        found["PlanarConfiguration"] = kind.planar
    if kind.frames > 1:
        found["NumberOfFrames"] = str(kind.frames)
    return found | dict(kind.attributes)


def make_image(kind: ImageKind, **attributes: Any) -> bytes:
    """Return an instance of a kind as Part 10 bytes in Explicit VR Little Endian. `attributes` replace others."""
    frames = [samples_of(kind, number) for number in range(kind.frames)]
    if kind.bits_allocated == 1:
        data = native_frame(kind, np.stack(frames))  # frames of single bits are not aligned to bytes (PS3.5 §8.1.1)
    else:
        data = b"".join(native_frame(kind, samples) for samples in frames)
    pixels = {"pixel": False, _element(kind): data + b"\0" * (len(data) % 2)}
    return make_instance(**(attributes_of(kind) | pixels | attributes))


def make_compressed(kind: ImageKind, frames: list[bytes], transfer_syntax: str, **attributes: Any) -> bytes:
    """Return an instance of a kind as Part 10 bytes. `frames` are its frames, encoded in `transfer_syntax`."""
    return encapsulated(
        [[frame] for frame in frames], transfer_syntax=transfer_syntax, **(attributes_of(kind) | attributes)
    )


def description_of(kind: ImageKind, transfer_syntax: str = EXPLICIT_LITTLE) -> PixelDescription:
    """Return the description of an instance of a kind, read as the service reads it."""
    data = make_image(kind)
    reader = AttributeReader.of(data, parse(data))
    return PixelDescription.of(reader, transfer_syntax, _TAGS[_element(kind)])


def stored_frames(data: bytes) -> tuple[PixelDescription, list[bytes]]:
    """Return the description and the frames of a file, read as the service reads them: native ones in little endian."""
    part10 = parse(data)
    table = frame_table(data, part10)
    if table.deflated:
        data = bytes(inflated(data, part10.dataset_offset))
    frames = []
    for number in range(1, table.frames + 1):
        stored = b"".join(data[offset : offset + length] for offset, length in table.ranges(number))
        frames.append(table.cut(number, swapped(stored, table.word)))
    tag = part10.pixel_data.tag if part10.pixel_data else PIXEL_DATA
    reader = AttributeReader(data, part10.elements, little=part10.little)
    return PixelDescription.of(reader, part10.transfer_syntax.uid, tag), frames


def _element(kind: ImageKind) -> str:
    if not kind.floating:
        return "PixelData"
    return "FloatPixelData" if kind.bits_allocated == 32 else "DoubleFloatPixelData"
