"""The headers of codestreams, read before a codec sees them: size, samples, precision and colour.

A codec allocates what the codestream asks for. So the size is compared with the description of the image first. Some
codecs return a grey or damaged image for a codestream that is cut off. So the marker of its end must be there.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from app.errors import ImageFailure
from app.imaging.pixels.description import PixelDescription

_JPEG_FRAMES: Final = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""The markers that start a frame of JPEG (SOF0 to SOF15) or JPEG-LS (SOF55)."""
_JPEG_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_SCAN: Final = 0xDA
_END: Final = b"\xff\xd9"
"""The last marker of a codestream: End of Image, End of Codestream. Entropy-coded data never contains it."""
_JFIF: Final = 0xE0
_ADOBE: Final = 0xEE

_SIZ: Final = Struct(">HHH8IH")
_BOX: Final = Struct(">I4s")
_MAX_TILES: Final = 65535
_MAX_MARKERS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Codestream:
    """What a codestream says of its image. `photometric` is empty if the codestream does not say it."""

    rows: int
    columns: int
    samples: int
    precision: int
    signed: bool = False
    photometric: str = ""

    def check(self, description: PixelDescription) -> None:
        """Raise `ImageFailure` if the codestream has another size than the image, or too many bits."""
        expected = (description.rows, description.columns, description.samples)
        if (self.rows, self.columns, self.samples) != expected:
            found = f"{self.rows} rows, {self.columns} columns and {self.samples} samples"
            raise ImageFailure(
                f"The codestream has {found}; the image has {expected[0]}, {expected[1]}, {expected[2]}."
            )
        if not 0 < self.precision <= description.bits_allocated:
            raise ImageFailure(
                f"The codestream has {self.precision} bits for each sample; Bits Allocated is "
                f"{description.bits_allocated}."
            )


def jpeg(data: bytes) -> Codestream:
    """Return what a JPEG or JPEG-LS codestream says (ITU-T T.81 §B.2, T.87 §C.2). Raises `ImageFailure`."""
    adobe: int | None = None
    jfif = False
    position = 2 if data[:2] == b"\xff\xd8" else len(data)
    for _ in range(_MAX_MARKERS):
        position = data.find(b"\xff", position)
        marker = data[position + 1 : position + 2]
        if position < 0 or not marker or marker[0] == _SCAN:
            break
        code, position = marker[0], position + 1
        if code in (0x00, 0xFF):
            continue
        position += 1
        if code in _JPEG_WITHOUT_LENGTH:
            continue
        length = int.from_bytes(data[position : position + 2], "big")
        segment = data[position + 2 : position + length]
        position += max(length, 2)
        if code == _JFIF and segment[:4] == b"JFIF":
            jfif = True
        elif code == _ADOBE and segment[:5] == b"Adobe" and len(segment) >= 12:
            adobe = segment[11]
        elif code in _JPEG_FRAMES:
            _check_end(data, position)
            return _jpeg_frame(segment, jfif, adobe)
    raise ImageFailure("The frame is not a JPEG codestream.")


def _check_end(data: bytes, header: int) -> None:
    """Raise `ImageFailure` if the codestream has no end. `header` is the offset of bytes after its first header."""
    if data.rfind(_END) < header:
        raise ImageFailure("The codestream is cut off: it has no end marker.")


def _jpeg_frame(segment: bytes, jfif: bool, adobe: int | None) -> Codestream:
    if len(segment) < 6 or len(segment) < 6 + 3 * segment[5]:
        raise ImageFailure("The header of the JPEG codestream is cut off.")
    samples = segment[5]
    photometric = ""
    if samples == 3:
        identifiers = segment[6:15:3]
        if identifiers.lower() == b"rgb" or adobe == 0:
            photometric = "RGB"
        elif jfif or adobe == 1:
            photometric = "YBR_FULL"
    return Codestream(
        rows=int.from_bytes(segment[1:3], "big"),
        columns=int.from_bytes(segment[3:5], "big"),
        samples=samples,
        precision=segment[0],
        photometric=photometric,
    )


def jpeg_2000_codestream(data: bytes) -> bytes:
    """Return the codestream of a frame that may have the boxes of a JP2 file around it (ISO/IEC 15444-1 Annex I).

    Raises `ImageFailure` if there is none.
    """
    position = 0
    for _ in range(_MAX_MARKERS):
        if data[position : position + 4] == b"\xff\x4f\xff\x51":
            return data[position:] if position else data
        if len(data) < position + 8:
            break
        length, kind = _BOX.unpack_from(data, position)
        header = 16 if length == 1 else 8
        if length == 1:
            length = int.from_bytes(data[position + 8 : position + 16], "big")
        if kind == b"jp2c":
            position += header
        elif length < header:
            break
        else:
            position += length
    raise ImageFailure("The frame has no JPEG 2000 codestream.")


def jpeg_2000(data: bytes) -> Codestream:
    """Return what a JPEG 2000 or HTJ2K codestream says (ISO/IEC 15444-1 §A.5.1). Raises `ImageFailure`.

    `data` starts with the codestream. Components that differ from each other are not an image of DICOM.
    """
    if len(data) < 6 + _SIZ.size:
        raise ImageFailure("The header of the JPEG 2000 codestream is cut off.")
    _, _, _, right, bottom, left, top, *tiles, samples = _SIZ.unpack_from(data, 2)
    components = data[42 : 42 + 3 * samples]
    if len(components) < 3 * samples or not samples:
        raise ImageFailure("The header of the JPEG 2000 codestream is cut off.")
    _check_end(data, 42 + len(components))
    if components[:3] * samples != components or components[1:3] != b"\x01\x01":
        raise ImageFailure("The components of the JPEG 2000 codestream have different sizes or precisions.")
    tile_columns, tile_rows, tile_left, tile_top = tiles
    if not tile_columns or not tile_rows or tile_left > left or tile_top > top:
        raise ImageFailure("The tiles of the JPEG 2000 codestream are impossible.")
    number = -(-(right - tile_left) // tile_columns) * -(-(bottom - tile_top) // tile_rows)
    if number > _MAX_TILES:
        raise ImageFailure(f"The JPEG 2000 codestream has more than {_MAX_TILES} tiles.")
    precision = components[0]
    return Codestream(
        rows=bottom - top,
        columns=right - left,
        samples=samples,
        precision=(precision & 0x7F) + 1,
        signed=precision >= 0x80,
    )
