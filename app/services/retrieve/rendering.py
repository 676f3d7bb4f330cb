"""Rendered representations and thumbnails (conformance §4.10, PS3.18 §10.4.1.1.3, §10.4.1.1.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from app.dicom.encoding.uids import transfer_syntax
from app.errors import ImageFailure
from app.imaging.rendering.parameters import RenderingParameters, Viewport
from app.services.retrieve.picture_cache import PictureCache
from app.services.retrieve.renderers import THUMBNAIL_SIZE, Content, Renderer, RendererTable
from app.services.retrieve.slides import WHOLE_SLIDE, SlideImages
from app.storage.records.rows import InstanceRow

FAILURE: Final = "An error was encountered when attempting to convert the dicom file into an image"
"""The text that clients compare. A reason may follow it."""

_RENDERING: Final = 1
"""The version of the pictures. A release that renders otherwise has another number, so no cache gives old pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """One representation that a caller asks for. It is rendered when its content is read.

    `frames` are numbers from 1; empty is the instance as a whole. `tag` is the entity tag without quotes: it changes
    with the version of the instance and with everything that the picture depends on.
    """

    row: InstanceRow
    renderer: Renderer
    frames: tuple[int, ...]
    media_type: str
    parameters: RenderingParameters
    is_thumbnail: bool
    tag: str


class Rendering:
    """Renders instances and keeps the pictures that were used last."""

    def __init__(self, renderers: RendererTable, slides: SlideImages, cache: PictureCache) -> None:
        self._renderers = renderers
        self._slides = slides
        self._cache = cache

    def kind(self, row: InstanceRow) -> str:
        """Return what an instance is, with its article."""
        return self._renderers.renderer(row).kind

    def media_types(self, row: InstanceRow) -> tuple[str, ...]:
        """Return the media types that an instance can be rendered in, the default first."""
        return self._renderers.renderer(row).media_types(row)

    def representative(self, rows: Sequence[InstanceRow], is_admitted: Callable[[InstanceRow], bool]) -> InstanceRow:
        """Return the instance that stands for a study or a series.

        It is the middle one, in the order of storing, of the series with most admitted instances. Instances with an
        image come before other instances. A slide is shown by its thumbnail or its coarsest level. Returns the first
        instance if none is admitted.
        """
        admitted = [row for row in rows if is_admitted(row)] or list(rows[:1])
        candidates = [row for row in admitted if self._has_image(row)] or admitted
        ((series, _),) = Counter(row.series for row in candidates).most_common(1)
        members = [row for row in candidates if row.series == series]
        middle = members[len(members) // 2]
        if len(members) > 1 and middle.sop_class == WHOLE_SLIDE:
            return self._slides.best(members) or middle
        return middle

    def check_frames(self, row: InstanceRow, frames: Sequence[int]) -> None:
        """Raise `NotFound` for a frame that does not exist, before anything is rendered. Raises as `Renderer` too."""
        self._variant(self._renderers.renderer(row), row, tuple(frames))

    def rendition(
        self, row: InstanceRow, frames: Sequence[int], media_type: str, parameters: RenderingParameters
    ) -> Rendition:
        """Return the representation of an instance, or of some of its frames. Raises as `Renderer.variant`."""
        renderer = self._renderers.renderer(row)
        return self._rendition(renderer, row, tuple(frames), media_type, parameters, is_thumbnail=False)

    def thumbnail(self, row: InstanceRow, frame: int | None, media_type: str, viewport: Viewport | None) -> Rendition:
        """Return the thumbnail of an instance or of a frame: an icon if it has no image. Raises `NotFound`, `LostData`.

        Without a viewport it has the usual size. The frame must exist if the instance has an image.
        """
        frames = () if frame is None else (frame,)
        parameters = RenderingParameters(viewport=viewport or THUMBNAIL_SIZE)
        renderer = self._renderers.renderer(row)
        try:
            return self._rendition(renderer, row, frames, media_type, parameters, is_thumbnail=True)
        except ImageFailure:
            icons = self._renderers.icons(row.sop_class)
            return self._rendition(icons, row, frames, media_type, parameters, is_thumbnail=True)

    def content(self, rendition: Rendition) -> Content:
        """Return the content, from the cache if it is there. Raises as `Renderer`."""
        found = self._cache.get(rendition.tag)
        if found is not None:
            return Content.of(rendition.media_type, found)
        try:
            content = self._rendered(rendition)
        except ImageFailure as failure:
            raise ImageFailure(f"{FAILURE}: {failure}") from failure
        if content.data is not None and content.content_type == rendition.media_type:
            self._cache.put(rendition.tag, content.data)
        return content

    def _rendition(
        self,
        renderer: Renderer,
        row: InstanceRow,
        frames: tuple[int, ...],
        media_type: str,
        parameters: RenderingParameters,
        *,
        is_thumbnail: bool,
    ) -> Rendition:
        variant = self._variant(renderer, row, frames)
        depends_on = (_RENDERING, row.blob, frames, media_type, _text(parameters), is_thumbnail, variant)
        return Rendition(
            row=row,
            renderer=renderer,
            frames=frames,
            media_type=media_type,
            parameters=parameters,
            is_thumbnail=is_thumbnail,
            tag=sha256(repr(depends_on).encode()).hexdigest()[:40],
        )

    def _variant(self, renderer: Renderer, row: InstanceRow, frames: tuple[int, ...]) -> str:
        try:
            return renderer.variant(row, frames)
        except ImageFailure as failure:
            raise ImageFailure(f"{FAILURE}: {failure}") from failure

    def _rendered(self, rendition: Rendition) -> Content:
        row, frames, media_type = rendition.row, rendition.frames, rendition.media_type
        if rendition.is_thumbnail:
            frame = frames[0] if frames else None
            viewport = rendition.parameters.viewport or THUMBNAIL_SIZE
            return rendition.renderer.thumbnail(row, frame, media_type, viewport)
        return rendition.renderer.render(row, frames, media_type, rendition.parameters)

    def _has_image(self, row: InstanceRow) -> bool:
        if self._renderers.renderer(row) is not self._renderers.images:
            return False
        return bool(row.native) or transfer_syntax(row.transfer_syntax).encapsulated


def _text(parameters: RenderingParameters) -> str:
    """Return the parameters as text that is the same in each process. The order of a set is not."""
    return repr((replace(parameters, annotation=frozenset()), sorted(parameters.annotation)))
