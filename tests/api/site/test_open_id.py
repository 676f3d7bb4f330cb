"""The sign-in with OpenID Connect, against an issuer over HTTP (conformance §15.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.web.routing.dispatch import SETTINGS
from tests.support.browser import submit
from tests.support.callers import embedded
from tests.support.issuer import CLIENT, DISCOVERY, TOKENS, Issuer, issuing

START = "/ui/sign-in/start?next=/ui/tags"
FLOW = "bulkhead-sign-in"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as started:
        yield started


@pytest.fixture
def app(tmp_path: Path, issuer: Issuer) -> Flask:
    return embedded(tmp_path, **issuer.settings(), oidc_client_id=CLIENT)


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    return app.test_client()


def at_provider(answer: TestResponse) -> str:
    """Follow the browser to the provider. Return the path and the query that it is sent back to."""
    assert answer.status_code == 302, answer.text
    sent = urllib3.request("GET", answer.headers["Location"], redirect=False)
    return sent.headers["Location"].removeprefix("http://localhost")


def signed_in(browser: FlaskClient) -> TestResponse:
    return browser.get(at_provider(browser.get(START)))


def refused(answer: TestResponse, text: str) -> None:
    assert answer.status_code == 401
    assert text in answer.text
    assert "bulkhead-session=" not in " ".join(answer.headers.getlist("Set-Cookie"))


def test_a_person_signs_in_and_out(browser: FlaskClient, issuer: Issuer) -> None:
    assert 'href="/ui/sign-in/start?next=/"' in browser.get("/ui/sign-in").text
    started = browser.get(START)
    url = urlsplit(started.headers["Location"])
    asked = {name: texts[0] for name, texts in parse_qs(url.query).items()}
    assert (asked["client_id"], asked["scope"], asked["redirect_uri"]) == (
        CLIENT, "openid profile", "http://localhost/ui/callback"
    )  # fmt: skip
    [cookie] = started.headers.getlist("Set-Cookie")
    assert cookie.startswith(f"{FLOW}=")
    assert "HttpOnly; Path=/; SameSite=Lax" in cookie
    for secret in ("state", "nonce"):
        assert asked[secret] not in cookie
        assert len(asked[secret]) >= 43
    answer = browser.get(at_provider(started))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/tags")
    assert answer.headers["Cache-Control"] == "no-store"
    assert browser.get_cookie(FLOW) is None
    assert browser.get("/ui/tags").status_code == 200
    assert browser.get("/v2/partitions").status_code == 200
    [(form, authorization)] = issuer.forms
    assert (form["client_id"], authorization, "client_secret" in form) == (CLIENT, "", False)
    left = submit(browser, "/ui/sign-out", shown_by="/ui/tags")
    page = browser.get(left.headers["Location"])
    assert f'href="{issuer.url}/leave?client_id=bulkhead&amp;post_logout_redirect_uri=http' in page.text
    assert browser.get("/v2/partitions").status_code == 401


def test_an_answer_serves_once(browser: FlaskClient, issuer: Issuer) -> None:
    back = at_provider(browser.get(START))
    flow = browser.get_cookie(FLOW)
    assert flow is not None
    assert browser.get(back).status_code == 303
    refused(browser.get(back), "The sign-in began too long ago, or in another browser.")
    browser.set_cookie(FLOW, flow.value)
    refused(browser.get(back), "The identity provider refused the code: invalid_grant.")


def test_an_answer_for_another_browser(app: Flask, browser: FlaskClient) -> None:
    """An attacker sends a link with an answer of the attacker's own sign-in."""
    attacker = at_provider(app.test_client().get(START))
    refused(browser.get(attacker), "The sign-in began too long ago, or in another browser.")
    browser.get(START)
    refused(browser.get(attacker), "The answer of the identity provider belongs to another sign-in.")


