"""The values of a frame come from its group, the shared group, or the dataset (PS3.3 C.7.6.16)."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import pytest
from pydicom.dataset import Dataset

from app.dicom.encoding import limits
from app.dicom.encoding.attribute_reader import AttributeReader
from app.imaging.rendering import functional_groups
from app.imaging.rendering.functional_groups import FunctionalGroups
from app.imaging.rendering.parameters import Window
from tests.unit.imaging.rendering.images import image, reader, rendered, sequence_item


def group(**attributes: object) -> Dataset:
    """Return a functional group with a rescale, a window, a spacing and a segment where they are given."""
    found = Dataset()
    if "slope" in attributes:
        found.PixelValueTransformationSequence = sequence_item(RescaleSlope=attributes["slope"], RescaleIntercept=0)
    if "center" in attributes:
        found.FrameVOILUTSequence = sequence_item(
            WindowCenter=attributes["center"], WindowWidth=100, VOILUTFunction="LINEAR_EXACT"
        )
    if "spacing" in attributes:
        found.PixelMeasuresSequence = sequence_item(PixelSpacing=attributes["spacing"])
    if "segment" in attributes:
        found.SegmentIdentificationSequence = sequence_item(ReferencedSegmentNumber=attributes["segment"])
    return found


def with_groups(frames: list[Dataset], shared: Dataset | None = None) -> Dataset:
    dataset = Dataset()
    dataset.RescaleSlope, dataset.RescaleIntercept = 9, 5
    dataset.PerFrameFunctionalGroupsSequence = frames
    if shared:
        dataset.SharedFunctionalGroupsSequence = [shared]
    return dataset


@pytest.fixture(params=["short", "very long"])
def read(request: pytest.FixtureRequest) -> Iterator[type[FunctionalGroups]]:
    """Sequences that are in memory, and those whose items are read from the file each time."""
    with patch.object(limits, "LARGE", 0 if request.param == "very long" else limits.LARGE):
        yield FunctionalGroups


def test_the_group_of_a_frame_comes_first(read: type[FunctionalGroups]) -> None:
    frames = [group(slope=2, center=10, segment=3), group(center=20), group()]
    groups = read(reader(with_groups(frames, group(slope=4, center=30, spacing=[1, 2]))))
    first, second, third = (groups.values(number) for number in (1, 2, 3))
    assert (first.slope, first.window, first.segment) == (2, Window(10, 100, "linear-exact"), 3)
    assert (second.slope, second.window, second.segment) == (4, Window(20, 100, "linear-exact"), None)
    assert (third.slope, third.window, third.spacing) == (4, Window(30, 100, "linear-exact"), (1, 2))
    assert first.intercept == 0


@pytest.mark.parametrize("number", [0, -1, 3, 10**9])
def test_a_frame_without_a_group_has_the_values_of_the_dataset(read: type[FunctionalGroups], number: int) -> None:
    groups = read(reader(with_groups([group(slope=2), group(slope=3)])))
    assert (groups.values(number).slope, groups.values(number).intercept) == (9, 5)


def test_a_very_long_sequence_is_read_once() -> None:
    with patch.object(limits, "LARGE", 0):
        attributes = reader(with_groups([group(slope=number) for number in range(1, 50)]))
    groups = FunctionalGroups(attributes)
    with patch.object(AttributeReader, "items", autospec=True, side_effect=AttributeReader.items) as items:
        assert [groups.values(number).slope for number in range(1, 50)] == list(range(1, 50))
    assert items.call_count == 1


def test_one_item_of_a_short_sequence_is_read_for_a_frame() -> None:
    groups = FunctionalGroups(reader(with_groups([group(slope=number) for number in range(1, 50)])))
    with patch.object(AttributeReader, "items", autospec=True) as items:
        assert groups.values(40).slope == 40
    assert not items.called


def test_each_frame_is_shown_with_its_own_values() -> None:
    samples = np.array([[0, 50, 100]], np.int16)
    dataset = image(samples, PerFrameFunctionalGroupsSequence=[group(slope=1, center=50), group(slope=2, center=50)])
    assert rendered(samples, dataset, 1).pixels.tolist() == [[0, 128, 255]]
    assert rendered(samples, dataset, 2).pixels.tolist() == [[0, 255, 255]]


def test_frames_beyond_those_that_are_kept_have_their_values() -> None:
    samples = np.array([[0, 50, 100]], np.uint16)
    groups = [group(slope=slope, center=50) for slope in (1, 2, 4)]
    dataset = image(samples, PerFrameFunctionalGroupsSequence=groups)
    with patch.object(limits, "LARGE", 0), patch.object(functional_groups, "MOST_KEPT", 1):
        values = FunctionalGroups(reader(dataset))
        assert [values.values(number).slope for number in (1, 2, 3, 4)] == [1, 2, 4, None]
        assert len(values._kept or ()) == 8


def lut_group(*entries: int) -> Dataset:
    """Return a functional group with a VOI LUT and a window, of which the LUT counts."""
    found = Dataset()
    table = sequence_item(LUTDescriptor=[len(entries), 0, 8], LUTData=bytes(entries))
    found.FrameVOILUTSequence = sequence_item(VOILUTSequence=table, WindowCenter=1, WindowWidth=1)
    return found


@pytest.mark.parametrize("large", [0, limits.LARGE])
def test_a_frame_may_have_a_voi_lut_of_its_own(large: int) -> None:
    """Frame VOI LUT With LUT macro (PS3.3 C.7.6.16.2.10b)."""
    samples = np.array([[0, 1]], np.uint16)
    window = group(center=0.5)
    window.FrameVOILUTSequence[0].WindowWidth = 1
    dataset = image(samples, PerFrameFunctionalGroupsSequence=[lut_group(7, 9), lut_group(90, 80), window, Dataset()])
    dataset.VOILUTSequence = sequence_item(LUTDescriptor=[2, 0, 8], LUTData=bytes([1, 2]))
    with patch.object(limits, "LARGE", large):
        pictures = [rendered(samples, dataset, number).pixels.tolist() for number in (1, 2, 3, 4)]
    assert pictures == [[[7, 9]], [[90, 80]], [[0, 255]], [[1, 2]]]


def test_colour_images_do_not_read_the_groups_of_frames() -> None:
    samples = np.zeros((1, 1, 3), np.uint8)
    dataset = image(samples, "RGB", PerFrameFunctionalGroupsSequence=[group(spacing=[1, 2])])
    dataset.SharedFunctionalGroupsSequence = [group(spacing=[2, 1])]
    assert rendered(samples, dataset).pixel_aspect == (2, 1)
