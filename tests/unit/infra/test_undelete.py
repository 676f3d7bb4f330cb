"""Objects that were removed after a moment come back."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from app.engines.aws import clients
from app.engines.aws.provision import create_bucket
from app.engines.aws.s3 import S3Blobs
from infra import undelete
from tests.support.aws import OTHER_REGION, mocked_aws

LONG_AGO = "2000-01-01T00:00:00Z"


@pytest.fixture
def blobs() -> Iterator[S3Blobs]:
    """A bucket with versions and four objects, of which two are removed."""
    with mocked_aws(OTHER_REGION):
        create_bucket(clients.s3(), "archive")
        blobs = S3Blobs(clients.s3(), "archive")
        for key in ("1/a", "1/b", "2/a", "2/b"):
            blobs.put(key, io.BytesIO(key.encode()))
        blobs.delete(["1/a", "2/a"])
        yield blobs


def keys(blobs: S3Blobs) -> list[str]:
    return [each.key for each in blobs.listed()]


def test_what_was_removed_since_then_is_back(blobs: S3Blobs, capsys: pytest.CaptureFixture[str]) -> None:
    undelete.main(["archive", "--since", LONG_AGO])
    assert keys(blobs) == ["1/a", "1/b", "2/a", "2/b"]
    assert blobs.open("1/a").read() == b"1/a"
    assert capsys.readouterr().out == "2 objects are back\n"


def test_what_was_removed_before_stays_removed(blobs: S3Blobs) -> None:
    undelete.main(["archive", "--since", (datetime.now(UTC) + timedelta(minutes=1)).isoformat()])
    assert keys(blobs) == ["1/b", "2/b"]


def test_a_prefix_selects_a_partition(blobs: S3Blobs) -> None:
    undelete.main(["archive", "--since", LONG_AGO, "--prefix", "1/"])
    assert keys(blobs) == ["1/a", "1/b", "2/b"]


def test_a_dry_run_only_counts(blobs: S3Blobs, capsys: pytest.CaptureFixture[str]) -> None:
    undelete.main(["archive", "--since", LONG_AGO, "--dry-run"])
    assert keys(blobs) == ["1/b", "2/b"]
    assert capsys.readouterr().out == "2 objects were removed\n"


def test_a_second_run_finds_nothing(blobs: S3Blobs, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        undelete.main(["archive", "--since", LONG_AGO])
    assert keys(blobs) == ["1/a", "1/b", "2/a", "2/b"]
    assert capsys.readouterr().out.splitlines()[-1] == "0 objects are back"


def test_more_markers_than_one_call_takes(blobs: S3Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undelete, "_BATCH", 1)
    undelete.main(["archive", "--since", LONG_AGO])
    assert keys(blobs) == ["1/a", "1/b", "2/a", "2/b"]


@pytest.mark.parametrize("since", ["yesterday", "2026-11-30T08:00:00"])
def test_a_moment_needs_a_date_and_an_offset(since: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        undelete.main(["archive", "--since", since])
    assert "--since" in capsys.readouterr().err
