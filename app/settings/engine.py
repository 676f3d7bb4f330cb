"""Settings of the engine: where the archive is stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from marshmallow.fields import Boolean, String
from marshmallow.validate import OneOf

from app.settings.declaration import FilePath, SettingsGroup, setting, variable, whole_number

_NEEDED_ON_AWS: Final = ("table", "bucket")


@dataclass(frozen=True, kw_only=True)
class EngineSettings(SettingsGroup):
    """The engine, and the names of what it stores in."""

    engine: str = setting(
        "embedded",
        String(validate=OneOf(("embedded", "aws"))),
        "Where the archive is stored. `embedded`: in the data folder of this machine. `aws`: in S3 and DynamoDB.",
    )
    data_dir: Path = setting(Path("./data"), FilePath(), "Data folder of the `embedded` engine.")  # noqa: RUF009 - a field
    small_file_bytes: int = setting(
        65_536,
        whole_number(0, 1_000_000),
        "Instances up to this size share one SQLite file of the `embedded` engine. Larger ones are files of their own. "
        "0: every instance is a file.",
    )
    direct_writes: bool = setting(
        True,
        Boolean(),
        "Write large instances of the `embedded` engine past the page cache, if the file system can. Then the first "
        "read of such an instance comes from the disk.",
    )
    table: str = setting("", String(), "DynamoDB table. The `aws` engine needs it.")
    bucket: str = setting("", String(), "S3 bucket. The `aws` engine needs it.")
    queue_url: str = setting(
        "", String(), "SQS queue that announces background work. Default: the table serves as the queue."
    )
    pool_size: int = setting(
        32, whole_number(1, 1000), "Number of connections that each process keeps to S3 and to DynamoDB."
    )

    def contradictions(self) -> Iterator[str]:
        """Yield the settings that the engine lacks."""
        for name in _NEEDED_ON_AWS if self.engine == "aws" else ():
            if not getattr(self, name):
                yield f"{variable(name)}: The aws engine needs it."
