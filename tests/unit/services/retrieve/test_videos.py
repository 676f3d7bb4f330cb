"""Videos: the stream as it is stored, whatever its fragments are; raw H.264 as an MP4 file."""

from __future__ import annotations

from typing import Any

import pytest

from app.dicom.encoding.frames import FrameTable
from app.errors import ImageFailure
from app.imaging.rendering.parameters import RenderingParameters, Viewport
from app.services.retrieve import videos
from app.services.retrieve.frames import FrameReader
from app.services.retrieve.videos import VideoRenderer
from app.storage.records.rows import InstanceRow
from tests.support.documents import H264, HEVC, MPEG_2, video
from tests.support.h264 import grey_stream
from tests.support.stored_instance import StoredInstance, bytes_of

MP4 = b"\0\0\0\x18ftypmp42" + bytes(range(200)) * 5
PARAMETERS = RenderingParameters()


class OneTable(FrameReader):
    """Has the frame table of one instance."""

    def __init__(self, table: FrameTable) -> None:
        self._only = table

    def table(self, row: InstanceRow) -> FrameTable:
        return self._only


class StoredVideo(StoredInstance):
    """A video in memory, and its renderer."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.renderer = VideoRenderer(self.files, OneTable(self.table))

    def rendered(self) -> tuple[str, bytes]:
        (media_type,) = self.renderer.media_types(self.row)
        content = self.renderer.render(self.row, (), media_type, PARAMETERS)
        return content.content_type, bytes_of(content)


@pytest.mark.parametrize(
    ("syntax", "stream", "media_type"),
    [
        (H264, MP4, "video/mp4"),
        (H264 + ".1", MP4, "video/mp4"),
        (HEVC, MP4, "video/mp4"),
        (HEVC, b"\0\0\0\1\x40\1" + bytes(range(1, 201)), "video/H265"),
        (MPEG_2, b"\0\0\1\xb3" + bytes(range(1, 201)), "video/mpeg"),
        (MPEG_2, b"\0\0\1\xba" + bytes(range(1, 201)), "video/mpeg"),
        (H264, (b"\x47" + bytes(187)) * 4, "video/mp2t"),
    ],
)
@pytest.mark.parametrize("fragments", [1, 2, 5])
def test_a_video_is_its_stream_under_the_media_type_of_its_first_bytes(
    syntax: str, stream: bytes, media_type: str, fragments: int
) -> None:
    """Two frames in two fragments are no frames that are separate."""
    step = len(stream) // fragments // 2 * 2
    pieces = [stream[number * step : (number + 1) * step] for number in range(fragments - 1)]
    stored = StoredVideo(video(*pieces, stream[(fragments - 1) * step :], transfer_syntax=syntax))
    assert stored.rendered() == (media_type, stream)


def test_a_range_of_a_video_reads_only_that_range() -> None:
    stored = StoredVideo(video(MP4[:400], MP4[400:]))
    content = stored.renderer.render(stored.row, (), "video/mp4", PARAMETERS)
    stored.blobs.reads.clear()
    assert bytes_of(content, 390, 20) == MP4[390:410]
    assert [length for _, length in stored.blobs.reads] == [10, 10]


def test_the_first_bytes_of_a_video_are_read_once() -> None:
    stored = StoredVideo(video(MP4))
    for _ in range(3):
        stored.renderer.media_types(stored.row)
    assert len(stored.blobs.reads) == 1


def test_a_raw_stream_becomes_an_mp4_file_and_any_range_of_it() -> None:
    stream = grey_stream([16, 128, 235])
    stored = StoredVideo(video(stream[:500], stream[500:]))
    media_type, whole = stored.rendered()
    assert (media_type, whole[4:8]) == ("video/mp4", b"ftyp")
    assert whole.count(stream[-300:].rstrip(b"\0")) == 1
    content = stored.renderer.render(stored.row, (), "video/mp4", PARAMETERS)
    for start, length in ((0, 5), (600, 40), (len(whole) - 7, 7)):
        assert bytes_of(content, start, length) == whole[start : start + length]


def test_the_stream_is_scanned_once() -> None:
    stored = StoredVideo(video(grey_stream([16, 128])))
    stored.rendered()
    stored.blobs.reads.clear()
    content = stored.renderer.render(stored.row, (), "video/mp4", PARAMETERS)
    assert (bytes_of(content, 4, 4), stored.blobs.reads) == (b"ftyp", [])


@pytest.mark.parametrize(
    ("attributes", "duration"),
    [
        ({"FrameTime": "40"}, 3600),
        ({"FrameTime": None, "CineRate": "50"}, 1800),
        ({"FrameTime": None, "RecommendedDisplayFrameRate": "30"}, 3000),
        ({"FrameTime": None}, 3600),
        ({"FrameTime": "0", "CineRate": "0"}, 3600),
        ({"FrameTime": "-1"}, 3600),
        ({"FrameTime": "1e300"}, 3600),
    ],
)
def test_the_time_of_a_frame_is_that_of_the_instance(attributes: dict[str, Any], duration: int) -> None:
    _, whole = StoredVideo(video(grey_stream([16, 128]), **attributes)).rendered()
    place = whole.index(b"stts") + 8
    assert int.from_bytes(whole[place + 8 : place + 12], "big") == duration


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"<html><script>alert(1)</script></html>", "no video that the service knows"),
        (b"\0\0\0\1\x67\x42", "header that is cut short"),
        (b"\0\0\0\1\x09\x10", "no parameter sets"),
    ],
)
def test_a_stream_that_is_no_video_says_so(stream: bytes, reason: str) -> None:
    stored = StoredVideo(video(stream))
    with pytest.raises(ImageFailure, match=reason):
        stored.renderer.render(stored.row, (), "video/mp4", PARAMETERS)


def test_an_unknown_stream_has_no_media_type_and_an_icon() -> None:
    stored = StoredVideo(video(b"unknown stream"))
    assert stored.renderer.media_types(stored.row) == ()
    icon = stored.renderer.thumbnail(stored.row, None, "image/png", Viewport(256, 256))
    assert bytes_of(icon).startswith(b"\x89PNG")


def test_a_video_without_bytes_says_so() -> None:
    stored = StoredVideo(video(b""))
    with pytest.raises(ImageFailure, match="is empty"):
        stored.renderer.render(stored.row, (), "video/mp4", PARAMETERS)


def test_a_frame_of_a_video_is_not_decoded() -> None:
    stored = StoredVideo(video(MP4))
    with pytest.raises(ImageFailure, match="not decoded one by one"):
        stored.renderer.render(stored.row, (1,), "video/mp4", PARAMETERS)


def test_a_raw_stream_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "LARGEST_RAW_STREAM", 1000)
    stored = StoredVideo(video(grey_stream([16] * 4)))
    with pytest.raises(ImageFailure, match=r"a raw H\.264 stream of 1594 bytes"):
        stored.rendered()
