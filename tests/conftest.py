"""Archives to test on: every engine, each archive fresh, and the WSGI client on top."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from flask.testing import FlaskClient
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from app import bootstrap, create_app
from app.engines.aws import clients
from app.settings import Settings

REGION = "us-east-1"
ENGINES = ("embedded", "moto")

# What a machine manages in a given time is no test. Archives are function-scoped, and examples share theirs knowingly;
# histories of an archive are large.
hypothesis.settings.register_profile(
    "untimed",
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
        hypothesis.HealthCheck.data_too_large,
    ],
)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def aws_clients() -> tuple[Any, Any]:
    """Clients of the mocked account: DynamoDB, S3. Made once, for making one takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        return clients.dynamodb(), clients.s3()


@pytest.fixture
def aws(aws_clients: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty mocked account."""
    dynamodb, s3 = aws_clients
    answer, turn = BotocoreStubber.process_request, threading.RLock()

    def one_by_one(stubber: BotocoreStubber, request: Any) -> Any:
        with turn:
            return answer(stubber, request)

    # moto copies whole tables while other threads write to them; the service it stands for isolates transactions.
    monkeypatch.setattr(BotocoreStubber, "process_request", one_by_one)
    with mock_aws():
        monkeypatch.setattr(clients, "dynamodb", lambda *_, **__: dynamodb)
        monkeypatch.setattr(clients, "s3", lambda *_, **__: s3)
        yield


@pytest.fixture(params=ENGINES)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty archive."""
    if request.param == "embedded":
        return Settings(data_dir=tmp_path, log_level="error")
    request.getfixturevalue("aws")
    return Settings(engine="aws", table="archive", bucket="archive", log_level="error")


@pytest.fixture
def engine(settings: Settings) -> bootstrap.Engine:
    """An empty archive."""
    bootstrap.initialise(settings)
    return bootstrap.build_engine(settings)


Serve = Callable[..., FlaskClient]


@pytest.fixture
def serve(settings: Settings, engine: bootstrap.Engine) -> Serve:
    """Starts the service on the archive, with settings that differ as told; may be called again."""

    def start(**different: Any) -> FlaskClient:
        return create_app(dataclasses.replace(settings, **different), engine).test_client()

    return start


@pytest.fixture
def client(serve: Serve) -> FlaskClient:
    """The service with partitions on."""
    return serve()
