"""Renders images: reads a frame, decodes it, and makes a picture of it (conformance §4.10)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, Protocol

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.uids import EXPLICIT_LITTLE
from app.imaging.pixels.description import PixelDescription
from app.imaging.rendering.parameters import RenderingParameters, Viewport, Window
from app.services.bounded_cache import BoundedCache
from app.services.memory_budget import MemoryBudget
from app.services.retrieve.frames import FrameReader
from app.services.retrieve.image_headers import ImageHeader, ImageHeaders
from app.services.retrieve.renderers import GIF, IMAGE_TYPES, Content
from app.services.retrieve.series_windows import SeriesWindows
from app.storage.records.rows import InstanceRow

if TYPE_CHECKING:  # numpy and the codecs are imported with the first picture
    from app.imaging.pixels.frame import DecodedFrame
    from app.imaging.rendering.picture import Picture
    from app.imaging.rendering.pipeline import RenderingPipeline

_THUMBNAIL_QUALITY: Final = 85
_BYTES_PER_SAMPLE: Final = 16
"""What rendering needs for each sample: the frame, numbers with a fraction, the picture, and its scaled copy."""
_BUDGET: Final = 256 << 20
_PIPELINE_BYTES: Final = 1 << 20
_GROUPS_BYTES: Final = 16 << 20
"""The memory that a pipeline needs at most, beside the header that it keeps; and that for a long list of groups."""
_KEPT_BYTES: Final = 32 * _PIPELINE_BYTES

_PER_FRAME_FUNCTIONAL_GROUPS: Final = 0x52009230
_FRAME_TIME: Final = 0x00181063
_FRAME_TIME_VECTOR: Final = 0x00181065
_CINE_RATE: Final = 0x00180040
_DISPLAY_RATE: Final = 0x00082144
_USUAL_DURATION: Final = 10
_SHORTEST, _LONGEST = 2, 0xFFFF
"""Hundredths of a second. Browsers show a frame of a shorter duration for a tenth of a second."""


class Decoder(Protocol):
    """The part of `FrameDecoder` that is used here."""

    def decode(self, description: PixelDescription, data: bytes) -> DecodedFrame:
        """Return the samples of one frame. Raises `ImageFailure`."""
        ...


class ImageRenderer:
    """Renders frames of images. Threads share it; the memory that they use together is bounded."""

    kind = "an image"

    def __init__(self, *, headers: ImageHeaders, frames: FrameReader, decoder: Decoder, windows: SeriesWindows) -> None:
        self._headers = headers
        self._frames = frames
        self._decoder = decoder
        self._windows = windows
        self._budget = MemoryBudget(_BUDGET)
        self._pipelines: BoundedCache[RenderingPipeline] = BoundedCache(_KEPT_BYTES, "rendering_pipelines")

    def media_types(self, row: InstanceRow) -> tuple[str, ...]:
        """Return the media types of images."""
        return IMAGE_TYPES

    def variant(self, row: InstanceRow, frames: tuple[int, ...]) -> str:
        """Return the window of the series, if the attributes of the image give none.

        Raises `ImageFailure` for an instance without an image, `NotFound` for a frame that does not exist.
        """
        header = self._headers.read(row)
        for number in frames:
            header.frames.ranges(number)
        window = self._series_window(row, header, frames[0] if frames else 1)
        return repr(window) if window else ""

    def render(
        self, row: InstanceRow, frames: tuple[int, ...], media_type: str, parameters: RenderingParameters
    ) -> Content:
        """Return the picture of a frame: of the first one if none is named.

        GIF shows all frames, or those that are named, one after another. Raises as `Renderer`.
        """
        header = self._headers.read(row)
        if media_type == GIF and len(frames) != 1 and header.frames.frames > 1:
            numbers = frames or range(1, header.frames.frames + 1)
            return Content(
                content_type=GIF, length=None, read=lambda *_: self._animation(row, header, numbers, parameters)
            )
        from app.imaging.rendering.output import encode

        number = frames[0] if frames else 1
        default = self._series_window(row, header, number)
        with self._memory(header, parameters.viewport):
            picture = self._picture(row, header, number, parameters, default)
            icc = picture.icc if parameters.icc_profile not in (None, "no") else None
            return Content.of(media_type, encode(picture, media_type, parameters.quality, icc))

    def thumbnail(self, row: InstanceRow, frame: int | None, media_type: str, viewport: Viewport) -> Content:
        """Return a picture of at most the size of the viewport, without any text.

        Without a frame it is the middle frame of the instance. Raises as `Renderer`.
        """
        from app.imaging.rendering.output import encode
        from app.imaging.rendering.viewport import fit

        header = self._headers.read(row)
        number = frame or header.frames.frames // 2 + 1
        default = self._series_window(row, header, number)
        with self._memory(header, viewport):
            step = self._pipeline(row, header).thumbnail_step(viewport.width, viewport.height)
            picture = self._rendered(row, header, number, RenderingParameters(), default, step)
            picture = fit(picture, viewport.width, viewport.height)
            return Content.of(media_type, encode(picture, media_type, _THUMBNAIL_QUALITY))

    def _animation(
        self, row: InstanceRow, header: ImageHeader, numbers: Iterable[int], parameters: RenderingParameters
    ) -> Iterator[bytes]:
        from app.imaging.rendering.gif import gif

        def pictures() -> Iterator[Picture]:
            for number in numbers:
                default = self._series_window(row, header, number)
                with self._memory(header, parameters.viewport):
                    picture = self._picture(row, header, number, parameters, default)
                yield picture  # without the memory: a slow client holds up nobody

        yield from gif(pictures(), durations(header.attributes, numbers))

    def _picture(
        self,
        row: InstanceRow,
        header: ImageHeader,
        number: int,
        parameters: RenderingParameters,
        default: Window | None,
    ) -> Picture:
        """Return the picture of a frame as the caller wants it. `default` is the window of its series."""
        from app.imaging.rendering.annotation import annotate
        from app.imaging.rendering.viewport import apply_viewport

        picture = self._rendered(row, header, number, parameters, default)
        if parameters.viewport is not None:
            picture = apply_viewport(picture, parameters.viewport)
        if parameters.annotation:
            picture = annotate(picture, header.attributes, parameters.annotation, number)
        return picture

    def _rendered(
        self,
        row: InstanceRow,
        header: ImageHeader,
        number: int,
        parameters: RenderingParameters,
        default: Window | None,
        step: int = 1,
    ) -> Picture:
        """Return the picture of a frame at its own size, or of each `step`th row and column."""
        pipeline = self._pipeline(row, header)
        data = self._frame_bytes(row, header, number)
        return pipeline.render(
            self._decoder.decode(header.description, data),
            number,
            window=parameters.window,
            default=default,
            icc_profile=parameters.icc_profile,
            native_data=data if pipeline.needs_native_data and header.frames.frame_bits else None,
            step=step,
        )

    def _frame_bytes(self, row: InstanceRow, header: ImageHeader, number: int) -> bytes:
        if not header.frames.deflated:
            return self._frames.frame(row, header.frames, number)
        (part,) = self._frames.read(row, [number], EXPLICIT_LITTLE).parts
        return b"".join(part.chunks)

    def _pipeline(self, row: InstanceRow, header: ImageHeader) -> RenderingPipeline:
        from app.imaging.rendering import pipeline

        found = self._pipelines.get(row.blob)
        if found is None:
            found = pipeline.RenderingPipeline(header.attributes, header.description)
            self._pipelines.put(row.blob, found, _pipeline_bytes(header))
        return found

    def _series_window(self, row: InstanceRow, header: ImageHeader, number: int) -> Window | None:
        """Return the window that all images of a series share, None if the image has its own.

        The caller must hold no memory of the budget: a frame of the series may need some. Two threads that hold a part
        and wait for more would wait for ever.
        """
        if not self._pipeline(row, header).needs_window(number):
            return None
        return self._windows.window(row, self._automatic_window)

    def _automatic_window(self, row: InstanceRow) -> Window | None:
        """Return the window of the middle frame of an instance, None if that has a window in its attributes."""
        header = self._headers.read(row)
        number = header.frames.frames // 2 + 1
        pipeline = self._pipeline(row, header)
        if not pipeline.needs_window(number):
            return None
        with self._memory(header, None):
            frame = self._decoder.decode(header.description, self._frame_bytes(row, header, number))
            return pipeline.automatic_window(frame, number)

    def _memory(self, header: ImageHeader, viewport: Viewport | None) -> AbstractContextManager[None]:
        described = header.description
        samples = described.rows * described.columns
        if viewport is not None and viewport.enlarges:
            samples += viewport.width * viewport.height
        elif viewport is not None:
            samples *= 2
        return self._budget.use(samples * described.samples * _BYTES_PER_SAMPLE)


def _pipeline_bytes(header: ImageHeader) -> int:
    """Return the memory that a pipeline takes while it is kept. It keeps the header too."""
    is_large = header.attributes.is_large(_PER_FRAME_FUNCTIONAL_GROUPS)
    return _PIPELINE_BYTES + header.memory + (_GROUPS_BYTES if is_large else 0)


def durations(attributes: AttributeReader, numbers: Iterable[int]) -> Iterator[int]:
    """Yield how long each frame is shown, in hundredths of a second.

    Frame Time Vector has the time from the frame before. The last frame has the duration of the one before.
    """
    vector = attributes.numbers(_FRAME_TIME_VECTOR)
    common = _common_duration(attributes)
    for number in numbers:
        milliseconds = vector[min(number, len(vector) - 1)] if len(vector) > 1 else 0
        yield _bounded(milliseconds / 10) if milliseconds > 0 else common


def _common_duration(attributes: AttributeReader) -> int:
    for tag in (_DISPLAY_RATE, _CINE_RATE):
        rate = attributes.number(tag) or 0
        if rate > 0:
            return _bounded(100 / rate)
    time = attributes.number(_FRAME_TIME) or 0
    return _bounded(time / 10) if time > 0 else _USUAL_DURATION


def _bounded(duration: float) -> int:
    return int(min(max(duration, _SHORTEST), _LONGEST))
