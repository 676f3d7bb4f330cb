"""The background work of the service, done in the process of the test."""

from __future__ import annotations

from flask.testing import FlaskClient

from app.services import Services


def work(client: FlaskClient) -> None:
    """Do the background work that is due, until none is left."""
    services: Services = client.application.extensions["bulkhead"]
    for _ in range(1000):
        found = [step() for step in services.background]
        if not any(found):
            return
    raise AssertionError("the background work does not end")
