"""What each transfer syntax can hold. No codec is loaded here.

Frames are decoded from every syntax of `SYNTAXES`, and encoded into those that have an `Encoding`:

| Target | Samples of the frame | Photometric interpretation of the result |
|---|---|---|
| native, little endian | all | as decoded |
| RLE Lossless | integers of 8 to 64 bits, at most 15 bytes for each pixel | as decoded |
| JPEG-LS Lossless | integers, Bits Allocated 8 or 16 | as decoded |
| JPEG 2000 Lossless | integers, Bits Stored up to 24, with colours up to 16 | RGB: YBR_RCT; else as decoded |
| HTJ2K Lossless | integers, Bits Allocated 8 or 16 | RGB: YBR_RCT; else as decoded |

"As decoded": YBR_FULL_422 becomes YBR_FULL, because each pixel gets its own colour samples. YBR_RCT and YBR_ICT become
RGB. Only native frames hold single bits, float and double samples. Only RLE and native frames hold four samples per
pixel. Colour is never transformed with a loss. The JPEG 2000 encoder is exact up to 24 bits. Common decoders of HTJ2K
read no codestream that was made from 32-bit words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from app.errors import ImageFailure
from app.imaging.pixels.description import PixelDescription

_HALVED_ONLY: Final = ("YBR_PARTIAL_422", "YBR_PARTIAL_420")
"""Photometric interpretations that have no counterpart in which every pixel has its own colour samples."""

_PREFIX: Final = "1.2.840.10008.1.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """The frames that an encoder takes. `bits_stored` is the largest number of bits, by samples per pixel."""

    bits_allocated: tuple[int, ...]
    bits_stored: Mapping[int, int]

    def check(self, description: PixelDescription, name: str) -> None:
        """Raise `ImageFailure` if the encoder does not take frames of this description."""
        if description.floating:
            raise ImageFailure(f"{name} holds no floating point samples.")
        if description.bits_allocated not in self.bits_allocated:
            raise ImageFailure(f"{name} holds no samples of {description.bits_allocated} bits.")
        most = self.bits_stored.get(description.samples, 0)
        if description.bits_stored > most:
            raise ImageFailure(
                f"{name} holds no pixels with {description.samples} samples of {description.bits_stored} bits."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Syntax:
    """A transfer syntax whose frames are decoded. `lossy`: a frame may differ from the image that was encoded."""

    name: str
    native: bool = False
    lossy: bool = False
    encoding: Encoding | None = None


_RLE: Final = Encoding(bits_allocated=(8, 16, 32, 64), bits_stored=MappingProxyType({1: 64, 3: 32, 4: 16}))
_JPEG_LS: Final = Encoding(bits_allocated=(8, 16), bits_stored=MappingProxyType({1: 16, 3: 16}))
_JPEG_2000: Final = Encoding(bits_allocated=(8, 16, 32), bits_stored=MappingProxyType({1: 24, 3: 16}))
_HTJ2K: Final = Encoding(bits_allocated=(8, 16), bits_stored=MappingProxyType({1: 16, 3: 16}))

SYNTAXES: Final[Mapping[str, Syntax]] = MappingProxyType(
    {
        _PREFIX: Syntax(name="Implicit VR Little Endian", native=True),
        f"{_PREFIX}.1": Syntax(name="Explicit VR Little Endian", native=True),
        f"{_PREFIX}.1.98": Syntax(name="Encapsulated Uncompressed Explicit VR Little Endian", native=True),
        f"{_PREFIX}.1.99": Syntax(name="Deflated Explicit VR Little Endian", native=True),
        f"{_PREFIX}.2": Syntax(name="Explicit VR Big Endian", native=True),
        f"{_PREFIX}.4.50": Syntax(name="JPEG Baseline", lossy=True),
        f"{_PREFIX}.4.51": Syntax(name="JPEG Extended", lossy=True),
        f"{_PREFIX}.4.57": Syntax(name="JPEG Lossless"),
        f"{_PREFIX}.4.70": Syntax(name="JPEG Lossless, First-Order Prediction"),
        f"{_PREFIX}.4.80": Syntax(name="JPEG-LS Lossless", encoding=_JPEG_LS),
        f"{_PREFIX}.4.81": Syntax(name="JPEG-LS Near-Lossless", lossy=True),
        f"{_PREFIX}.4.90": Syntax(name="JPEG 2000 Lossless", encoding=_JPEG_2000),
        f"{_PREFIX}.4.91": Syntax(name="JPEG 2000", lossy=True),
        f"{_PREFIX}.4.110": Syntax(name="JPEG XL Lossless"),
        f"{_PREFIX}.4.111": Syntax(name="JPEG XL JPEG Recompression", lossy=True),
        f"{_PREFIX}.4.112": Syntax(name="JPEG XL", lossy=True),
        f"{_PREFIX}.4.201": Syntax(name="High-Throughput JPEG 2000 Lossless", encoding=_HTJ2K),
        f"{_PREFIX}.4.202": Syntax(name="High-Throughput JPEG 2000 Lossless RPCL"),
        f"{_PREFIX}.4.203": Syntax(name="High-Throughput JPEG 2000", lossy=True),
        f"{_PREFIX}.5": Syntax(name="RLE Lossless", encoding=_RLE),
        f"{_PREFIX}.8.1": Syntax(name="Deflated Image Frame Compression"),
    }
)
"""Every transfer syntax whose frames are decoded, by UID (PS3.6 Table A-1)."""


def syntax(uid: str) -> Syntax:
    """Return the row of a transfer syntax. Raises `ImageFailure` if its frames cannot be decoded."""
    found = SYNTAXES.get(uid)
    if found is None:
        raise ImageFailure(f"Frames of the transfer syntax {uid} cannot be decoded.")
    return found


def check_target(description: PixelDescription, target: str) -> None:
    """Raise `ImageFailure` if frames of this description cannot be stored in the transfer syntax `target`.

    The transfer syntax that they are stored in now must be one of `SYNTAXES` too.
    """
    source = syntax(description.transfer_syntax)
    found = SYNTAXES.get(target)
    if found is None or not (found.native or found.encoding):
        raise ImageFailure(f"Frames cannot be encoded in the transfer syntax {target}.")
    if description.photometric in _HALVED_ONLY and not (source.native and found.native):
        raise ImageFailure(f"There is no photometric interpretation for decoded {description.photometric} pixels.")
    if found.encoding:
        found.encoding.check(description, found.name)
