"""The attributes that change when the pixels of an instance are transcoded (PS3.3 C.7.6.3, conformance §4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.frames import NUMBER_OF_FRAMES, PHOTOMETRIC_INTERPRETATION
from app.dicom.encoding.part10 import EXTENDED_OFFSET_TABLE, EXTENDED_OFFSET_TABLE_LENGTHS
from app.dicom.encoding.transcode import Changes
from app.dicom.encoding.uids import JPEG_BASELINE, JPEG_EXTENDED
from app.services.retrieve.image_headers import ImageHeader

if TYPE_CHECKING:
    from app.imaging.pixels.frame import EncodedFrame

_PLANAR_CONFIGURATION: Final = 0x00280006
_BITS_STORED: Final = 0x00280101
_HIGH_BIT: Final = 0x00280102
_LOSSY_IMAGE_COMPRESSION: Final = 0x00282110
_LOSSY_IMAGE_COMPRESSION_RATIO: Final = 0x00282112
_LOSSY_IMAGE_COMPRESSION_METHOD: Final = 0x00282114
_OVERLAY_GROUPS: Final = range(0x60000000, 0x60200000, 0x00020000)
_OVERLAY_BIT_POSITION: Final = 0x0102
_OVERLAY_DATA: Final = 0x3000

_ALWAYS_LOSSY: Final = {JPEG_BASELINE: "ISO_10918_1", JPEG_EXTENDED: "ISO_10918_1"}
"""Transfer syntaxes that always change samples -> Lossy Image Compression Method (PS3.3 C.7.6.1.1.5)."""

NewValues = dict[int, tuple[str, bytes] | None]


def result_attributes(header: ImageHeader, frame: EncodedFrame, *, stored_bytes: int) -> Changes:
    """Return the attributes of the result that differ from those stored.

    `frame` is one frame of the result. `stored_bytes` is the size of all frames as stored, if they are compressed.
    """
    described = header.description
    changes: NewValues = {
        PHOTOMETRIC_INTERPRETATION: ("CS", _even(frame.photometric)),
        _BITS_STORED: ("US", _unsigned(described.bits_stored)),
        _HIGH_BIT: ("US", _unsigned(described.bits_stored - 1)),
        EXTENDED_OFFSET_TABLE: None,
        EXTENDED_OFFSET_TABLE_LENGTHS: None,
        **_number_of_frames(header),
        **_lossy_history(header, stored_bytes),
    }
    if described.samples > 1:
        changes[_PLANAR_CONFIGURATION] = ("US", _unsigned(int(frame.planar)))
    return changes


def hides_overlay(attributes: AttributeReader) -> bool:
    """Return whether an overlay is in unused bits of the pixels (PS3.3 C.9.2). Encoding would lose it."""
    return any(
        attributes.integer(group | _OVERLAY_BIT_POSITION, 0) > 0 and group | _OVERLAY_DATA not in attributes
        for group in _OVERLAY_GROUPS
    )


def _number_of_frames(header: ImageHeader) -> NewValues:
    """Return Number of Frames if the file does not have the frames that it names."""
    count = header.frames.frames
    if header.attributes.integer(NUMBER_OF_FRAMES, 1) == count:
        return {}
    return {NUMBER_OF_FRAMES: ("IS", _even(str(count)))}


def _lossy_history(header: ImageHeader, stored_bytes: int) -> NewValues:
    """Return that the pixels were compressed with loss, if the file does not say it.

    Nothing else says it after they are decoded. What the file says is kept (PS3.3 C.7.6.1.1.5).
    """
    method = _ALWAYS_LOSSY.get(header.description.transfer_syntax)
    if method is None or header.attributes.text(_LOSSY_IMAGE_COMPRESSION) == "01":
        return {}
    described = header.description
    bits = described.rows * described.columns * described.samples * described.bits_allocated * header.frames.frames
    return {
        _LOSSY_IMAGE_COMPRESSION: ("CS", b"01"),
        _LOSSY_IMAGE_COMPRESSION_RATIO: ("DS", _even(f"{bits / 8 / max(1, stored_bytes):.3f}")),
        _LOSSY_IMAGE_COMPRESSION_METHOD: ("CS", _even(method)),
    }


def _even(text: str) -> bytes:
    return (text + " " * (len(text) % 2)).encode("ascii")


def _unsigned(number: int) -> bytes:
    return number.to_bytes(2, "little")
