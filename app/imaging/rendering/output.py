"""Pictures as the bytes of image files: JPEG, PNG, GIF, WebP and JPEG 2000 (PS3.18 §8.7.4)."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final

import imagecodecs
from PIL import Image

from app.errors import ImageFailure
from app.imaging.rendering.gif import gif
from app.imaging.rendering.picture import Picture

_FULL_COLOUR: Final = 90
"""The quality from which on a JPEG keeps the colour of each pixel. Below it, four pixels share a colour."""
_PNG_LEVEL: Final = 1
"""Higher levels take several times longer and make a noisy picture hardly smaller."""
_WEBP_METHOD: Final = 0
_WEBP_LIMIT: Final = 16383
_LOSSLESS: Final = 100


def encode(picture: Picture, media_type: str, quality: int, icc: bytes | None = None) -> bytes:
    """Return the picture in one of `image/jpeg`, `image/png`, `image/gif`, `image/webp` and `image/jp2`.

    `quality` is 1 to 100; PNG and GIF have none. 100 is lossless in WebP and JPEG 2000. `icc` is embedded in JPEG,
    PNG and WebP. Raises `ImageFailure` if the format cannot hold the picture.
    """
    return _ENCODERS[media_type](picture, quality, icc)


def _jpeg(picture: Picture, quality: int, icc: bytes | None) -> bytes:
    sampling = "444" if quality >= _FULL_COLOUR else "420"
    if icc is not None:
        return _by_pillow(picture, "JPEG", quality=quality, subsampling=":".join(sampling), icc_profile=icc)
    return bytes(imagecodecs.jpeg8_encode(picture.pixels, level=quality, subsampling=sampling))


def _png(picture: Picture, quality: int, icc: bytes | None) -> bytes:
    if icc is not None:
        return _by_pillow(picture, "PNG", compress_level=_PNG_LEVEL, icc_profile=icc)
    return bytes(imagecodecs.png_encode(picture.pixels, level=_PNG_LEVEL))


def _gif(picture: Picture, quality: int, icc: bytes | None) -> bytes:
    return b"".join(gif([picture], [0]))


def _webp(picture: Picture, quality: int, icc: bytes | None) -> bytes:
    rows, columns = picture.pixels.shape[:2]
    if max(rows, columns) > _WEBP_LIMIT:
        raise ImageFailure(f"WebP has at most {_WEBP_LIMIT} rows and columns; the picture has {rows} and {columns}.")
    options: dict[str, Any] = {"icc_profile": icc} if icc is not None else {}
    return _by_pillow(
        picture, "WEBP", quality=quality, lossless=quality == _LOSSLESS, method=_WEBP_METHOD, exact=True, **options
    )


def _jpeg_2000(picture: Picture, quality: int, icc: bytes | None) -> bytes:
    level = 0 if quality == _LOSSLESS else quality // 2 + 10  # the signal to noise ratio in dB, about that of a JPEG
    return bytes(imagecodecs.jpeg2k_encode(picture.pixels, level=level, codecformat="JP2"))


def _by_pillow(picture: Picture, name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture.pixels).save(file, name, **options)
    return file.getvalue()


_ENCODERS: Final[dict[str, Callable[[Picture, int, bytes | None], bytes]]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/gif": _gif,
    "image/webp": _webp,
    "image/jp2": _jpeg_2000,
}
