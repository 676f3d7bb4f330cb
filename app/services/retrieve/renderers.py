"""What renders each kind of object: one row for each SOP class or transfer syntax (conformance §4.10).

An object that has no row is an image. A new kind is a class with the properties and methods of `Renderer`, and its rows
in the wiring (`app/bootstrap`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from app.dicom.encoding.uids import VIDEO
from app.imaging.rendering.parameters import RenderingParameters, Viewport
from app.storage.records.rows import InstanceRow

JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
GIF: Final = "image/gif"
WEBP: Final = "image/webp"
JP2: Final = "image/jp2"

IMAGE_TYPES: Final = (JPEG, PNG, GIF, WEBP, JP2)
"""The media types of rendered images, the default first."""

PROFILED_TYPES: Final = frozenset({JPEG, PNG, WEBP})
"""The media types in which an ICC profile can be embedded."""


THUMBNAIL_SIZE: Final = Viewport(256, 256)
"""The usual size of a thumbnail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A rendered representation. `content_type` is the media type, perhaps with a charset.

    `length` is in bytes, None if it is unknown. `read` takes the first byte and the number of bytes, and returns the
    bytes in chunks. Content of unknown length ignores both and returns all bytes. `data` is all bytes if they are in
    memory, so that they can be cached; None for what is read from the stored file.
    """

    content_type: str
    length: int | None
    read: Callable[[int, int], Iterator[bytes]]
    data: bytes | None = None

    @classmethod
    def of(cls, content_type: str, data: bytes) -> Content:
        """Return content that is in memory."""
        return cls(
            content_type=content_type,
            length=len(data),
            read=lambda start, length: iter((data[start:][:length],)),
            data=data,
        )

    def chunks(self) -> Iterator[bytes]:
        """Return all bytes in chunks."""
        return self.read(0, self.length or 0)


class Renderer(Protocol):
    """Renders objects of one kind.

    The methods raise `ImageFailure` with a reason if the object cannot be rendered, `NotFound` for a frame that does
    not exist, `LostData` and `StorageUnavailable`. They may raise while the content is read too.
    """

    kind: str
    """What the object is, with its article: `an image`, `an encapsulated PDF`. Answers of status 406 name it."""

    def media_types(self, row: InstanceRow) -> tuple[str, ...]:
        """Return the media types that the object can be rendered in, the default first. Nothing is read."""
        ...

    def render(
        self, row: InstanceRow, frames: tuple[int, ...], media_type: str, parameters: RenderingParameters
    ) -> Content:
        """Return the object in a media type that `media_types` names.

        `frames` are numbers from 1. It is empty if the caller asks for the instance as a whole.
        """
        ...

    def thumbnail(self, row: InstanceRow, frame: int | None, media_type: str, viewport: Viewport) -> Content:
        """Return a small picture in a media type of `IMAGE_TYPES`, of a frame or of the instance.

        It has at most the size of the viewport.
        """
        ...

    def variant(self, row: InstanceRow, frames: tuple[int, ...]) -> str:
        """Return what the rendering depends on apart from the version of the instance and the parameters.

        It becomes a part of the entity tag. Usually it is empty. Raises `NotFound` for a frame that does not exist, so
        that a list of frames is refused before its answer begins.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RendererTable:
    """The renderer of each kind. `videos` serves the transfer syntaxes of videos. `images` serves everything else.

    `icons` gives the thumbnails of objects of a SOP class that should have an image and have none.
    """

    images: Renderer
    icons: Callable[[str], Renderer]
    videos: Renderer | None = None
    by_sop_class: Mapping[str, Renderer] = field(default_factory=dict)

    def renderer(self, row: InstanceRow) -> Renderer:
        """Return what renders an instance."""
        found = self.by_sop_class.get(row.sop_class)
        if found is None and row.transfer_syntax in VIDEO:
            found = self.videos
        return found or self.images
