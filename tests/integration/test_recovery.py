"""The index is made again from the files alone, on DynamoDB Local and `rclone serve s3`."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.bootstrap.engines import build_engine, create_stores
from app.settings import Settings
from tests.support.many_instances import rebuild_answers_as_before

pytestmark = pytest.mark.integration

ON_AWS = Settings(engine="aws", table="archive", bucket="archive", log_level="error", audit="/dev/null")
INSTANCES = 10_000


@pytest.fixture
def aws(aws_servers: None) -> Settings:
    """Settings with an empty table and an empty bucket on real servers."""
    create_stores(ON_AWS)
    return ON_AWS


@pytest.mark.timeout(1800)
def test_ten_thousand_instances(aws: Settings, tmp_path: Path) -> None:
    """DynamoDB Local sorts the whole table for each page of a scan, so a check would exceed the time of a call."""
    rebuild_answers_as_before(aws, build_engine(aws), tmp_path, INSTANCES, check=False)


@pytest.mark.timeout(600)
def test_the_check_of_an_index_that_was_made_again(aws: Settings, tmp_path: Path) -> None:
    rebuild_answers_as_before(aws, build_engine(aws), tmp_path, INSTANCES // 10)
