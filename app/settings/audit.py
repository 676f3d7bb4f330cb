"""Settings of the audit trail (conformance §13.5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from marshmallow.fields import String

from app.settings.declaration import FilePath, SettingsGroup, setting, whole_number

OFF: Final = "off"
STDERR: Final = "stderr"


@dataclass(frozen=True, kw_only=True)
class AuditSettings(SettingsGroup):
    """Where the audit trail is written."""

    audit: str = setting(
        STDERR,
        String(),
        "Where the audit trail is written: `stderr`, the path of a file, or `off`. It has UIDs and names of callers.",
    )
    audit_bytes: int = setting(
        104_857_600,
        whole_number(0),
        "Size at which the file of the audit trail is renamed and a new one begins. No file is deleted. `0`: never.",
    )
    audit_key_file: Path | None = setting(  # noqa: RUF009 - a field
        None,
        FilePath(),
        "File with the secret of the digests in the audit trail. Without it, who can write the file can also write "
        "new digests.",
    )
