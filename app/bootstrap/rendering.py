"""Builds the rendering: what renders each kind of object, and the cache of pictures."""

from __future__ import annotations

from collections.abc import Callable

from app.bootstrap.archive import Archive
from app.imaging.decoding.decoder import FrameDecoder
from app.imaging.documents.kinds import unknown_kind
from app.services.retrieve.documents import IconRenderer, document_renderers
from app.services.retrieve.frames import FrameReader
from app.services.retrieve.image_headers import ImageHeaders
from app.services.retrieve.image_renderer import ImageRenderer
from app.services.retrieve.new_thumbnails import NewThumbnails
from app.services.retrieve.picture_cache import PictureCache
from app.services.retrieve.picture_folder import PictureFolder
from app.services.retrieve.renderers import RendererTable
from app.services.retrieve.rendering import Rendering
from app.services.retrieve.series_windows import SeriesWindows
from app.services.retrieve.slides import SlideImages
from app.services.retrieve.videos import VideoRenderer
from app.settings import Settings


def build_rendering(
    settings: Settings, archive: Archive, *, frames: FrameReader, headers: ImageHeaders, decoder: FrameDecoder
) -> Rendering:
    """Return the use case that renders instances and frames."""
    folder = settings.picture_cache_dir
    return Rendering(
        RendererTable(
            images=ImageRenderer(
                headers=headers, frames=frames, decoder=decoder, windows=SeriesWindows(archive.instances)
            ),
            icons=lambda sop_class: IconRenderer(unknown_kind(sop_class)),
            videos=VideoRenderer(archive.files, frames),
            by_sop_class=document_renderers(archive.files),
        ),
        SlideImages(headers),
        PictureCache(
            settings.picture_cache_bytes,
            PictureFolder(folder, settings.picture_cache_dir_bytes) if folder else None,
        ),
    )


def thumbnail_steps(settings: Settings, archive: Archive, rendering: Rendering) -> tuple[Callable[[], bool], ...]:
    """Return the step of the worker that makes thumbnails, if the operator wants them."""
    if not settings.make_thumbnails:
        return ()
    return (NewThumbnails(archive.feed, archive.instances, rendering).run_once,)
