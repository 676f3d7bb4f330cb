"""Pictures are sRGB unless the caller asks for another colour space (PS3.18 §8.3.5.1.5)."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pydicom
import pytest
from PIL import ImageCms
from pydicom.dataset import Dataset

from app.imaging.pixels.frame import DecodedFrame
from app.imaging.rendering.icc_profiles import Space, icc_profile
from app.imaging.rendering.picture import Picture
from tests.unit.imaging.rendering.images import image, pipeline, sequence_item

COLOURS = np.array(
    [[[200, 30, 40], [20, 180, 60], [10, 20, 220], [128, 128, 128], [0, 0, 0], [255, 255, 255]]], np.uint8
)
GRAY = np.array([[0, 128, 255]], np.uint8)
CRAYONS = Path(pydicom.__file__).parent / "data" / "test_files" / "crayons.icc"


def picture(samples: Any, dataset: Dataset, icc_profile: Any = None) -> Picture:
    frame = DecodedFrame(samples=samples, photometric=dataset.PhotometricInterpretation)
    return pipeline(samples, dataset).render(frame, icc_profile=icc_profile)


def lab(picture_: Picture) -> Any:
    """Return CIELab of a picture with a profile, computed by LittleCMS from that profile."""
    from PIL import Image

    assert picture_.icc
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(BytesIO(picture_.icc)), ImageCms.createProfile("LAB"), "RGB", "LAB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )  # fmt: skip
    assert transform
    converted = np.asarray(ImageCms.applyTransform(Image.fromarray(picture_.pixels), transform)).astype(int)
    return np.where(np.array([False, True, True]) & (converted > 127), converted - 256, converted)


def test_colours_without_a_profile_are_srgb() -> None:
    found = picture(COLOURS, image(COLOURS, "RGB"))
    assert (found.pixels.tolist(), found.icc) == (COLOURS.tolist(), None)


@pytest.mark.parametrize("wanted", [None, "no"])
def test_a_profile_is_applied(wanted: Any) -> None:
    """The red of Adobe RGB is redder than that of sRGB, and grays stay as they are."""
    found = picture(COLOURS, image(COLOURS, "RGB", ICCProfile=icc_profile("adobergb")), wanted)
    assert found.icc is None
    assert found.pixels[0, 0, 0] > 225
    assert np.abs(found.pixels[0, 3:].astype(int) - COLOURS[0, 3:]).max() <= 2


def test_the_profile_of_an_optical_path_is_applied() -> None:
    dataset = image(COLOURS, "RGB", OpticalPathSequence=sequence_item(ICCProfile=icc_profile("adobergb")))
    assert picture(COLOURS, dataset).pixels[0, 0, 0] > 225


def test_a_profile_of_srgb_changes_nothing() -> None:
    """Only some colours are converted, to see that."""
    with patch.object(ImageCms, "applyTransform", side_effect=ImageCms.applyTransform) as applied:
        found = picture(COLOURS, image(COLOURS, "RGB", ICCProfile=icc_profile("srgb")))
    assert found.pixels.tolist() == COLOURS.tolist()
    assert applied.call_count == 1


def test_yes_returns_the_stored_colours_with_their_profile() -> None:
    found = picture(COLOURS, image(COLOURS, "RGB", ICCProfile=icc_profile("adobergb")), "yes")
    assert (found.pixels.tolist(), found.icc) == (COLOURS.tolist(), icc_profile("adobergb"))
    assert picture(COLOURS, image(COLOURS, "RGB"), "yes").icc == icc_profile("srgb")


@pytest.mark.parametrize("wanted", ["adobergb", "rommrgb", "srgb"])
@pytest.mark.parametrize("stored", ["srgb", "adobergb"])
def test_a_colour_stays_the_same_in_every_space(wanted: Space, stored: Space) -> None:
    """These colours lie in both spaces."""
    dataset = image(COLOURS, "RGB", ICCProfile=icc_profile(stored))
    samples = np.array([[[150, 90, 80], [90, 140, 100], [80, 90, 150], [128, 128, 128]]], np.uint8)
    expected, found = picture(samples, dataset, "yes"), picture(samples, dataset, wanted)
    assert found.icc == icc_profile(wanted)
    assert np.abs(lab(found) - lab(expected)).max() <= 3


def test_gray_pictures_with_a_profile_have_three_colours() -> None:
    found = picture(GRAY, image(GRAY), "srgb")
    assert (found.pixels.tolist(), found.icc) == ([[[0] * 3, [128] * 3, [255] * 3]], icc_profile("srgb"))
    assert picture(GRAY, image(GRAY), "no").pixels.ndim == 2


@pytest.mark.parametrize(
    "profile",
    [
        b"", b"\0" * 128, b"damaged", icc_profile("adobergb")[:200], icc_profile("adobergb")[:-30] + bytes(30),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
    ],
)  # fmt: skip
def test_a_profile_that_is_damaged_or_of_other_colours_is_ignored(profile: bytes) -> None:
    found = picture(COLOURS, image(COLOURS, "RGB", ICCProfile=profile))
    assert found.pixels.shape == COLOURS.shape


def test_every_cut_of_a_profile_gives_a_picture() -> None:
    whole = CRAYONS.read_bytes()
    for length in range(0, len(whole), 499):
        assert picture(COLOURS, image(COLOURS, "RGB", ICCProfile=whole[:length])).pixels.shape == COLOURS.shape


def test_the_profile_of_pydicom_is_that_of_littlecms() -> None:
    from PIL import Image

    expected = ImageCms.profileToProfile(
        Image.fromarray(COLOURS), str(CRAYONS), ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    found = picture(COLOURS, image(COLOURS, "RGB", ICCProfile=CRAYONS.read_bytes())).pixels
    assert np.abs(found.astype(int) - np.asarray(expected)).max() <= 3


@pytest.mark.parametrize("space", ["srgb", "adobergb", "rommrgb"])
def test_profiles_are_valid(space: Space) -> None:
    profile = ImageCms.ImageCmsProfile(BytesIO(icc_profile(space)))
    assert profile.profile.xcolor_space.strip() == "RGB"
    assert profile.profile.is_matrix_shaper
    assert len(icc_profile(space)) == int.from_bytes(icc_profile(space)[:4], "big")


def test_the_profile_of_srgb_is_that_of_littlecms() -> None:
    own = ImageCms.ImageCmsProfile(BytesIO(icc_profile("srgb")))
    transform = ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    assert transform
    from PIL import Image

    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    found = np.asarray(ImageCms.applyTransform(Image.fromarray(ramp), transform))
    assert np.abs(found.astype(int) - ramp).max() <= 1
