"""Decodes a frame, or stores it in another transfer syntax. Loads the codecs: only decoding processes import this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import imagecodecs

from app.imaging.codecs import deflate, jpeg, jpeg_2000, jpeg_ls, jpeg_xl, rle
from app.imaging.codecs.syntaxes import SYNTAXES, check_target, syntax
from app.imaging.pixels import native
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import DecodedFrame, EncodedFrame

Decode = Callable[[PixelDescription, bytes], DecodedFrame]
Encode = Callable[[PixelDescription, DecodedFrame], EncodedFrame]

_PREFIX: Final = "1.2.840.10008.1.2"
DECODERS: Final[Mapping[str, Decode]] = MappingProxyType(
    {uid: native.decode for uid, row in SYNTAXES.items() if row.native}
    | {f"{_PREFIX}.4.{number}": jpeg.decode for number in (50, 51, 57, 70)}
    | {f"{_PREFIX}.4.{number}": jpeg_ls.decode for number in (80, 81)}
    | {f"{_PREFIX}.4.{number}": jpeg_2000.decode for number in (90, 91)}
    | {f"{_PREFIX}.4.{number}": jpeg_xl.decode for number in (110, 111, 112)}
    | {f"{_PREFIX}.4.{number}": jpeg_2000.decode_high_throughput for number in (201, 202, 203)}
    | {f"{_PREFIX}.5": rle.decode, f"{_PREFIX}.8.1": deflate.decode}
)
ENCODERS: Final[Mapping[str, Encode]] = MappingProxyType(
    {uid: native.encode for uid, row in SYNTAXES.items() if row.native}
    | {
        f"{_PREFIX}.4.80": jpeg_ls.encode,
        f"{_PREFIX}.4.90": jpeg_2000.encode,
        f"{_PREFIX}.4.201": jpeg_2000.encode_high_throughput,
        f"{_PREFIX}.5": rle.encode,
    }
)


_CODECS: Final = (
    *("jpeg8_decode", "jpegls_decode", "jpegls_encode", "jpeg2k_decode", "jpeg2k_encode", "htj2k_decode"),
    *("htj2k_encode", "jpegxl_decode", "dicomrle_decode", "packbits_encode"),
)


def load_codecs() -> None:
    """Load the libraries of all codecs. imagecodecs loads each of them when it is first used."""
    for name in _CODECS:
        getattr(imagecodecs, name)


def decode(description: PixelDescription, data: bytes) -> DecodedFrame:
    """Return the samples of one frame. Raises `ImageFailure`, or an error of the codec, for a damaged frame."""
    syntax(description.transfer_syntax)
    return DECODERS[description.transfer_syntax](description, data)


def transcode(description: PixelDescription, data: bytes, target: str) -> EncodedFrame:
    """Return one frame in the transfer syntax `target`. Raises what `decode` raises, and `ImageFailure`."""
    check_target(description, target)
    return ENCODERS[target](description, decode(description, data))
