"""Settings of rendered pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from marshmallow.fields import Boolean

from app.settings.declaration import FilePath, SettingsGroup, setting, variable, whole_number


@dataclass(frozen=True, kw_only=True)
class RenderingSettings(SettingsGroup):
    """Where rendered pictures are kept for the next request."""

    picture_cache_bytes: int = setting(
        33_554_432, whole_number(0), "Memory of each server process for rendered pictures. `0` keeps none."
    )
    picture_cache_dir: Path | None = setting(  # noqa: RUF009 - a field
        None,
        FilePath(),
        "Folder for rendered pictures, shared by the server processes. They show patients. Default: memory only.",
    )
    picture_cache_dir_bytes: int = setting(
        1_073_741_824, whole_number(1), "Size of the folder for rendered pictures. The oldest ones are removed."
    )
    make_thumbnails: bool = setting(
        False,
        Boolean(),
        "Make the thumbnails of new series in the background. They are kept in the folder of pictures.",
    )

    def contradictions(self) -> Iterator[str]:
        """Yield a line when thumbnails have no folder: the worker and the servers share nothing else."""
        if self.make_thumbnails and self.picture_cache_dir is None:
            yield f"{variable('make_thumbnails')}: It needs {variable('picture_cache_dir')}."
