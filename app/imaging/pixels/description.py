"""The description of the pixels of an instance: the Image Pixel module without the pixels (PS3.3 C.7.6.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from app.errors import ImageFailure

if TYPE_CHECKING:
    from app.dicom.encoding.attribute_reader import AttributeReader

# Nothing of `dicom` is imported here: a decoding process would load pydicom, which takes 200 ms and 28 MB.
PIXEL_DATA: Final = 0x7FE00010
FLOAT_PIXEL_DATA: Final = 0x7FE00008
DOUBLE_FLOAT_PIXEL_DATA: Final = 0x7FE00009

MAX_FRAME_SAMPLES: Final = 1 << 28
"""The largest number of samples in one frame that is decoded. It bounds memory and time (conformance §1.8)."""

_SAMPLES_PER_PIXEL: Final = 0x00280002
_PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
_PLANAR_CONFIGURATION: Final = 0x00280006
_ROWS: Final = 0x00280010
_COLUMNS: Final = 0x00280011
_BITS_ALLOCATED: Final = 0x00280100
_BITS_STORED: Final = 0x00280101
_HIGH_BIT: Final = 0x00280102
_PIXEL_REPRESENTATION: Final = 0x00280103

_CODE_CHARACTERS: Final = 16
"""The largest size of a value of VR CS (PS3.5 §6.2)."""
_BITS: Final = {PIXEL_DATA: (1, 8, 16, 32, 64), FLOAT_PIXEL_DATA: (32,), DOUBLE_FLOAT_PIXEL_DATA: (64,)}
"""The values of Bits Allocated that each element of pixel data may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelDescription:
    """How the samples of each frame of an instance are stored.

    `bits_stored` and `high_bit` are those of integer samples. `floating` means samples of Float Pixel Data (32 bits) or
    Double Float Pixel Data (64 bits). `planar`: each colour is a plane of its own (Planar Configuration 1).
    """

    transfer_syntax: str
    rows: int
    columns: int
    samples: int
    photometric: str
    planar: bool
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    floating: bool = False

    @classmethod
    def of(cls, attributes: AttributeReader, transfer_syntax: str, pixel_tag: int = PIXEL_DATA) -> PixelDescription:
        """Return the description from the attributes of an instance.

        A wrong Bits Stored or High Bit is replaced by the largest that Bits Allocated permits. Raises `ImageFailure`
        for an image that cannot be decoded whatever its pixels are.
        """
        bits = attributes.integer(_BITS_ALLOCATED, 0)
        stored = attributes.integer(_BITS_STORED, bits)
        stored = stored if 1 <= stored <= bits else bits
        high = attributes.integer(_HIGH_BIT, stored - 1)
        samples = attributes.integer(_SAMPLES_PER_PIXEL, 1)
        found = cls(
            transfer_syntax=transfer_syntax,
            rows=attributes.integer(_ROWS, 0),
            columns=attributes.integer(_COLUMNS, 0),
            samples=samples,
            photometric=attributes.text(_PHOTOMETRIC_INTERPRETATION) or ("RGB" if samples == 3 else "MONOCHROME2"),
            planar=samples > 1 and attributes.integer(_PLANAR_CONFIGURATION, 0) == 1,
            bits_allocated=bits,
            bits_stored=stored,
            high_bit=high if stored - 1 <= high < bits else stored - 1,
            signed=attributes.integer(_PIXEL_REPRESENTATION, 0) == 1,
            floating=pixel_tag != PIXEL_DATA,
        )
        found.check(pixel_tag)
        return found

    def check(self, pixel_tag: int = PIXEL_DATA) -> None:
        """Raise `ImageFailure` for values that no image has, or for a frame that is too large to be decoded."""
        if not (0 < self.rows <= 0xFFFF and 0 < self.columns <= 0xFFFF):
            raise ImageFailure(f"The image has {self.rows} rows and {self.columns} columns.")
        if self.samples not in (1, 3, 4):
            raise ImageFailure(f"Samples per Pixel is {self.samples}; 1, 3 and 4 are supported.")
        if self.bits_allocated not in _BITS[pixel_tag]:
            raise ImageFailure(f"Bits Allocated is {self.bits_allocated}.")
        if len(self.photometric) > _CODE_CHARACTERS:
            raise ImageFailure(f"Photometric Interpretation is longer than {_CODE_CHARACTERS} characters.")
        if self.rows * self.columns * self.samples > MAX_FRAME_SAMPLES:
            raise ImageFailure(f"A frame has more than {MAX_FRAME_SAMPLES} samples.")

    def stored_as(self, transfer_syntax: str) -> PixelDescription:
        """Return the description of the same samples in another transfer syntax."""
        return replace(self, transfer_syntax=transfer_syntax)
