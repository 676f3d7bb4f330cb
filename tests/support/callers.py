"""Callers with given rights, for tests of what callers see. Their credentials are their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from app import bootstrap, create_app
from app.errors import InvalidCredentials
from app.services.access.authentication import Authentication, Verified
from app.services.access.caller import Caller
from app.services.access.rights import ALL_RIGHTS, Action, Grant, Rights
from app.settings import Settings
from app.web.routing.dispatch import SERVICES
from tests.support.faulty_engine import Faults

ISSUER = "https://issuer.example"
ADMIN = "admin"
EXPIRED = "expired"


def granted(*actions: Action, to: tuple[str, ...] | str = "*", expires: float | None = None) -> Rights:
    """Return the right to these actions in these partitions."""
    partitions = (to,) if isinstance(to, str) else to
    return Rights((Grant(actions=frozenset(actions), partitions=partitions, expires=expires),))


READER = granted(Action.READ)


def embedded(folder: Path, *, faults: Faults | None = None, **settings: Any) -> Flask:
    """Return the service on an embedded archive in a folder, with these settings, and under the rules of `faults`."""
    given = Settings(data_dir=folder, log_level="error", audit="off", **settings)
    bootstrap.initialise(given)
    engine = bootstrap.build_engine(given)
    return create_app(given, faults.wrap(engine) if faults else engine)


def authenticate(app: Flask, rights: Mapping[str, Rights]) -> None:
    """Let the application accept these callers, and `ADMIN`, who may do everything. It knew nobody before, or others.

    The credentials `EXPIRED` have expired.
    """
    known = {_secret(name): each for name, each in {ADMIN: ALL_RIGHTS, **rights}.items()}

    def verify(secret: str) -> Verified:
        if secret == EXPIRED:
            raise InvalidCredentials(expired=True)
        if secret not in known:
            raise InvalidCredentials
        return Verified(caller=Caller(issuer=ISSUER, subject=secret, rights=known[secret]))

    app.extensions[SERVICES] = replace(app.extensions[SERVICES], authentication=Authentication(verify_jwt=verify))


def calling(app: Flask, name: str) -> FlaskClient:
    """Return a client whose requests have the credentials of this caller."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {_secret(name)}"
    return client


def _secret(name: str) -> str:
    """Return the credentials of a caller. They have no blanks."""
    return name.replace(" ", "-")
