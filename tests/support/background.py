"""The worker's steps, taken in process."""

from __future__ import annotations

from flask.testing import FlaskClient

from app.services import Services


def work(client: FlaskClient) -> None:
    """Do what background work is due, until there is none."""
    services: Services = client.application.extensions["bulkhead"]
    for _ in range(1000):
        found = [step() for step in services.background]
        if not any(found):
            return
    raise AssertionError("the background work never ends")
