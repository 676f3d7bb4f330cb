"""Settings of exports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from marshmallow.fields import Boolean

from app.settings.declaration import FilePath, setting, variable
from app.settings.engine import EngineSettings

_DEFAULT_FOLDER: Final = "exports"


@dataclass(frozen=True, kw_only=True)
class ExportSettings(EngineSettings):
    """Whether exports are served, and where they may go."""

    enable_export: bool = setting(True, Boolean(), "Serve exports.")
    export_dir: Path | None = setting(  # noqa: RUF009 - a field
        None,
        FilePath(),
        "Folder for exports of type `file`; the `embedded` engine only. Default: `exports` in the data folder.",
    )
    export_allow_endpoint_url: bool = setting(
        False,
        Boolean(),
        "Whether an export may name an S3-compatible store by its URL. Whoever may export can then make the service "
        "send requests to any host that it reaches.",
    )

    @property
    def export_folder(self) -> Path | None:
        """The folder for exports of type `file`. None: the engine does not export to a folder."""
        if self.engine != "embedded":
            return None
        return self.export_dir or self.data_dir / _DEFAULT_FOLDER

    def contradictions(self) -> Iterator[str]:
        """Yield a line when the engine cannot use the export folder."""
        if self.engine == "aws" and self.export_dir:
            yield f"{variable('export_dir')}: Only the embedded engine exports to a folder."
