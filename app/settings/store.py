"""Settings of partitions, and of what may be stored, received and deleted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from marshmallow.fields import Boolean, String
from marshmallow.validate import OneOf

from app.settings.declaration import FilePath, SettingsGroup, setting, whole_number

LARGEST_BODY: Final = 2_147_483_647
"""Bytes of the largest body, part or instance (conformance §1.8)."""


@dataclass(frozen=True, kw_only=True)
class StoreSettings(SettingsGroup):
    """Partitions, validation, limits and deletion."""

    enable_data_partitions: bool = setting(
        True, Boolean(), "Serve data partitions. This cannot be switched off while more than one partition exists."
    )
    enable_full_validation: bool = setting(
        False,
        Boolean(),
        "Validate every element at store. v1 refuses an invalid instance, v2 stores it with a warning.",
    )
    identical_store: str = setting(
        "conflict",
        String(validate=OneOf(("conflict", "success"))),
        "Answer to a store of bytes that are stored already under the same UIDs. `conflict`: 45070. `success`: stored.",
    )
    max_request_bytes: int = setting(LARGEST_BODY, whole_number(1, LARGEST_BODY), "Size of the largest request body.")
    max_part_bytes: int = setting(
        LARGEST_BODY, whole_number(1, LARGEST_BODY), "Size of the largest part of a multipart body."
    )
    max_instance_bytes: int = setting(
        LARGEST_BODY, whole_number(1, LARGEST_BODY), "Size of the largest DICOM instance."
    )
    spool_dir: Path | None = setting(  # noqa: RUF009 - a field
        None,
        FilePath(),
        "Folder for large bodies while they are received. Default: one in the data folder of the `embedded` engine, "
        "the temporary folder of the system with `aws`.",
    )
    delete_delay_seconds: int = setting(
        259_200, whole_number(0), "How long the files of a deleted instance are kept. The default is three days."
    )
