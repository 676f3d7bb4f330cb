"""The attributes of images, read without their pixels: one ranged read of the bytes before the pixel data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from app.dicom.encoding.attribute_reader import AttributeReader, before_pixels
from app.dicom.encoding.elements import Buffer, RawElement
from app.dicom.encoding.frames import FrameTable
from app.dicom.encoding.part10 import PIXEL_DATA, Part10, inflated, parse
from app.errors import ImageFailure, InvalidInstance, NotAcceptable
from app.imaging.pixels.description import PixelDescription
from app.services.bounded_cache import BoundedCache
from app.services.instance_files import InstanceFiles
from app.services.retrieve.frames import MAX_TRANSCODED_BYTES, TOO_LARGE, FrameReader
from app.storage.records.rows import InstanceRow

MAX_BEFORE_PIXELS: Final = 67_108_864
"""The largest size of what is before the pixel data of an image, in bytes (conformance §1.8)."""
_CACHED_BYTES: Final = 32 << 20
"""The memory of all headers that one process keeps."""
_ELEMENT_BYTES: Final = 300
"""About the memory of one element with a short value, beside its bytes in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """An image without its pixels: its attributes, the description of its pixels, and the places of its frames.

    `data` is the bytes before the pixel data, and `part10` their layout. The header of a deflated file is inflated.
    `memory` is about how many bytes the header takes while it is kept.
    """

    data: Buffer
    part10: Part10
    attributes: AttributeReader
    description: PixelDescription
    frames: FrameTable
    memory: int


class ImageHeaders:
    """Reads the headers of images and keeps those that were used last."""

    def __init__(self, files: InstanceFiles, frames: FrameReader) -> None:
        self._files = files
        self._frames = frames
        self._kept: BoundedCache[ImageHeader] = BoundedCache(_CACHED_BYTES, "image_headers")

    def read(self, row: InstanceRow) -> ImageHeader:
        """Return the header of an instance.

        Raises `ImageFailure` if it has no frames, a description that no image has, or too much before the pixel data,
        `NotAcceptable` for a deflated file that is too large, `LostData` if the file is lost.
        """
        header = self._kept.get(row.blob)
        if header is None:
            header = self._read(row)
            self._kept.put(row.blob, header, header.memory)
        return header

    def _read(self, row: InstanceRow) -> ImageHeader:
        table = self._frames.table(row)
        if not table.frames:
            raise ImageFailure("The instance has no frames that can be separated.")
        if not table.deflated and table.start > MAX_BEFORE_PIXELS:
            raise ImageFailure(
                f"There are {table.start} bytes before the pixel data. At most {MAX_BEFORE_PIXELS} are read."
            )
        try:
            data, part10, tag = self._inflated(row) if table.deflated else self.before_pixels(row, table.start)
        except InvalidInstance as error:
            raise ImageFailure(str(error)) from error
        attributes = AttributeReader.of(data, part10)
        description = PixelDescription.of(attributes, row.transfer_syntax, tag)
        return ImageHeader(
            data=data,
            part10=part10,
            attributes=attributes,
            description=description,
            frames=table,
            memory=len(data) + _ELEMENT_BYTES * elements_in_memory(part10.elements),
        )

    def before_pixels(self, row: InstanceRow, start: int) -> tuple[bytes, Part10, int]:
        """Return the first `start` bytes of a file, their layout, and the tag of the pixel data that begins there.

        Nothing is kept. Raises `InvalidInstance` if the header of the pixel data was not found, `LostData`.
        """
        with self._files.open(row, 0, start) as stream:
            data = stream.read()
        return data, *before_pixels(data)

    def _inflated(self, row: InstanceRow) -> tuple[Buffer, Part10, int]:
        if row.size > MAX_TRANSCODED_BYTES:
            raise NotAcceptable(TOO_LARGE)
        with self._files.open(row) as stream:
            data = stream.read()
        part10 = parse(data)
        return inflated(data, part10.dataset_offset), part10, part10.pixel_data.tag if part10.pixel_data else PIXEL_DATA


def elements_in_memory(elements: Iterable[RawElement]) -> int:
    """Return the number of elements that are in memory, with those of items."""
    count = 0
    for element in elements:
        count += 1
        if isinstance(element.items, tuple):
            count += sum(1 + elements_in_memory(item) for item in element.items)
    return count
