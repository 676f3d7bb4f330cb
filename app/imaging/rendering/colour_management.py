"""Colour management: pictures in the colour space that a caller asks for (PS3.3 C.11.15, PS3.18 §8.3.5.1.5)."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from app.dicom.encoding.attribute_reader import AttributeReader
from app.imaging.rendering.blocks import pixels_in_blocks
from app.imaging.rendering.icc_profiles import Space, icc_profile
from app.imaging.rendering.parameters import ColourProfile

_ICC_PROFILE: Final = 0x00282000
_OPTICAL_PATH_SEQUENCE: Final = 0x00480105
_LARGEST_PROFILE: Final = 4 << 20
"""Larger profiles are ignored, in bytes. Profiles of scanners have up to about 2 MiB."""
_PARTS: Final = np.arange(0, 256, 51, dtype=np.uint8)
_SAMPLE_COLOURS: Final = np.stack(np.meshgrid(_PARTS, _PARTS, _PARTS), axis=-1).reshape(6, 36, 3)
"""Colours by which a conversion that changes nothing is recognized."""

Bytes = NDArray[np.uint8]


class ColourManagement:
    """Converts the pictures of one instance. An ICC profile that cannot be used is ignored: the colours are sRGB."""

    def __init__(self, attributes: AttributeReader) -> None:
        self._attributes = attributes
        data = _profile_of(attributes)
        self._has_profile = data is not None and _transform(data, icc_profile("srgb")) is not None
        self._transforms: dict[Space, Any] = {}

    def converted(self, pixels: Bytes, wanted: ColourProfile | None) -> tuple[Bytes, bytes | None]:
        """Return a picture in the wanted colour space, and its ICC profile.

        None and `no` give sRGB without a profile, `yes` gives the colours as they are stored. The other values name
        the colour space. Pictures with a profile have three colours.
        """
        if wanted is None or wanted == "no":
            return (pixels if pixels.ndim == 2 else self._in_space(pixels, "srgb")), None
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        if wanted == "yes":
            return pixels, self._source()
        return self._in_space(pixels, wanted), icc_profile(wanted)

    def _in_space(self, pixels: Bytes, space: Space) -> Bytes:
        if space == "srgb" and not self._has_profile:
            return pixels
        if space not in self._transforms:
            transform = _transform(self._source(), icc_profile(space))
            self._transforms[space] = transform if transform and not _changes_nothing(transform) else None
        transform = self._transforms[space]
        return pixels if transform is None else _applied(transform, pixels)

    def _source(self) -> bytes:
        """Return the profile of the stored colours. It is read again: it may have 2 MiB."""
        own = _profile_of(self._attributes) if self._has_profile else None
        return own or icc_profile("srgb")


def _profile_of(attributes: AttributeReader) -> bytes | None:
    """Return the ICC profile of an instance, or that of its first optical path."""
    path = attributes if _ICC_PROFILE in attributes else attributes.item(_OPTICAL_PATH_SEQUENCE)
    if path is None or not 0 < path.length(_ICC_PROFILE) <= _LARGEST_PROFILE:
        return None
    return path.data(_ICC_PROFILE)


def _transform(source: bytes, target: bytes) -> Any:
    """Return the conversion between two profiles of RGB, None if one is damaged or of other colours."""
    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(BytesIO(source)),
            ImageCms.ImageCmsProfile(BytesIO(target)),
            "RGB",
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError, AttributeError):
        return None  # Pillow has no single error for damaged profiles


def _applied(transform: Any, pixels: Bytes) -> Bytes:
    def convert(block: Bytes) -> Bytes:
        image = Image.frombuffer("RGB", (len(block), 1), np.ascontiguousarray(block), "raw", "RGB", 0, 1)
        converted: Bytes = np.asarray(ImageCms.applyTransform(image, transform))[0]
        return converted

    return pixels_in_blocks(pixels, convert)


def _changes_nothing(transform: Any) -> bool:
    """Return True if no colour changes by more than 2 of 255: converting would only cost time."""
    converted = _applied(transform, _SAMPLE_COLOURS).astype(np.int16)
    return int(np.abs(converted - _SAMPLE_COLOURS).max()) <= 2
