"""An archive moves from a data folder to DynamoDB Local and `rclone serve s3`, and back."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from app.bootstrap.engines import create_stores
from app.entry import cli
from app.settings import Settings
from tests.support.archive import Archive, file

pytestmark = pytest.mark.integration

ON_AWS = Settings(engine="aws", table="archive", bucket="archive", log_level="error", delete_delay_seconds=0)
OF_AWS = {"BULKHEAD_ENGINE": "aws", "BULKHEAD_TABLE": ON_AWS.table, "BULKHEAD_BUCKET": ON_AWS.bucket}
STUDIES = 12
INSTANCES = 10


@pytest.fixture
def aws(aws_servers: None) -> Settings:
    """Settings with an empty table and an empty bucket on real servers."""
    create_stores(ON_AWS)
    return ON_AWS


def migrate(environment: dict[str, str], *options: str | Path) -> Result:
    result = CliRunner().invoke(cli.main, ["migrate", "--quiet", "--json", *map(str, options)], env=environment)
    assert result.exit_code == 0, result.output
    return result


def opened(folder: Path, settings: Settings | None = None) -> Archive:
    archive = Archive(folder, settings=settings)
    archive.read_whole_feed()
    return archive


def test_an_archive_moves_to_real_servers_and_back(aws: Settings, tmp_path: Path) -> None:
    archive = Archive(tmp_path / "data")
    for study in range(1, STUDIES + 1):
        uids = (f"1.{study}", f"1.{study}.1")
        archive.store(*(file(*uids, f"1.{study}.1.{number}") for number in range(1, INSTANCES + 1)))
    archive.delete("1.1")
    archive.work()
    embedded = {"BULKHEAD_DATA_DIR": str(archive.folder)}
    to_aws = ("--to", "aws", "--table", aws.table, "--bucket", aws.bucket)
    migrate(embedded, *to_aws)
    archive.delete("1.2")
    archive.store(file("1.99", "1.99.1", "1.99.1.1"))
    archive.work()
    report = orjson.loads(migrate(embedded, *to_aws, "--final").stdout)
    assert report["is_finished"]
    assert report["compared_digests"] == len(archive.visible()) == (STUDIES - 2) * INSTANCES + 1
    moved = opened(tmp_path, aws)
    assert moved.visible() == archive.visible()
    moved.store(file("1.98", "1.98.1", "1.98.1.1"))
    moved.delete("1.3")
    moved.work()
    migrate(OF_AWS, "--to", "embedded", "--data-dir", tmp_path / "back", "--final")
    back = opened(tmp_path / "back")
    assert back.visible() == moved.visible()
    assert len(back.blobs()) == len(back.visible())