def test_a_flow_ends(app: Flask, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    back = at_provider(browser.get(START))
    open_id = app.extensions["bulkhead"].open_id
    now = open_id._now()
    monkeypatch.setattr(open_id, "_now", lambda: now + 601)
    refused(browser.get(back), "The sign-in began too long ago, or in another browser.")


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"state": "x"}, "belongs to another sign-in"),
        ({"state": None}, "belongs to another sign-in"),
        ({"state": "é"}, "belongs to another sign-in"),
        ({"code": None}, "has no code"),
        ({"code": "a b"}, "has no code"),
        ({"code": "x" * 2049}, "has no code"),
        ({"code": "other"}, "refused the code: invalid_grant."),
        ({"error": "access_denied"}, "refused the sign-in: access_denied."),
        ({"error": "Ünknown"}, "refused the sign-in."),
        ({"iss": "https://evil.test"}, "from another identity provider"),
        ({"id_token": None}, "sent no ID token"),
        ({"id_token": "x.y.z"}, "ID token of the identity provider is not valid"),
    ],
)
def test_a_wrong_answer(browser: FlaskClient, issuer: Issuer, changed: dict[str, Any], text: str) -> None:
    issuer.changed_answer = changed
    refused(signed_in(browser), text)
    assert browser.get_cookie(FLOW) is None


def test_a_parameter_that_comes_twice_counts_for_nothing(browser: FlaskClient) -> None:
    back = at_provider(browser.get(START))
    refused(browser.get(f"{back}&state=x"), "belongs to another sign-in")


def test_an_issuer_that_names_itself_always_does(browser: FlaskClient, issuer: Issuer) -> None:
    issuer.discovered = {"authorization_response_iss_parameter_supported": True}
    issuer.changed_answer = {"iss": None}
    refused(signed_in(browser), "from another identity provider")


@pytest.mark.parametrize(
    ("claims", "text"),
    [
        ({"nonce": "other"}, "belongs to another sign-in"),
        ({"nonce": None}, "belongs to another sign-in"),
        ({"nonce": 1}, "belongs to another sign-in"),
        ({"aud": "another client"}, "is not valid"),
        ({"iss": "https://evil.test"}, "is not valid"),
        ({"exp": 1}, "is not valid"),
        ({"azp": "another client"}, "for another client"),
    ],
)
def test_a_wrong_id_token(browser: FlaskClient, issuer: Issuer, claims: dict[str, Any], text: str) -> None:
    issuer.id_claims = claims
    refused(signed_in(browser), text)


def test_tokens_that_are_not_for_this_service(browser: FlaskClient, issuer: Issuer) -> None:
    issuer.person = {"aud": "https://graph.test"}
    issuer.id_claims = {"aud": CLIENT}
    refused(signed_in(browser), "compare their audience with BULKHEAD_JWT_AUDIENCES")


def test_the_id_token_serves_if_its_audience_is_accepted(tmp_path: Path, issuer: Issuer) -> None:
    settings = issuer.settings() | {"jwt_audiences": ("https://archive.test", CLIENT)}
    browser = embedded(tmp_path, **settings, oidc_client_id=CLIENT).test_client()
    issuer.changed_answer = {"access_token": "opaque"}
    assert signed_in(browser).status_code == 303
    assert browser.get("/v2/partitions").status_code == 200


@pytest.mark.parametrize("methods", [None, ["client_secret_post"], ["client_secret_basic", "client_secret_post"]])
def test_a_client_with_a_secret(tmp_path: Path, issuer: Issuer, methods: list[str] | None) -> None:
    file = tmp_path / "secret"
    file.write_text("s:cret&\n")
    if methods:
        issuer.discovered = {"token_endpoint_auth_methods_supported": methods}
    settings = issuer.settings() | {"oidc_client_id": "bulk:head", "oidc_client_secret_file": file}
    assert signed_in(embedded(tmp_path, **settings).test_client()).status_code == 303
    [(form, authorization)] = issuer.forms
    if methods == ["client_secret_post"]:
        assert (form["client_secret"], authorization) == ("s:cret&", "")
    else:
        assert ("client_secret" in form, authorization) == (False, "Basic YnVsayUzQWhlYWQ6cyUzQWNyZXQlMjY=")


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (404, "cannot be asked"),
        (b"{", "cannot be asked"),
        (b"[]", "cannot be asked"),
        ({"issuer": "https://evil.test"}, "cannot be asked"),
    ],
)
def test_a_provider_without_a_discovery_document(
    browser: FlaskClient, issuer: Issuer, document: Any, text: str
) -> None:
    issuer.documents = {DISCOVERY: document}
    refused(browser.get(START), text)


