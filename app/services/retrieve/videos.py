"""Videos as they are stored. Raw H.264 becomes an MP4 file, which browsers play (PS3.5 §8.2.5 to §8.2.8)."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Final

from app.dicom.encoding.attribute_reader import AttributeReader, before_pixels
from app.dicom.encoding.frames import ITEM_HEADER, FrameTable
from app.errors import ImageFailure, InvalidInstance
from app.imaging.documents.kinds import video_kind
from app.imaging.documents.video.container import NEEDED, Container, container
from app.services.bounded_cache import BoundedCache
from app.services.instance_files import InstanceFiles, Ranges
from app.services.memory_budget import MemoryBudget
from app.services.retrieve.documents import IconRenderer
from app.services.retrieve.frames import FrameReader
from app.services.retrieve.image_headers import MAX_BEFORE_PIXELS
from app.services.retrieve.renderers import Content
from app.services.retrieve.stored_bytes import stored_content
from app.storage.records.rows import InstanceRow

if TYPE_CHECKING:
    from app.imaging.documents.video.mp4 import Mp4File
    from app.imaging.rendering.parameters import RenderingParameters, Viewport

LARGEST_RAW_STREAM: Final = 1 << 30
"""Bytes. A raw stream is read once from its begin to its end before it is answered, which takes seconds."""

_FRAME_TIME: Final = 0x00181063
_CINE_RATE: Final = 0x00180040
_DISPLAY_RATE: Final = 0x00082144
_USUAL_RATE: Final = 25.0
_CACHED_BYTES: Final = 16 << 20
_ENTRY_BYTES: Final = 128
_INDEX_BYTES: Final = 96 << 20
"""The memory that the places of the pictures of one raw stream need at most. One stream is read at a time."""


class VideoRenderer(IconRenderer):
    """A video: one stream in one or more fragments, whatever the number of its frames is."""

    def __init__(self, files: InstanceFiles, frames: FrameReader) -> None:
        super().__init__(video_kind(""))
        self.kind = "a video"
        self._files = files
        self._frames = frames
        self._budget = MemoryBudget(_INDEX_BYTES)
        self._containers: BoundedCache[Container] = BoundedCache(_CACHED_BYTES, "video_containers")
        self._mp4_files: BoundedCache[Mp4File] = BoundedCache(_CACHED_BYTES, "mp4_files")

    def media_types(self, row: InstanceRow) -> tuple[str, ...]:
        """Return the media type of the stream. Its first bytes are read once, because only they say it.

        A stream that is no video has none: its rendering says why.
        """
        try:
            return (self._container(row).media_type,)
        except ImageFailure:
            return ()

    def render(
        self, row: InstanceRow, frames: tuple[int, ...], media_type: str, parameters: RenderingParameters
    ) -> Content:
        """Return the whole video. Raises `ImageFailure` for a single frame, and for a stream that is no video."""
        if frames:
            raise ImageFailure("The instance is a video. Its frames are not decoded one by one.")
        if self._container(row) is Container.H264:
            return self._mp4_content(row)
        return stored_content(self._files, row, media_type, self._ranges(row))

    def thumbnail(self, row: InstanceRow, frame: int | None, media_type: str, viewport: Viewport) -> Content:
        """Return the icon of a video, with the name of the SOP class."""
        return IconRenderer(video_kind(row.sop_class)).thumbnail(row, frame, media_type, viewport)

    def _container(self, row: InstanceRow) -> Container:
        found = self._containers.get(row.blob)
        if found is None:
            begin = b"".join(self._files.joined_chunks(row, self._ranges(row), 0, NEEDED))
            found = container(begin, row.transfer_syntax)
            if found is None:
                raise ImageFailure("The pixel data is no video that the service knows.")
            self._containers.put(row.blob, found, _ENTRY_BYTES)
        return found

    def _ranges(self, row: InstanceRow) -> Ranges:
        ranges = fragment_ranges(self._frames.table(row))
        if not any(length for _, length in ranges):
            raise ImageFailure("The pixel data of the video is empty.")
        return ranges

    def _mp4_content(self, row: InstanceRow) -> Content:
        ranges = self._ranges(row)
        file = self._mp4_files.get(row.blob)
        if file is None:
            file = self._mp4_file(row, ranges)
            self._mp4_files.put(row.blob, file, file.memory)
        return Content(
            content_type=Container.H264.media_type,
            length=file.size,
            read=partial(file.read, partial(self._files.joined_chunks, row, ranges)),
        )

    def _mp4_file(self, row: InstanceRow, ranges: Ranges) -> Mp4File:
        from app.imaging.documents.video.mp4 import TIMESCALE, Mp4File
        from app.imaging.documents.video.samples import stream_samples

        size = sum(length for _, length in ranges)
        if size > LARGEST_RAW_STREAM:
            raise ImageFailure(
                f"The pixel data is {Container.H264.description} of {size} bytes. "
                f"One of at most {LARGEST_RAW_STREAM} bytes becomes an MP4 file."
            )
        with self._budget.use(_INDEX_BYTES):
            samples = stream_samples(self._files.joined_chunks(row, ranges, 0, size))
            return Mp4File(samples, max(1, round(TIMESCALE * self._frame_seconds(row, ranges[0][0]))))

    def _frame_seconds(self, row: InstanceRow, first: int) -> float:
        """Return how long a frame is shown. `first` is where the first fragment begins in the file."""
        if first > MAX_BEFORE_PIXELS:
            raise ImageFailure(f"There are {first} bytes before the pixel data. At most {MAX_BEFORE_PIXELS} are read.")
        with self._files.open(row, 0, first) as stream:
            head = stream.read(first)
        try:
            part10, _ = before_pixels(head)
        except InvalidInstance as error:
            raise ImageFailure(str(error)) from error
        return frame_seconds(AttributeReader.of(head, part10))


def frame_seconds(attributes: AttributeReader) -> float:
    """Return the time of one frame, from Frame Time, Cine Rate or the display rate (PS3.3 C.7.6.5)."""
    rates = [attributes.number(_CINE_RATE), attributes.number(_DISPLAY_RATE), _USUAL_RATE]
    milliseconds = attributes.number(_FRAME_TIME)
    times = [None if milliseconds is None else milliseconds / 1000, *(1 / rate if rate else None for rate in rates)]
    return next(time for time in times if time is not None and math.isfinite(time) and 0.0005 <= time <= 60)


def fragment_ranges(table: FrameTable) -> Ranges:
    """Return offset and length of each fragment. They are one stream, whatever frames the table separates."""
    ranges, offset = [], table.start
    for size in table.sizes:
        ranges.append((offset, size))
        offset += size + ITEM_HEADER
    return ranges
