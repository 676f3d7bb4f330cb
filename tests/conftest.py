"""Fixtures for all tests: a fresh archive on each engine, and the service on it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import hypothesis
import pytest
from flask.testing import FlaskClient

from app import bootstrap, create_app
from app.bootstrap.imaging import build_decoder
from app.engines.aws import clients
from app.engines.embedded import commits
from app.imaging.decoding.decoder import FrameDecoder
from app.services import backlog, health_report
from app.services.access import token_uses
from app.settings import Settings
from app.settings.imaging import ImagingSettings
from tests.support.aws import mocked_aws
from tests.support.faulty_engine import Faults
from tests.support.selection import ENGINES

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client


# Each run has the same examples, so a check of one change does not fail because of a fault that was there before. The
# profile "new examples" draws others; `make coverage` uses it. The speed of the machine is not tested, so examples have
# no deadline. The examples of a test share its archive on purpose. The history of an archive is large data.
hypothesis.settings.register_profile(
    "same examples",
    derandomize=True,
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
        hypothesis.HealthCheck.data_too_large,
    ],
)
hypothesis.settings.register_profile(
    "new examples", hypothesis.settings.get_profile("same examples"), derandomize=False, print_blob=True
)
hypothesis.settings.load_profile("same examples")


@pytest.fixture(autouse=True)
def no_disk_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for the disk. A sync takes milliseconds, and no test loses power: the page cache survives kill -9.

    The tests of the embedded engine override this fixture. They check the syncs.
    """
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    monkeypatch.setattr(commits, "_SYNCHRONOUS", dict.fromkeys((True, False), "PRAGMA synchronous = OFF"))


@pytest.fixture(autouse=True)
def token_uses_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the last use of a token is written before the request ends, so no thread outlives its test."""

    def at_once(_name: str, act: Callable[[], None]) -> bool:
        act()
        return True

    monkeypatch.setattr(token_uses, "start_thread", at_once)


@pytest.fixture(autouse=True)
def patient_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes of the health and of the backlog wait for their checks, also on a busy machine where these take long."""
    monkeypatch.setattr(health_report, "PATIENCE_SECONDS", 60)
    monkeypatch.setattr(backlog, "PATIENCE_SECONDS", 60)


_DECODER = FrameDecoder()


@pytest.fixture(autouse=True)
def one_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """All services share one decoder, since its processes take tenths of a second to start. It keeps nothing."""
    defaults = Settings()

    def shared(settings: Settings) -> FrameDecoder:
        changed = any(
            getattr(settings, each.name) != getattr(defaults, each.name) for each in dataclasses.fields(ImagingSettings)
        )
        return build_decoder(settings) if changed else _DECODER

    monkeypatch.setattr("app.bootstrap.build_decoder", shared)


@pytest.fixture(scope="session")
def aws_clients() -> tuple[DynamoDBClient, S3Client]:
    """Clients of the mocked account. They are made once, since a client takes longer than most tests."""
    with mocked_aws():
        return clients.dynamodb(), clients.s3()


@pytest.fixture
def aws(aws_clients: tuple[DynamoDBClient, S3Client], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty mocked account. The engine uses the clients of the session."""
    dynamodb, s3 = aws_clients
    with mocked_aws():
        monkeypatch.setattr(clients, "dynamodb", lambda *_, **__: dynamodb)
        monkeypatch.setattr(clients, "s3", lambda *_, **__: s3)
        yield


QUIET: Final[dict[str, Any]] = {"log_level": "error", "audit": os.devnull}
"""Settings that keep the output of a failing test short. The audit trail is written all the same."""


def settings_of(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Return the settings of an empty archive of the engine that `request` names."""
    if request.param == "embedded":
        return Settings(data_dir=tmp_path, **QUIET)
    request.getfixturevalue("aws")
    return Settings(engine="aws", table="archive", bucket="archive", **QUIET)


@pytest.fixture(params=ENGINES)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty archive."""
    return settings_of(request, tmp_path)


@pytest.fixture
def faults() -> Faults:
    """The faults of the engine. A test adds rules to let calls to the table, the blob store or the queue fail."""
    return Faults()


@pytest.fixture
def engine(settings: Settings, faults: Faults) -> bootstrap.Engine:
    """An empty archive, under the rules of `faults`."""
    bootstrap.initialise(settings)
    return faults.wrap(bootstrap.build_engine(settings))


Serve = Callable[..., FlaskClient]


@pytest.fixture
def serve(settings: Settings, engine: bootstrap.Engine) -> Serve:
    """Return a function that starts the service on the archive, with other settings if given."""

    def start(**different: Any) -> FlaskClient:
        return create_app(dataclasses.replace(settings, **different), engine).test_client()

    return start


@pytest.fixture
def client(serve: Serve) -> FlaskClient:
    """The service with partitions on."""
    return serve()
