"""The runbooks of infra/README.md, on a mock of AWS."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from flask.testing import FlaskClient

from app import create_app
from app.bootstrap import build_engine
from app.settings import Settings
from infra import undelete
from tests.support.background import work
from tests.support.clock import stop_clock
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.recovery import checked, found

pytestmark = pytest.mark.parametrize("settings", ["moto"], indirect=True)

KEPT, DELETED, LATER = "2.25.1", "2.25.2", "2.25.3"
"""A study that stays, one that is deleted after the backup, and one that is stored after the backup."""


def stored(client: FlaskClient, study: str) -> None:
    """Store a study of two instances."""
    files = [make_instance(study=study, series=f"{study}.1", instance=f"{study}.1.{each}") for each in (1, 2)]
    PartitionClient(client).stored(*files)


def status(client: FlaskClient, study: str) -> int:
    return PartitionClient(client).get(f"/studies/{study}/series/{study}.1/instances/{study}.1.1").status_code


@pytest.fixture
def restored(settings: Settings, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a table that was restored to a moment before a deletion. The deleted files are removed."""
    advance = stop_clock(monkeypatch)
    stored(client, KEPT)
    stored(client, DELETED)
    work(client)
    boto3.client("dynamodb").restore_table_to_point_in_time(
        SourceTableName=settings.table, TargetTableName="archive-restored", UseLatestRestorableTime=True
    )
    assert PartitionClient(client).delete(f"/studies/{DELETED}").status_code == 204
    stored(client, LATER)
    advance(settings.delete_delay_seconds + 3600)
    work(client)
    assert [status(client, study) for study in (KEPT, DELETED, LATER)] == [200, 404, 200]
    return dataclasses.replace(settings, table="archive-restored")


@pytest.mark.thorough
def test_a_table_restored_to_a_moment_gets_its_removed_files_back(restored: Settings) -> None:
    engine = build_engine(restored)
    service = create_app(restored, engine).test_client()
    assert [status(service, study) for study in (KEPT, DELETED, LATER)] == [200, 503, 404]
    assert found(checked(restored, engine))["lost_file"] == 2
    undelete.main([restored.bucket, "--since", (datetime.now(UTC) - timedelta(hours=1)).isoformat()])
    assert [status(service, study) for study in (KEPT, DELETED, LATER)] == [200, 200, 404]
    assert found(checked(restored, engine, digests=True)) == {"orphan_blob": 2}, "the study that was stored later"
