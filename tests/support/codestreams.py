"""Compressed frames of every transfer syntax, made by imagecodecs and by the service's own encoders."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from app.imaging.codecs import conversion
from app.imaging.pixels.description import PixelDescription
from tests.support.images import KINDS, description_of, native_frame, samples_of

_PREFIX: Final = "1.2.840.10008.1.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedFrame:
    """A compressed frame, its description, and the samples that were encoded."""

    description: PixelDescription
    data: bytes
    samples: NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Source:
    syntax: str
    kind: str
    encode: Callable[[NDArray[Any]], Any] | None = None
    photometric: str = ""


def _jpeg(**options: Any) -> Callable[[NDArray[Any]], Any]:
    return lambda samples: imagecodecs.jpeg8_encode(samples, **options)


def _jpeg_xl(**options: Any) -> Callable[[NDArray[Any]], Any]:
    return lambda samples: imagecodecs.jpegxl_encode(samples, **options)


def _jpeg_2000(**options: Any) -> Callable[[NDArray[Any]], Any]:
    return lambda samples: imagecodecs.jpeg2k_encode(np.ascontiguousarray(samples), **options)


def _deflated(samples: NDArray[Any]) -> bytes:
    return zlib.compress(np.packbits(samples.reshape(-1), bitorder="little").tobytes(), wbits=-15)


_SOURCES: Final[Mapping[str, _Source]] = MappingProxyType(
    {
        "JPEG baseline": _Source("4.50", "8 bit", _jpeg()),
        "JPEG baseline 4:4:4": _Source("4.50", "RGB", _jpeg(subsampling="444"), "YBR_FULL"),
        "JPEG baseline 4:2:2": _Source("4.50", "RGB", _jpeg(subsampling="422"), "YBR_FULL_422"),
        "JPEG baseline 4:2:0": _Source("4.50", "RGB", _jpeg(subsampling="420"), "YBR_FULL_422"),
        "JPEG extended, 12 bits": _Source("4.51", "12 of 16 bit", _jpeg(bitspersample=12, level=100)),
        "JPEG lossless, predictor 7": _Source("4.57", "16 bit", _jpeg(lossless=True, predictor=7, bitspersample=16)),
        "JPEG lossless": _Source("4.70", "16 bit", _jpeg(lossless=True, predictor=1, bitspersample=16)),
        "JPEG lossless, 10 bits": _Source("4.70", "10 of 16 bit", _jpeg(lossless=True, predictor=1, bitspersample=10)),
        "JPEG lossless, RGB": _Source("4.70", "RGB", _jpeg(lossless=True, predictor=1)),
        "JPEG-LS": _Source("4.80", "16 bit signed"),
        "JPEG-LS, 12 bits": _Source("4.80", "12 of 16 bit"),
        "JPEG-LS, RGB": _Source("4.80", "RGB"),
        "JPEG-LS near lossless": _Source("4.81", "8 bit", lambda samples: imagecodecs.jpegls_encode(samples, level=2)),
        "JPEG 2000": _Source("4.90", "16 bit signed"),
        "JPEG 2000, RGB": _Source("4.90", "RGB"),
        "JPEG 2000 file": _Source("4.90", "16 bit", _jpeg_2000(codecformat="JP2", reversible=True)),
        "JPEG 2000 lossy": _Source("4.91", "RGB", _jpeg_2000(codecformat="J2K", level=45), "YBR_ICT"),
        "JPEG XL": _Source("4.110", "16 bit", _jpeg_xl(lossless=True)),
        "JPEG XL file, RGB": _Source("4.110", "RGB", _jpeg_xl(lossless=True, usecontainer=True)),
        "JPEG XL lossy": _Source("4.112", "RGB", _jpeg_xl(distance=0.5)),
        "HTJ2K": _Source("4.201", "16 bit signed"),
        "HTJ2K, RGB": _Source("4.201", "RGB"),
        "RLE": _Source("5", "16 bit signed"),
        "RLE, RGB": _Source("5", "RGB"),
        "Deflate": _Source("8.1", "1 bit", _deflated),
    }
)
NAMES: Final = tuple(_SOURCES)
"""The names of the compressed frames."""


@cache
def compressed_frame(name: str) -> CompressedFrame:
    """Return a compressed frame by its name."""
    source = _SOURCES[name]
    kind = KINDS[source.kind]
    samples = samples_of(kind)
    uid = f"{_PREFIX}.{source.syntax}"
    description = description_of(kind)
    if source.encode:
        data, photometric = bytes(source.encode(samples)), source.photometric or kind.photometric
    else:
        encoded = conversion.transcode(description, native_frame(kind, samples), uid)
        data, photometric = encoded.data, encoded.photometric
    described = replace(description, transfer_syntax=uid, photometric=photometric, planar=False)
    return CompressedFrame(description=described, data=data, samples=samples)
