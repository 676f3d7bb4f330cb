"""JPEG: baseline, extended and lossless (PS3.5 §8.2.1)."""

from __future__ import annotations

from typing import Final

import imagecodecs
import numpy as np

from app.imaging.codecs import codestreams
from app.imaging.codecs.integers import samples_of
from app.imaging.pixels import native
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import DecodedFrame

# The same colour space before and after decoding: the codec transforms no colour.
_COLOUR_SPACES: Final = {1: None, 3: "YCBCR", 4: "CMYK"}


def decode(description: PixelDescription, data: bytes) -> DecodedFrame:
    """Return the samples as they were encoded: no colour is transformed, halved colour is interpolated.

    The photometric interpretation is what the codestream says by its component identifiers, its Adobe marker or its
    JFIF marker, in this order. If it says nothing, it is that of the image.
    """
    codestream = codestreams.jpeg(data)
    codestream.check(description)
    # A codec that misses an error leaves samples as they were. Memory that is not cleared may hold another image.
    cleared = np.zeros(native.shape(description), np.uint8 if codestream.precision <= 8 else np.uint16)
    colours = _COLOUR_SPACES[description.samples]
    decoded = imagecodecs.jpeg8_decode(data, colorspace=colours, outcolorspace=colours, out=cleared)
    return DecodedFrame(
        samples=samples_of(description, decoded, codestream.precision),
        photometric=codestream.photometric or native.decoded_photometric(description),
    )
