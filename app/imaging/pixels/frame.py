"""The samples of one decoded frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Samples = NDArray[Any]
"""(rows, columns), or (rows, columns, samples per pixel) for colour. The values are the stored values of the pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedFrame:
    """The samples of one frame, and what they mean after decoding.

    Integer samples are the values of Bits Stored: shifted down to bit 0, sign extended if the pixels are signed.
    `photometric` is the photometric interpretation of these samples. It differs from that of the instance if the codec
    undid a colour transform: JPEG 2000 samples of YBR_RCT are RGB when they are decoded.
    """

    samples: Samples
    photometric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedFrame:
    """One frame in a transfer syntax: its bytes, and what the instance says of them.

    `lossy` means that the codec changed samples.
    """

    data: bytes
    photometric: str
    planar: bool
    lossy: bool = False
