"""GIF files, written frame by frame so that an animation of any length needs the memory of one frame (GIF89a)."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from PIL import Image

from app.errors import ImageFailure
from app.imaging.rendering.picture import Picture

_LARGEST: Final = 0xFFFF
_HEADER: Final = struct.Struct("<6sHHBBB")
_IMAGE: Final = struct.Struct("<BHHHHB")
_CONTROL: Final = struct.Struct("<BBBBHBB")
_LOOP_FOREVER: Final = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
_TRAILER: Final = b"\x3b"
_EXTENSION, _SEPARATOR = 0x21, 0x2C
_TABLE_FLAG: Final = 0x80
_TABLE_SIZE: Final = 0x07
"""The bits of a flag byte that give the size of its colour table: 3 * 2 ** (value + 1) bytes."""


def gif(pictures: Iterable[Picture], durations: Iterable[int]) -> Iterator[bytes]:
    """Yield a GIF in chunks, the first one with the first picture. Several pictures are shown in a loop.

    `durations` are in hundredths of a second, one for each picture. Gray has its 256 shades, colour the 256 colours
    that fit each picture best. All pictures have the size of the first one. Raises `ImageFailure` for a picture that
    is too large.
    """
    started = False
    for picture, duration in zip(pictures, durations, strict=True):
        rows, columns = picture.pixels.shape[:2]
        head = b"" if started else _head(rows, columns, loops=duration > 0)
        started = True
        yield head + _CONTROL.pack(_EXTENSION, 0xF9, 4, 0, duration, 0, 0) + _image(picture)
    yield _TRAILER


def _head(rows: int, columns: int, *, loops: bool) -> bytes:
    if max(rows, columns) > _LARGEST:
        raise ImageFailure(f"GIF has at most {_LARGEST} rows and columns; the picture has {rows} and {columns}.")
    return _HEADER.pack(b"GIF89a", columns, rows, 0, 0, 0) + (_LOOP_FOREVER if loops else b"")


def _image(picture: Picture) -> bytes:
    """Return the image descriptor, the colour table and the compressed pixels of one picture."""
    image = Image.fromarray(picture.pixels)
    if image.mode == "RGB":
        image = image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    file = io.BytesIO()
    image.save(file, "GIF", optimize=False)
    return _without_header(file.getvalue())


def _without_header(data: bytes) -> bytes:
    """Return the image of a GIF file with one image. Its global colour table becomes that of the image."""
    flags = data[10]
    start = _HEADER.size
    table = b""
    if flags & _TABLE_FLAG:
        length = 3 << ((flags & _TABLE_SIZE) + 1)
        table, start = data[start : start + length], start + length
    while data[start] == _EXTENSION:
        start += 2
        while data[start]:
            start += data[start] + 1
        start += 1
    separator, left, top, columns, rows, image_flags = _IMAGE.unpack_from(data, start)
    pixels = data[start + _IMAGE.size : -len(_TRAILER)]
    if image_flags & _TABLE_FLAG:
        return data[start : -len(_TRAILER)]
    image_flags |= _TABLE_FLAG | (flags & _TABLE_SIZE)
    return _IMAGE.pack(separator, left, top, columns, rows, image_flags) + table + pixels
