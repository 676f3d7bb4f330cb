"""Content that is a part of the stored file, read by byte range."""

from __future__ import annotations

from functools import partial

from app.services.instance_files import InstanceFiles, Ranges
from app.services.retrieve.renderers import Content
from app.storage.records.rows import InstanceRow


def stored_content(files: InstanceFiles, row: InstanceRow, media_type: str, ranges: Ranges) -> Content:
    """Return content that is the joined bytes of ranges of the file.

    Reading raises `StorageUnavailable` if the file ends before a range does, `LostData` if it is lost.
    """
    return Content(
        content_type=media_type,
        length=sum(length for _, length in ranges),
        read=partial(files.joined_chunks, row, ranges),
    )
