"""Callers with tokens, for tests of access over HTTP."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import bootstrap
from app.services.access.authentication import Authentication
from app.services.access.stored_grants import StoredGrantIndex
from app.services.access.tokens import NewToken, TokenRequest
from app.settings import Settings

TOKENS = "/v2/access/tokens"
GRANTS = "/v2/access/grants"


def create_token(
    settings: Settings, engine: bootstrap.Engine, *roles: str, partitions: tuple[str, ...] = ("*",), **more: Any
) -> NewToken:
    """Create a token with these roles on the archive itself, as the command does."""
    access = bootstrap.build_access(settings, engine.table)
    return access.tokens.create(TokenRequest(name="CT 3", roles=roles, partitions=partitions, **more), "test")


def stop_access_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stop the clock by which a service forgets callers and grants. The returned function moves it by seconds.

    Call it before the service is started.
    """
    now = 1000.0

    def move(seconds: float) -> None:
        nonlocal now
        now += seconds

    for kind in (Authentication, StoredGrantIndex):
        monkeypatch.setitem(kind.__init__.__kwdefaults__ or {}, "monotonic", lambda: now)
    return move


def bearer(secret: str) -> dict[str, str]:
    """Return the header of the Bearer scheme."""
    return {"Authorization": f"Bearer {secret}"}


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of the Basic scheme."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def ask(client: FlaskClient, secret: str, partition: str = "clinic-a") -> TestResponse:
    """Search a partition with a token. 400 is the answer for a partition that the caller does not see."""
    return client.get(f"/v2/partitions/{partition}/studies", headers=bearer(secret))
