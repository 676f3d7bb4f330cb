"""What a caller asks for in a rendered picture (PS3.18 §8.3.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WindowFunction = Literal["linear", "linear-exact", "sigmoid"]
"""The values of VOI LUT Function (0028,1056), as PS3.18 §8.3.5.1.4 spells them."""

ColourProfile = Literal["no", "yes", "srgb", "adobergb", "rommrgb"]
"""The values of the parameter `iccprofile` (PS3.18 §8.3.5.1.5)."""


@dataclass(frozen=True, slots=True)
class Window:
    """A VOI window (PS3.3 C.11.2.1.2). `width` is above 0; for the function `linear` it is at least 1."""

    center: float
    width: float
    function: WindowFunction = "linear"


@dataclass(frozen=True, slots=True)
class Viewport:
    """The region of the image to be shown, and the largest size of the picture (PS3.18 §8.3.5.1.3), in pixels.

    A region without `region_width` or `region_height` extends to the right or bottom edge. `is_relative`: the region is
    in fractions of the image, 0 to 1. Without `enlarges` no picture has more pixels than its region.
    """

    width: int
    height: int
    left: float = 0
    top: float = 0
    region_width: float | None = None
    region_height: float | None = None
    mirror_horizontally: bool = False
    mirror_vertically: bool = False
    is_relative: bool = False
    enlarges: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderingParameters:
    """What a caller asks for, apart from the media type. The default of each field is the picture as it is.

    `quality` is 1 to 100, and matters for lossy media types. `annotation` has `patient`, `technique`, both or neither.
    `partition_url` is the URL below which a page links to other objects. It is empty for everything but pages.
    """

    quality: int = 100
    viewport: Viewport | None = None
    window: Window | None = None
    annotation: frozenset[str] = frozenset()
    icc_profile: ColourProfile | None = None
    partition_url: str = ""
