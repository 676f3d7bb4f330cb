"""Requests that pages of other sites make a browser send (conformance §15.2)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.services.access.rights import Action
from app.services.access.tokens import TokenRequest
from app.web.routing.dispatch import SERVICES, SETTINGS
from app.web.routing.origins import SAFE
from app.web.site.forms import FormBody
from app.web.site.table import PAGE_ROUTES
from tests.support import access
from tests.support.browser import SAME_ORIGIN, form_token, signed_in
from tests.support.callers import authenticate, embedded, granted
from tests.support.tokens import basic

TEXT = "The request comes from a web page of another origin. BULKHEAD_CORS_ORIGINS may allow it."
OWN, FOREIGN = "http://localhost", "https://evil.test"
TAGS = "/v2/extendedquerytags"


def sent(client: FlaskClient, headers: dict[str, str], **more: Any) -> tuple[int, str]:
    """Ask for a change that is refused later with another text: the body is no array of tags."""
    answer = client.post(TAGS, data="{", content_type="application/json", headers=headers, **more)
    return answer.status_code, answer.text if answer.text == TEXT else ""


REFUSED, PASSED = (403, TEXT), (400, "")

BY_HEADERS = [
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "none"}, True),
    ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": "cross-site", "Origin": OWN}, False),
    ({"Sec-Fetch-Site": ""}, False),
    ({"Origin": OWN}, True),
    ({"Origin": OWN + ":8080"}, False),
    ({"Origin": "https://localhost"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": FOREIGN}, False),
    ({"Origin": FOREIGN, "Referer": OWN + "/"}, False),
    ({"Referer": OWN + "/ui/tags"}, True),
    ({"Referer": OWN + ".evil.test/"}, False),
    ({"Referer": FOREIGN}, False),
    ({"Referer": "http://localhost:x/"}, False),
    ({"Referer": "http://[::1/"}, False),
]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    app = embedded(tmp_path_factory.mktemp("archive"))
    authenticate(app, {"manager": granted(Action.ALL)})
    return app


@pytest.fixture(scope="module")
def session(app: Flask) -> FlaskClient:
    return signed_in(app, "manager")


@pytest.fixture(scope="module")
def open_app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    return embedded(tmp_path_factory.mktemp("archive"))


@pytest.mark.parametrize(("headers", "passes"), BY_HEADERS)
def test_a_change_with_a_cookie(session: FlaskClient, headers: dict[str, str], passes: bool) -> None:
    assert sent(session, headers) == (PASSED if passes else REFUSED)


@pytest.mark.parametrize(("headers", "passes"), BY_HEADERS)
def test_a_change_without_authentication(open_app: Flask, headers: dict[str, str], passes: bool) -> None:
    assert sent(open_app.test_client(), headers) == (PASSED if passes else REFUSED)


def test_a_cookie_without_any_of_the_headers_is_refused(session: FlaskClient) -> None:
    assert sent(session, {}) == REFUSED


def test_a_program_is_no_page(app: Flask, open_app: Flask) -> None:
    assert sent(open_app.test_client(), {}) == PASSED
    for headers in ({}, {"Sec-Fetch-Site": "cross-site", "Origin": FOREIGN}):
        assert sent(app.test_client(), access.authorization("manager") | headers) == PASSED


def test_what_a_browser_adds_by_itself_is_refused(tmp_path: Path) -> None:
    """A browser that was once asked for a password sends it with the forms of other sites too."""
    app = embedded(tmp_path, auth=("tokens",))
    new = app.extensions[SERVICES].tokens.create(TokenRequest(name="n", roles=("globalAdmin",), partitions=("*",)), "t")
    headers = basic("any", new.secret)
    client = app.test_client()
    assert sent(client, headers) == PASSED
    assert sent(client, headers | {"Origin": FOREIGN}) == REFUSED
    assert sent(client, headers | {"Sec-Fetch-Site": "cross-site"}) == REFUSED


def test_reading_is_left_to_cors(session: FlaskClient) -> None:
    assert session.get("/v2/partitions", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_pages_that_the_operator_allows(app: Flask, session: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Sec-Fetch-Site": "same-site", "Origin": "https://viewer.test"}
    settings = replace(app.extensions[SETTINGS], cors_origins=("https://viewer.test",))
    monkeypatch.setitem(app.extensions, SETTINGS, settings)
    assert sent(session, headers) == REFUSED  # it may call, without credentials
    monkeypatch.setitem(app.extensions, SETTINGS, replace(settings, cors_credentials=True))
    assert sent(session, headers) == PASSED
    assert sent(session, headers | {"Origin": FOREIGN}) == REFUSED


def test_any_page_may_call_without_authentication_if_the_operator_says_so(
    open_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(open_app.extensions[SETTINGS], cors_origins=("*",))
    monkeypatch.setitem(open_app.extensions, SETTINGS, settings)
    assert sent(open_app.test_client(), {"Origin": FOREIGN, "Sec-Fetch-Site": "cross-site"}) == PASSED


def test_the_public_url_is_an_own_origin(app: Flask, session: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(app.extensions[SETTINGS], public_url="http://archive.test:80/dicom")
    monkeypatch.setitem(app.extensions, SETTINGS, settings)
    assert sent(session, {"Origin": "http://archive.test"}) == PASSED


def test_nobody_signs_a_person_in_from_elsewhere(app: Flask) -> None:
    """Otherwise a person would work, and upload, with the rights and in the name of the attacker."""
    client = app.test_client()
    token = form_token(client.get("/ui/sign-in"))
    answer = client.post(
        "/ui/sign-in", data={"form_token": token, "token": "manager"}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403
    assert TEXT in answer.text
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("token", ["", "x", "é", "A" * 43])
def test_a_form_without_the_token_of_its_session(app: Flask, token: str) -> None:
    session = signed_in(app, "manager")
    answer = session.post("/ui/sign-out", data={"form_token": token}, headers=SAME_ORIGIN)
    assert answer.status_code == 403
    assert "The form is too old" in answer.text
    assert session.get(TAGS).status_code == 200


def test_the_form_token_of_another_session_is_refused(app: Flask) -> None:
    mine, other = signed_in(app, "manager"), signed_in(app, "manager")
    for stolen in (form_token(other.get("/")), form_token(app.test_client().get("/ui/sign-in"))):
        assert mine.post("/ui/sign-out", data={"form_token": stolen}, headers=SAME_ORIGIN).status_code == 403


def test_every_page_that_changes_something_reads_a_form() -> None:
    """`FormBody` checks the form token."""
    changing = [route for route in PAGE_ROUTES if route.method not in SAFE]
    assert changing
    assert [route.paths for route in changing if not isinstance(route.body, FormBody)] == []
