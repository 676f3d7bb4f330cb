"""The index is made again from the files alone, on DynamoDB Local and `rclone serve s3`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.bootstrap.engines import build_engine, create_stores
from app.settings import Settings
from tests.integration.servers import KEYS, dynamodb_local, s3_server
from tests.support.many_instances import rebuild_answers_as_before

pytestmark = pytest.mark.integration

ON_AWS = Settings(engine="aws", table="archive", bucket="archive", log_level="error", audit="/dev/null")
INSTANCES = 10_000


@pytest.fixture
def aws(tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings with an empty table and an empty bucket on real servers."""
    folders = [tmp_path / name for name in ("dynamodb", "s3")]
    for folder in folders:
        folder.mkdir()
    with dynamodb_local(folders[0], pytestconfig.rootpath) as dynamodb, s3_server(folders[1]) as s3:
        for name, value in {
            "AWS_ACCESS_KEY_ID": KEYS[0],
            "AWS_SECRET_ACCESS_KEY": KEYS[1],
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_DYNAMODB": dynamodb,
            "AWS_ENDPOINT_URL_S3": s3,
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }.items():
            monkeypatch.setenv(name, value)
        create_stores(ON_AWS)
        yield ON_AWS


@pytest.mark.timeout(1800)
def test_ten_thousand_instances(aws: Settings, tmp_path: Path) -> None:
    """DynamoDB Local sorts the whole table for each page of a scan, so a check would exceed the time of a call."""
    rebuild_answers_as_before(aws, build_engine(aws), tmp_path, INSTANCES, check=False)


@pytest.mark.timeout(600)
def test_the_check_of_an_index_that_was_made_again(aws: Settings, tmp_path: Path) -> None:
    rebuild_answers_as_before(aws, build_engine(aws), tmp_path, INSTANCES // 10)
