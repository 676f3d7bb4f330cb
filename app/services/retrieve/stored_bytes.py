"""Content that is a part of the stored file, read by byte range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from app.errors import StorageUnavailable
from app.services.instance_files import InstanceFiles
from app.services.retrieve.frames import Ranges, within
from app.services.retrieve.renderers import Content
from app.storage.records.rows import InstanceRow

_CHUNK: Final = 1024 * 1024


def stored_content(
    files: InstanceFiles, row: InstanceRow, media_type: str, ranges: Sequence[tuple[int, int]]
) -> Content:
    """Return content that is the joined bytes of ranges of the file. Each range is (offset, length).

    Reading raises `StorageUnavailable` if the file ends before a range does, `LostData` if it is lost.
    """
    joined = list(ranges)
    return Content(
        content_type=media_type,
        length=sum(length for _, length in joined),
        read=partial(read_ranges, files, row, joined),
    )


def read_ranges(files: InstanceFiles, row: InstanceRow, ranges: Ranges, start: int, length: int) -> Iterator[bytes]:
    """Yield `length` bytes from byte `start` of the joined ranges, in chunks. Raises as `stored_content` says."""
    for offset, size in within(ranges, start, length):
        left = size
        with files.open(row, offset, size) as stream:
            while left:
                chunk = stream.read(min(left, _CHUNK))
                if not chunk:
                    raise StorageUnavailable
                left -= len(chunk)
                yield chunk
