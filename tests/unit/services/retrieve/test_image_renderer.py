"""How long the frames of an animation are shown, and which window a series shares."""

from __future__ import annotations

from itertools import islice
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.part10 import parse
from app.errors import ImageFailure
from app.imaging.rendering.parameters import Window
from app.services.retrieve.image_renderer import durations
from app.services.retrieve.series_windows import SeriesWindows
from app.storage.index.instances import Instances, StudyView
from app.storage.records.rows import InstanceRow
from tests.support.instances import make_instance


@pytest.mark.parametrize(
    ("attributes", "numbers", "expected"),
    [
        ({}, [1, 2], [10, 10]),
        ({"FrameTime": "40"}, [1, 2], [4, 4]),
        ({"CineRate": "25"}, [1], [4]),
        ({"RecommendedDisplayFrameRate": "20", "CineRate": "1", "FrameTime": "9"}, [1], [5]),
        ({"FrameTimeVector": ["0", "100", "300"]}, [1, 2, 3], [10, 30, 30]),
        ({"FrameTimeVector": ["0", "100", "300"]}, [3, 1], [30, 10]),
        ({"FrameTimeVector": ["0", "100", "300"], "CineRate": "10"}, [9], [30]),
        ({"FrameTime": "1"}, [1], [2]),  # browsers show shorter ones for longer
        ({"FrameTime": "1e9"}, [1], [65535]),
        ({"FrameTime": "-5"}, [1], [10]),
        ({"CineRate": "0", "FrameTime": "0"}, [1], [10]),
        ({"FrameTimeVector": ["0", "-1"]}, [1], [10]),
    ],
)
def test_durations(attributes: dict[str, Any], numbers: list[int], expected: list[int]) -> None:
    data = make_instance(**attributes)
    assert list(durations(AttributeReader.of(data, parse(data)), numbers)) == expected


def test_durations_of_many_frames_are_computed_one_by_one() -> None:
    data = make_instance()
    assert list(islice(durations(AttributeReader.of(data, parse(data)), range(10**12)), 2)) == [10, 10]


class Archive:
    """An index with one series."""

    def __init__(self, *created: int) -> None:
        self.created = list(created)

    def view(self, partition: int, study: str, series: str) -> StudyView:
        return StudyView(instances=[self.row(each) for each in self.created])

    def row(self, created: int) -> InstanceRow:
        named = SimpleNamespace(partition=1, study="1", series="2", of_series=3, created=created)
        return cast(InstanceRow, named)


def test_the_window_comes_from_the_middle_instance_and_is_kept_for_a_minute() -> None:
    archive, now, asked = Archive(30, 10, 20), [0.0], []
    windows = SeriesWindows(cast(Instances, archive), lambda: now[0])

    def window_of(row: InstanceRow) -> Window:
        asked.append(row.created)
        return Window(row.created, 1)

    assert windows.window(archive.row(30), window_of) == Window(20, 1)
    archive.created += [40, 50]
    now[0] = 59
    assert windows.window(archive.row(10), window_of) == Window(20, 1)
    now[0] = 61
    assert windows.window(archive.row(10), window_of) == Window(30, 1)
    assert asked == [20, 30]


def test_a_middle_instance_that_cannot_be_decoded_gives_no_window() -> None:
    archive = Archive(1, 2, 3)
    windows = SeriesWindows(cast(Instances, archive))

    def window_of(row: InstanceRow) -> Window:
        raise ImageFailure("damaged")

    assert windows.window(archive.row(1), window_of) is None
    archive.created.clear()
    assert SeriesWindows(cast(Instances, archive)).window(archive.row(1), window_of) is None
