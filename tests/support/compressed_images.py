"""Images in every transfer syntax that instances are transcoded from, made without the code of the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.encoders.base import RLELosslessEncoder

from tests.support.images import ImageKind, make_compressed, make_image, native_frame, samples_of
from tests.support.instances import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE

Samples = NDArray[Any]

GRAY: Final = ("8 bit odd", "12 of 16 bit", "16 bit, 3 frames")
SIGNED: Final = ("12 of 16 bit signed", "16 bit signed odd, 3 frames")
COLOUR: Final = ("RGB", "RGB odd, 3 frames", "RGB 16 bit")
WIDE: Final = ("32 bit signed", "20 of 32 bit")
NATIVE_ONLY: Final = (
    "12 of 16 bit, high bit 15",
    "12 of 16 bit signed, high bit 13",
    "64 bit",
    "RGB planar odd, 3 frames",
    "RGB 12 of 16 bit planar",
    "YBR_FULL",
    "YBR_FULL_422",
    "palette",
)
EIGHT: Final = ("8 bit", "8 bit odd")
TWELVE: Final = ("12 of 16 bit", "10 of 16 bit")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSyntax:
    """A transfer syntax that images are stored in. `kinds` are those of `KINDS` that it holds.

    `encode` makes the bytes of a frame, None for an uncompressed syntax. `decode` gives the samples of these bytes if
    the syntax is lossy.
    """

    uid: str
    kinds: tuple[str, ...]
    encode: Callable[[ImageKind, Samples], bytes] | None = None
    decode: Callable[[bytes], Samples] | None = None

    def file(self, kind: ImageKind, **attributes: Any) -> bytes:
        """Return an instance of the kind as Part 10 bytes."""
        if self.encode is None:
            return _native(kind, self.uid, attributes)
        more = {"PlanarConfiguration": 0} if len(kind.shape) == 3 else {}
        return make_compressed(kind, self.frames(kind), self.uid, **(more | attributes))

    def frames(self, kind: ImageKind) -> list[bytes]:
        """Return the frames of an image of the kind in this compressed syntax."""
        assert self.encode
        return [self.encode(kind, samples_of(kind, number)) for number in range(kind.frames)]

    def samples(self, kind: ImageKind) -> Samples:
        """Return the samples of all frames that a reader of the file gets."""
        if self.decode:
            return np.stack([self.decode(frame) for frame in self.frames(kind)])
        return np.stack([samples_of(kind, number) for number in range(kind.frames)])


def _native(kind: ImageKind, uid: str, attributes: Mapping[str, Any]) -> bytes:
    if uid != EXPLICIT_BIG:
        return make_image(kind, transfer_syntax=uid, **attributes)
    data = b"".join(native_frame(kind, samples_of(kind, number)) for number in range(kind.frames))
    word = max(16, kind.bits_allocated) // 8
    words = np.frombuffer(data + bytes(-len(data) % word), f"<u{word}").byteswap().tobytes()
    return make_image(kind, transfer_syntax=uid, **({"PixelData": words} | dict(attributes)))


def _jpeg(_kind: ImageKind, samples: Samples) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(samples, level=90))


def _jpeg_of_12_bits(_kind: ImageKind, samples: Samples) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(samples, level=90, bitspersample=12))


def _jpeg_lossless(kind: ImageKind, samples: Samples) -> bytes:
    return bytes(imagecodecs.ljpeg_encode(samples, bitspersample=kind.stored))


def _jpeg_ls(_kind: ImageKind, samples: Samples) -> bytes:
    unsigned = samples.view(f"<u{samples.dtype.itemsize}")
    return bytes(imagecodecs.jpegls_encode(unsigned))


def _jpeg_ls_near(_kind: ImageKind, samples: Samples) -> bytes:
    return bytes(imagecodecs.jpegls_encode(samples, level=2))


def _jpeg_2000(kind: ImageKind, samples: Samples) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(
            samples, level=0, codecformat="j2k", reversible=True, mct=False, bitspersample=kind.stored
        )
    )


def _jpeg_2000_lossy(kind: ImageKind, samples: Samples) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(samples, level=60, codecformat="j2k", mct=False, bitspersample=kind.stored))


def _high_throughput(_kind: ImageKind, samples: Samples) -> bytes:
    return bytes(imagecodecs.htj2k_encode(samples, rgb=False))


def _rle(kind: ImageKind, samples: Samples) -> bytes:
    return RLELosslessEncoder.encode(
        samples.tobytes(),
        plugin="pydicom",
        rows=kind.shape[0],
        columns=kind.shape[1],
        samples_per_pixel=kind.shape[2] if len(kind.shape) == 3 else 1,
        number_of_frames=1,
        bits_allocated=kind.bits_allocated,
        bits_stored=kind.stored,
        pixel_representation=int(kind.signed),
        photometric_interpretation=kind.photometric,
        pixel_keyword="PixelData",
        planar_configuration=0,
    )


_ALL_NATIVE: Final = GRAY + SIGNED + COLOUR + WIDE + NATIVE_ONLY
_J2K: Final = GRAY + SIGNED + COLOUR
_HTJ2K: Final = GRAY + COLOUR[:2]

SOURCES: Final[Mapping[str, SourceSyntax]] = {
    "Implicit LE": SourceSyntax(uid=IMPLICIT_LITTLE, kinds=_ALL_NATIVE),
    "Explicit LE": SourceSyntax(uid=EXPLICIT_LITTLE, kinds=_ALL_NATIVE),
    "Deflated": SourceSyntax(uid=DEFLATED_LITTLE, kinds=_ALL_NATIVE),
    "Explicit BE": SourceSyntax(uid=EXPLICIT_BIG, kinds=_ALL_NATIVE),
    "JPEG Baseline": SourceSyntax(
        uid="1.2.840.10008.1.2.4.50", kinds=EIGHT, encode=_jpeg, decode=imagecodecs.jpeg8_decode
    ),
    "JPEG Extended": SourceSyntax(
        uid="1.2.840.10008.1.2.4.51",
        kinds=("12 of 16 bit",),
        encode=_jpeg_of_12_bits,
        decode=imagecodecs.jpeg8_decode,
    ),
    "JPEG Lossless": SourceSyntax(uid="1.2.840.10008.1.2.4.57", kinds=EIGHT + TWELVE, encode=_jpeg_lossless),
    "JPEG Lossless SV1": SourceSyntax(uid="1.2.840.10008.1.2.4.70", kinds=EIGHT + TWELVE, encode=_jpeg_lossless),
    "JPEG-LS": SourceSyntax(uid="1.2.840.10008.1.2.4.80", kinds=GRAY + SIGNED + COLOUR, encode=_jpeg_ls),
    "JPEG-LS near lossless": SourceSyntax(
        uid="1.2.840.10008.1.2.4.81",
        kinds=(*EIGHT, "16 bit, 3 frames"),
        encode=_jpeg_ls_near,
        decode=imagecodecs.jpegls_decode,
    ),
    "JPEG 2000 lossless": SourceSyntax(uid="1.2.840.10008.1.2.4.90", kinds=_J2K, encode=_jpeg_2000),
    "JPEG 2000": SourceSyntax(
        uid="1.2.840.10008.1.2.4.91", kinds=GRAY, encode=_jpeg_2000_lossy, decode=imagecodecs.jpeg2k_decode
    ),
    "HTJ2K lossless": SourceSyntax(uid="1.2.840.10008.1.2.4.201", kinds=_HTJ2K, encode=_high_throughput),
    "HTJ2K lossless RPCL": SourceSyntax(uid="1.2.840.10008.1.2.4.202", kinds=_HTJ2K, encode=_high_throughput),
    "HTJ2K": SourceSyntax(uid="1.2.840.10008.1.2.4.203", kinds=_HTJ2K, encode=_high_throughput),
    "RLE": SourceSyntax(uid="1.2.840.10008.1.2.5", kinds=GRAY + SIGNED + COLOUR, encode=_rle),
}
"""The transfer syntaxes that files and frames are transcoded from, by a short name."""

TARGETS: Final[Mapping[str, str]] = {
    "Explicit LE": EXPLICIT_LITTLE,
    "HTJ2K": "1.2.840.10008.1.2.4.201",
    "RLE": "1.2.840.10008.1.2.5",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
}
"""The transfer syntaxes that files and frames are transcoded to."""

FRAME_TYPES: Final[Mapping[str, str]] = {
    "Explicit LE": "application/octet-stream",
    "HTJ2K": "image/jphc",
    "RLE": "image/dicom-rle",
    "JPEG-LS": "image/jls",
    "JPEG 2000": "image/jp2",
}
"""The media type of a frame in each of `TARGETS` (PS3.18 Table 8.7.3-5)."""