@pytest.mark.parametrize("endpoint", ["authorization_endpoint", "token_endpoint"])
@pytest.mark.parametrize("url", [None, 1, "", "http://elsewhere.test/x", "file:///etc/passwd"])
def test_an_endpoint_that_cannot_be_trusted(browser: FlaskClient, issuer: Issuer, endpoint: str, url: Any) -> None:
    issuer.discovered = {endpoint: url}
    if endpoint == "authorization_endpoint":
        refused(browser.get(START), "cannot be asked")
    else:
        refused(signed_in(browser), "cannot be asked")


@pytest.mark.parametrize("document", [500, b"", b"\xff", b"[]", b'{"error": "<script>"}', b"{" * 100_000, b"1"])
def test_a_token_endpoint_that_answers_nonsense(browser: FlaskClient, issuer: Issuer, document: Any) -> None:
    issuer.documents = {TOKENS: document}
    answer = signed_in(browser)
    assert answer.status_code == 401
    assert "<script>" not in answer.text


def test_the_provider_is_down_when_the_person_comes_back(browser: FlaskClient, issuer: Issuer) -> None:
    back = at_provider(browser.get(START))
    issuer.stop()
    refused(browser.get(back), "The identity provider cannot be asked. Try again later.")


def test_a_provider_that_does_not_answer_is_not_asked_by_each_visitor(
    app: Flask, browser: FlaskClient, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_id = app.extensions["bulkhead"].open_id
    ask, asked = open_id._downloader.discovery, []
    monkeypatch.setattr(open_id._downloader, "discovery", lambda url: (asked.append(url), ask(url))[1])
    monkeypatch.setattr(open_id, "_monotonic", lambda: 1000.0)
    issuer.documents = {DISCOVERY: 500}
    for path in (START, START, "/ui/sign-in?signed-out"):
        assert "You are signed out" in (page := browser.get(path).text) or "cannot be asked" in page
    assert len(asked) == 1
    issuer.documents = {}
    monkeypatch.setattr(open_id, "_monotonic", lambda: 1010.0)
    assert browser.get(START).status_code == 302


def test_the_public_url_is_that_of_the_redirect(app: Flask, browser: FlaskClient) -> None:
    app.extensions[SETTINGS] = replace(app.extensions[SETTINGS], public_url="https://archive.example/dicom")
    answer = browser.get(START)
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert query["redirect_uri"] == ["https://archive.example/dicom/ui/callback"]
    assert answer.headers["Set-Cookie"].startswith(f"__Host-{FLOW}=")


@pytest.mark.parametrize("path", ["/ui/sign-in/start", "/ui/callback?code=a&state=b"])
def test_without_a_client_there_is_no_provider(tmp_path: Path, issuer: Issuer, path: str) -> None:
    client = embedded(tmp_path, **issuer.settings()).test_client()
    assert client.get(path).status_code == 404
    assert "organisation" not in client.get("/ui/sign-in").text


@pytest.mark.parametrize("cookie", ["", "x", "A" * 60, "A" * 4000])
def test_a_flow_that_this_service_did_not_begin(browser: FlaskClient, cookie: str) -> None:
    browser.set_cookie(FLOW, cookie)
    refused(browser.get("/ui/callback?code=a&state=b"), "The sign-in began too long ago, or in another browser.")


def test_the_cookie_of_a_session_is_no_flow(browser: FlaskClient, issuer: Issuer) -> None:
    """Each kind of cookie has a key of its own."""
    assert signed_in(browser).status_code == 303
    session = browser.get_cookie("bulkhead-session")
    assert session is not None
    browser.set_cookie(FLOW, session.value)
    refused(browser.get("/ui/callback?code=a&state=b"), "The sign-in began too long ago, or in another browser.")


def test_no_way_leads_to_another_site(browser: FlaskClient) -> None:
    answer = browser.get(at_provider(browser.get("/ui/sign-in/start?next=//evil.test")))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
