"""Renderers of objects that are no images: one class for each source of content (conformance §4.10, PS3.18 §8.7.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.part10 import inflated, parse
from app.errors import ImageFailure, InvalidInstance
from app.imaging.documents.kinds import HTML, SVG, ObjectKind, Source, known_kinds
from app.services.instance_files import InstanceFiles
from app.services.links import Link
from app.services.memory_budget import MemoryBudget
from app.services.retrieve.encapsulated_content import EncapsulatedContent
from app.services.retrieve.renderers import Content, Renderer
from app.services.retrieve.stored_bytes import stored_content
from app.storage.records.rows import InstanceRow

if TYPE_CHECKING:
    from app.imaging.rendering.parameters import RenderingParameters, Viewport

_HTML_TYPE: Final = f"{HTML}; charset=utf-8"
_PAGE_BYTES: Final = 64 << 20
_DRAWING_BYTES: Final = 64 << 20
_BUDGET: Final = 128 << 20
"""The memory for one page, for one drawing, and for all that are made at once, at most."""
_VOWELS: Final = ("A", "E", "I", "O", "U", "RT ", "SR", "MR", "X-Ray", "XA")
"""Beginnings of names that take the article `an`."""


class IconRenderer:
    """An object without a picture: it has an icon and no rendered representation. The base of the other renderers."""

    def __init__(self, kind: ObjectKind) -> None:
        self._kind = kind
        self.kind = with_article(kind.name)

    def media_types(self, row: InstanceRow) -> tuple[str, ...]:
        """Return what the object can be rendered in, the default first."""
        return self._kind.media_types

    def render(
        self, row: InstanceRow, frames: tuple[int, ...], media_type: str, parameters: RenderingParameters
    ) -> Content:
        """Raise `ImageFailure`, which says what the object is."""
        raise ImageFailure(f"The instance is {self.kind}. It has no picture.")

    def thumbnail(self, row: InstanceRow, frame: int | None, media_type: str, viewport: Viewport) -> Content:
        """Return the icon of the kind. The file is not read."""
        from app.imaging.documents.icon import icon_file

        side = min(viewport.width, viewport.height)
        return Content.of(media_type, icon_file(self._kind, media_type, side))

    def variant(self, row: InstanceRow, frames: tuple[int, ...]) -> str:
        """Return "": the rendering depends on the version of the instance alone."""
        return ""

    def _refuse_frames(self, frames: tuple[int, ...]) -> None:
        if frames not in ((), (1,)):
            raise ImageFailure(f"The instance is {self.kind}. It has no frames.")


class StoredFileRenderer(IconRenderer):
    """An encapsulated document: its bytes, as they were stored, under the media type of its SOP class."""

    def __init__(self, kind: ObjectKind, files: InstanceFiles, content: EncapsulatedContent) -> None:
        super().__init__(kind)
        self._files = files
        self._content = content

    def render(
        self, row: InstanceRow, frames: tuple[int, ...], media_type: str, parameters: RenderingParameters
    ) -> Content:
        """Return the document. Raises `ImageFailure` if the instance has none."""
        self._refuse_frames(frames)
        place = self._content.place(row)
        if place.data is not None:
            return Content.of(media_type, place.data)
        return stored_content(self._files, row, media_type, [(place.offset, place.length)])


class _BudgetedRenderer(IconRenderer):
    """The base of renderers that read the attributes of the file and make the rendering in memory, within a budget."""

    def __init__(self, kind: ObjectKind, files: InstanceFiles, budget: MemoryBudget) -> None:
        super().__init__(kind)
        self._files = files
        self._budget = budget


class PageRenderer(_BudgetedRenderer):
    """A report or a presentation state: an HTML page."""

    def render(
        self, row: InstanceRow, frames: tuple[int, ...], media_type: str, parameters: RenderingParameters
    ) -> Content:
        """Return the page. Raises `ImageFailure` for a file that cannot be read."""
        from app.imaging.documents import report

        self._refuse_frames(frames)
        is_report = self._kind.source is Source.CONTENT_TREE
        page = report.report_page if is_report else report.presentation_page
        with self._budget.use(min(_PAGE_BYTES, 16 * row.size)), attributes_of(self._files, row) as attributes:
            data = page(attributes, self._kind.name, link_below(parameters.partition_url))
        return Content.of(_HTML_TYPE, data)


class WaveformRenderer(_BudgetedRenderer):
    """A waveform: its channels on ECG paper, as SVG or as a picture."""

    def render(
        self, row: InstanceRow, frames: tuple[int, ...], media_type: str, parameters: RenderingParameters
    ) -> Content:
        """Return the drawing. A picture fits into the viewport. Raises `ImageFailure` if there is nothing to draw."""
        from app.imaging.documents.drawing_picture import picture
        from app.imaging.documents.waveform_layout import waveform_drawing

        self._refuse_frames(frames)
        with self._budget.use(_DRAWING_BYTES):
            with attributes_of(self._files, row) as attributes:
                drawing = waveform_drawing(attributes, self._kind.name, parameters.annotation)
            if media_type == SVG:
                return Content.of(media_type, drawing.svg())
            viewport = parameters.viewport
            size = {"width": viewport.width, "height": viewport.height} if viewport else {}
            return Content.of(media_type, picture(drawing, media_type, quality=parameters.quality, **size))


def document_renderers(files: InstanceFiles) -> dict[str, Renderer]:
    """Return the renderer of each SOP class that has no images."""
    budget = MemoryBudget(_BUDGET)
    contents = {is_text: EncapsulatedContent(files, is_text=is_text) for is_text in (True, False)}
    makers: dict[Source, Callable[[ObjectKind], Renderer]] = {
        Source.STORED_FILE: lambda kind: StoredFileRenderer(kind, files, contents[kind.is_text]),
        Source.CONTENT_TREE: lambda kind: PageRenderer(kind, files, budget),
        Source.REFERENCES: lambda kind: PageRenderer(kind, files, budget),
        Source.WAVEFORM: lambda kind: WaveformRenderer(kind, files, budget),
        Source.NOTHING: IconRenderer,
    }
    return {uid: makers[kind.source](kind) for uid, kind in known_kinds().items() if kind.source in makers}


@contextmanager
def attributes_of(files: InstanceFiles, row: InstanceRow) -> Iterator[AttributeReader]:
    """Yield the attributes of an instance. Large values are read from the file when they are asked for.

    Raises `ImageFailure` for a file that cannot be read, `LostData` if it is lost.
    """
    with files.mapped(row) as data:
        try:
            part10 = parse(data)
            dataset = inflated(data, part10.dataset_offset) if part10.transfer_syntax.deflated else data
        except InvalidInstance as error:
            raise ImageFailure(str(error)) from error
        yield AttributeReader.of(dataset, part10)


def link_below(partition_url: str) -> Link:
    """Return what makes the URLs of objects of the partition whose URL is given."""

    def link(study: str, series: str | None = None, instance: str | None = None, /) -> str:
        path = f"{partition_url}/studies/{study}"
        if series is not None:
            path += f"/series/{series}"
        return path if instance is None else f"{path}/instances/{instance}"

    return link


def with_article(name: str) -> str:
    """Return the name of a kind with `a` or `an` before it."""
    if name.startswith(("an ", "object")):
        return name if name.startswith("an ") else f"an {name}"
    return f"an {name}" if name.startswith(_VOWELS) else f"a {name}"
