"""ICC profiles of the colour spaces that a caller can ask for, version 2 with a matrix and a curve (ICC.1:2001)."""

from __future__ import annotations

from functools import cache
from struct import pack
from typing import Final, Literal

import numpy as np

Space = Literal["srgb", "adobergb", "rommrgb"]

Triple = tuple[float, float, float]

_WHITE: Final[Triple] = (0.9642, 1.0, 0.8249)
"""The white of the profile connection space, D50."""
_SPACES: Final[dict[Space, tuple[str, tuple[Triple, Triple, Triple], float | None]]] = {
    "srgb": ("sRGB", ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)), None),
    "adobergb": (
        "Compatible with Adobe RGB (1998)",
        ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
        563 / 256,
    ),
    "rommrgb": ("ROMM RGB", ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491)), 1.8),
}
"""Description, the XYZ of red, green and blue under D50, and the exponent of the curve; None for that of sRGB."""


@cache
def icc_profile(space: Space) -> bytes:
    """Return the profile of a colour space. It is the same bytes each time."""
    name, colorants, gamma = _SPACES[space]
    curve = _srgb_curve() if gamma is None else pack(">4s4xIH", b"curv", 1, round(gamma * 256))
    tags = {b"desc": _description(name), b"cprt": b"text\0\0\0\0No copyright, use freely\0", b"wtpt": _xyz(_WHITE)}
    tags |= {tag: _xyz(colorant) for tag, colorant in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)}
    return _file(tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def _file(tags: dict[bytes, bytes]) -> bytes:
    """Return a profile with these tags. Tags with equal bytes share them."""
    table, data, places = b"", b"", dict[bytes, int]()
    start = 128 + 4 + 12 * len(tags)
    for tag, value in tags.items():
        if value not in places:
            places[value] = start + len(data)
            data += value + bytes(-len(value) % 4)
        table += pack(">4sII", tag, places[value], len(value))
    size = start + len(data)
    header = pack(">I4xI4s4s4s", size, 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += pack(">6H4s", 2000, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _fixed(_WHITE)
    return header.ljust(128, b"\0") + pack(">I", len(tags)) + table + data


def _fixed(numbers: Triple) -> bytes:
    return pack(">3i", *(round(number * 65536) for number in numbers))


def _xyz(numbers: Triple) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(numbers)


def _description(name: str) -> bytes:
    text = name.encode("ascii") + b"\0"
    return b"desc\0\0\0\0" + pack(">I", len(text)) + text + bytes(8 + 3 + 67)


def _srgb_curve() -> bytes:
    """Return the curve of sRGB (IEC 61966-2-1) with 1024 points."""
    shares = np.linspace(0, 1, 1024)
    light = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    points: bytes = np.rint(light * 65535).astype(">u2").tobytes()
    return pack(">4s4xI", b"curv", light.size) + points
