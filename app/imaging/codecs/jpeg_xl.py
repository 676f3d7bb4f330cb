"""JPEG XL (PS3.5 §8.2)."""

from __future__ import annotations

import imagecodecs

from app.errors import ImageFailure
from app.imaging.codecs import jpeg_xl_header
from app.imaging.codecs.integers import samples_of
from app.imaging.pixels import native
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import DecodedFrame


def decode(description: PixelDescription, data: bytes) -> DecodedFrame:
    """Return the samples of a JPEG XL image. The codec undoes its colour transforms: three samples are RGB."""
    size = jpeg_xl_header.size(data)
    if size != (description.rows, description.columns):
        raise ImageFailure(
            f"The codestream has {size[0]} rows and {size[1]} columns; "
            f"the image has {description.rows} and {description.columns}."
        )
    decoded = imagecodecs.jpegxl_decode(data, index=0, keeporientation=True, numthreads=1)
    if decoded.shape != native.shape(description):
        raise ImageFailure(f"The codestream has the shape {decoded.shape}; the image has {native.shape(description)}.")
    return DecodedFrame(
        samples=samples_of(description, decoded, 8 * decoded.dtype.itemsize),
        photometric="RGB" if description.samples == 3 else description.photometric,
    )
