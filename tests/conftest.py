"""Archives to test on: every engine, each archive fresh, and the WSGI client on top."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from moto import mock_aws

from app import bootstrap, create_app
from app.settings import Settings

REGION = "us-east-1"
ENGINES = ("embedded", "moto")


@pytest.fixture(scope="session")
def aws() -> Iterator[None]:
    """One mocked account for the whole session; tests differ in the names of their tables and buckets."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        yield


@pytest.fixture(params=ENGINES)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty archive."""
    if request.param == "embedded":
        return Settings(data_dir=tmp_path, log_level="error")
    request.getfixturevalue("aws")
    name = f"test-{uuid.uuid4().hex}"
    return Settings(engine="aws", table=name, bucket=name, log_level="error")


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
