"""Every media type gives the pixels back, exactly where it is lossless (PS3.18 §8.7.4)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.errors import ImageFailure
from app.imaging.rendering.gif import gif
from app.imaging.rendering.output import encode
from app.imaging.rendering.picture import Picture
from app.services.retrieve.renderers import IMAGE_TYPES, PROFILED_TYPES

GRAY = np.add.outer(np.arange(48), np.arange(64) * 2).astype(np.uint8)
COLOUR = np.dstack([GRAY, GRAY[::-1], GRAY[:, ::-1]])
FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/jp2": "JPEG2000",
}


def opened(data: bytes) -> Any:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def decoded(data: bytes, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(opened(data).convert("L" if pixels.ndim == 2 else "RGB")).astype(int)


@pytest.mark.parametrize("pixels", [GRAY, COLOUR], ids=["gray", "colour"])
@pytest.mark.parametrize("media_type", IMAGE_TYPES)
def test_the_pixels_come_back(media_type: str, pixels: np.ndarray) -> None:
    data = encode(Picture(pixels=pixels), media_type, 100)
    assert opened(data).format == FORMATS[media_type]
    difference = np.abs(decoded(data, pixels) - pixels)
    if media_type in ("image/png", "image/webp", "image/jp2") or (media_type == "image/gif" and pixels.ndim == 2):
        assert difference.max() == 0
    else:
        assert difference.mean() < (12 if media_type == "image/gif" else 1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (70, 1), (3, 5, 3)])
@pytest.mark.parametrize("media_type", IMAGE_TYPES)
def test_a_small_picture_is_a_picture(media_type: str, shape: tuple[int, ...]) -> None:
    pixels = np.full(shape, 100, np.uint8)
    data = encode(Picture(pixels=pixels), media_type, 90)
    assert np.abs(decoded(data, pixels) - 100).max() <= 3


@pytest.mark.parametrize("pixels", [GRAY, COLOUR], ids=["gray", "colour"])
@pytest.mark.parametrize("media_type", ["image/jpeg", "image/webp", "image/jp2"])
def test_a_lower_quality_is_smaller_and_still_like_the_picture(media_type: str, pixels: np.ndarray) -> None:
    noisy = np.clip(pixels + np.random.default_rng(1).normal(0, 10, pixels.shape), 0, 255).astype(np.uint8)
    sizes = []
    for quality in (1, 50, 95, 100):
        data = encode(Picture(pixels=noisy), media_type, quality)
        sizes.append(len(data))
        assert np.abs(decoded(data, noisy) - noisy).mean() < 60
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("media_type", sorted(PROFILED_TYPES))
def test_a_profile_is_embedded(media_type: str) -> None:
    profile = bytes(range(256)) * 3
    for pixels in (GRAY, COLOUR):
        data = encode(Picture(pixels=pixels), media_type, 100, profile)
        assert opened(data).info["icc_profile"] == profile
        assert np.abs(decoded(data, pixels) - pixels).mean() < 1
        assert "icc_profile" not in opened(encode(Picture(pixels=pixels), media_type, 100)).info


def test_a_jpeg_is_baseline() -> None:
    """PS3.18 §8.7.4 wants the baseline process: the frame header is SOF0."""
    data = encode(Picture(pixels=COLOUR), "image/jpeg", 95)
    assert b"\xff\xc0" in data
    assert b"\xff\xc2" not in data


@pytest.mark.parametrize("pixels", [GRAY, COLOUR], ids=["gray", "colour"])
def test_an_animation_has_each_frame_its_duration_and_a_loop(pixels: np.ndarray) -> None:
    pictures = [Picture(pixels=pixels // 2 + shade) for shade in (0, 20, 40)]
    chunks = gif(iter(pictures), [10, 20, 30])
    first = next(chunks)
    assert first.startswith(b"GIF89a")
    image = opened(first + b"".join(chunks))
    assert (image.n_frames, image.info["loop"], image.size) == (3, 0, (64, 48))
    for number, picture in enumerate(pictures):
        image.seek(number)
        assert image.info["duration"] == (number + 1) * 100
        shown = np.asarray(image.convert("L" if pixels.ndim == 2 else "RGB")).astype(int)
        assert np.abs(shown - picture.pixels).mean() < (12 if pixels.ndim == 3 else 1e-9)


def test_an_animation_is_made_as_it_is_read() -> None:
    taken = []

    def pictures() -> Any:
        for shade in range(1000):
            taken.append(shade)
            yield Picture(pixels=np.full((4, 4), shade % 256, np.uint8))

    chunks = gif(pictures(), [5] * 1000)
    for _ in range(3):
        next(chunks)
    assert len(taken) == 3


def test_a_picture_that_a_format_cannot_hold_is_refused() -> None:
    wide = Picture(pixels=np.zeros((1, 16384), np.uint8))
    with pytest.raises(ImageFailure, match="WebP has at most 16383 rows and columns; the picture has 1 and 16384"):
        encode(wide, "image/webp", 90)
    assert opened(encode(wide, "image/jpeg", 90)).size == (16384, 1)
