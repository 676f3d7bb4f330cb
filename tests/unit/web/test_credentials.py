"""The Authorization header."""

from __future__ import annotations

import base64

import pytest

from app.errors import InvalidCredentials, NoCredentials
from app.services.access.authentication import Credentials
from app.web.request.credentials import read_credentials


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("header", [None, ""])
def test_no_credentials(header: str | None) -> None:
    with pytest.raises(NoCredentials):
        read_credentials(header)


@pytest.mark.parametrize(
    ("header", "scheme", "secret"),
    [
        ("Bearer a.b-c_d", "bearer", "a.b-c_d"),
        ("bearer   a==", "bearer", "a=="),
        (basic("any:secret"), "basic", "secret"),
        (basic("any:a:b"), "basic", "a:b"),
        (basic(":secret"), "basic", "secret"),
        (basic("any:"), "basic", ""),
    ],
)
def test_credentials(header: str, scheme: str, secret: str) -> None:
    assert read_credentials(header) == Credentials(scheme=scheme, secret=secret)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer a,Bearer b",
        "Bearer a, Basic b",
        "Bearer a=b",
        "Bearer \xfc",
        "Bearer a\x00",
        "Bearer\ta",
        "Digest a",
        "a",
        "Basic YQ",
        basic("no colon"),
        "Basic a-_b",
        "Basic Ov8=",
    ],
)
def test_credentials_that_cannot_be_read(header: str) -> None:
    with pytest.raises(InvalidCredentials):
        read_credentials(header)
