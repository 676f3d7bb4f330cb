"""A person in a browser: a client with cookies that sends the headers of a browser and fills in forms."""

from __future__ import annotations

import re
from typing import Final

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

SAME_ORIGIN: Final = {"Sec-Fetch-Site": "same-origin"}
_FIELD: Final = re.compile(r'name="form_token" value="([^"]+)"')


def form_token(page: TestResponse) -> str:
    """Return the form token of a page."""
    found = _FIELD.search(page.text)
    assert found is not None, page.text
    return found[1]


def submit(client: FlaskClient, path: str, *, shown_by: str | None = None, **fields: str) -> TestResponse:
    """Send a form as a browser does. Its token is that of the page `shown_by`, by default of the page itself."""
    token = form_token(client.get(shown_by or path))
    return client.post(path, data={"form_token": token, **fields}, headers=SAME_ORIGIN)


def signed_in(app: Flask, secret: str, following: str = "/") -> FlaskClient:
    """Return a client that has signed in with a token or a JWT."""
    client = app.test_client()
    answer = submit(client, "/ui/sign-in", token=secret, next=following)
    assert (answer.status_code, answer.headers["Location"]) == (303, following), answer.text
    return client
