"""The sign-in with a token: the cookie, what it serves for, and how it ends (conformance §15.2)."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.services.access.rights import Action
from app.web.routing.dispatch import SETTINGS
from tests.support import access
from tests.support.browser import SAME_ORIGIN, form_token, signed_in, submit
from tests.support.callers import ADMIN, EXPIRED, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

COOKIE = "bulkhead-session"
STUDIES = "/v2/partitions/clinic-a/studies"
RIGHTS = {"reader": granted(Action.READ, to="clinic-a"), "writer": granted(Action.WRITE, to="clinic-a")}


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    app = embedded(tmp_path)
    authenticate(app, RIGHTS)
    PartitionClient(calling(app, ADMIN)).stored(make_instance(study="2.25.1"))
    return app


def cookie_of(answer: TestResponse) -> str:
    [header] = answer.headers.getlist("Set-Cookie")
    return header


def test_a_person_without_a_session_is_led_to_the_sign_in_and_back(app: Flask) -> None:
    client = app.test_client()
    answer = client.get("/?a=b&c=d")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/sign-in?next=/%3Fa%3Db%26c%3Dd")
    page = client.get(answer.headers["Location"])
    assert 'name="next" value="/?a=b&amp;c=d"' in page.text
    answer = submit(client, "/ui/sign-in", token="reader", next="/?a=b&c=d")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?a=b&c=d")
    front = client.get("/")
    assert front.status_code == 200
    assert "Signed in as" in front.text
    assert "<strong>reader</strong>" in front.text


def test_the_cookie_serves_api_calls_too(app: Flask) -> None:
    client = signed_in(app, "reader")
    answer = client.get(STUDIES)
    assert (answer.status_code, len(answer.get_json())) == (200, 1)
    assert {each.strip() for each in answer.headers["Vary"].split(",")} == {
        "Accept", "Authorization", "Cookie", "Accept-Encoding"
    }  # fmt: skip
    assert client.get("/v2/partitions/clinic-b/studies").status_code == 400
    assert client.delete(f"{STUDIES}/2.25.1", headers=SAME_ORIGIN).status_code == 403


def test_the_header_counts_before_the_cookie(app: Flask) -> None:
    client = signed_in(app, "reader")
    assert client.get(STUDIES, headers=access.authorization("writer")).status_code == 403
    refused = client.get(STUDIES, headers=access.authorization("nobody"))
    assert (refused.status_code, refused.text) == (401, "The credentials are invalid.")


def test_the_cookie_over_http(app: Flask) -> None:
    header = cookie_of(submit(app.test_client(), "/ui/sign-in", token="reader"))
    assert re.fullmatch(
        r"bulkhead-session=[\w-]+; Expires=[^;]+; Max-Age=28800; HttpOnly; Path=/; SameSite=Lax", header
    )
    assert "reader" not in header


def test_the_cookie_over_https_belongs_to_this_host_alone(app: Flask) -> None:
    client = app.test_client()
    token = form_token(client.get("/ui/sign-in"))
    answer = client.post(
        "/ui/sign-in", data={"form_token": token, "token": "reader"}, headers=SAME_ORIGIN, base_url="https://localhost"
    )
    header = cookie_of(answer)
    assert header.startswith("__Host-bulkhead-session=")
    assert "; Secure; HttpOnly; Path=/; SameSite=Lax" in header
    value = header.partition("=")[2].partition(";")[0]
    plain = app.test_client(use_cookies=False)
    assert plain.get(STUDIES, headers={"Cookie": f"{COOKIE}={value}"}, base_url="https://localhost").status_code == 401
    own = {"Cookie": f"__Host-{COOKIE}={value}"}
    assert plain.get(STUDIES, headers=own, base_url="https://localhost").status_code == 200


def test_a_public_https_url_makes_the_cookie_secure(app: Flask) -> None:
    app.extensions[SETTINGS] = replace(app.extensions[SETTINGS], public_url="https://archive.example")
    assert cookie_of(submit(app.test_client(), "/ui/sign-in", token="reader")).startswith("__Host-bulkhead-session=")


def test_services_below_two_paths_of_a_host_have_two_cookies(app: Flask) -> None:
    def begun(base: str) -> str:
        client, url = app.test_client(), f"http://localhost{base}"
        token = form_token(client.get("/ui/sign-in", base_url=url))
        fields = {"form_token": token, "token": "reader"}
        answer = client.post("/ui/sign-in", data=fields, headers=SAME_ORIGIN, base_url=url)
        assert answer.headers["Location"] == f"{base}/"
        return cookie_of(answer)

    one, other = begun("/one"), begun("/other")
    assert "; Path=/one;" in one
    assert "; Path=/other;" in other
    assert one.partition("=")[0] != other.partition("=")[0]


@pytest.mark.parametrize(
    ("token", "text"),
    [("", "Paste a token."), ("nobody", "The credentials are invalid."), (EXPIRED, "The credentials have expired.")],
)
def test_a_token_that_is_not_valid(app: Flask, token: str, text: str) -> None:
    answer = submit(app.test_client(), "/ui/sign-in", token=token, next="/ui/x")
    assert answer.status_code == 401
    assert text in answer.text
    assert 'name="next" value="/ui/x"' in answer.text
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "following",
    ["//evil.test", "/\\evil.test", "https://evil.test", "https:evil.test", "javascript:alert(1)", "/\t/evil.test",
     "\\/evil.test", "///evil.test", " //evil.test", "evil.test", "/x\r\nSet-Cookie: a=b", "/é", "/" + "x" * 3000,
     "/ui/sign-in?next=/ui/sign-in", "/ui/sign-out"],
)  # fmt: skip
def test_no_way_leads_to_another_site(app: Flask, following: str) -> None:
    answer = submit(app.test_client(), "/ui/sign-in", token="reader", next=following)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_the_sign_out_forgets_the_session(app: Flask) -> None:
    client = signed_in(app, "reader")
    assert client.get("/ui/sign-out", headers=SAME_ORIGIN).status_code == 404
    assert client.get("/").status_code == 200
    answer = submit(client, "/ui/sign-out", shown_by="/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/ui/sign-in?signed-out")
    assert "You are signed out." in client.get(answer.headers["Location"]).text
    assert client.get(STUDIES).status_code == 401


def test_a_new_sign_in_has_a_new_session(app: Flask) -> None:
    """Whoever planted a session before learns nothing of the one that begins."""
    client = signed_in(app, "reader")
    before = form_token(client.get("/"))
    submit(client, "/ui/sign-in", token="writer")
    assert form_token(client.get("/")) != before


def test_a_session_ends_with_its_credential(app: Flask) -> None:
    client = signed_in(app, "reader")
    authenticate(app, {})
    refused = client.get(STUDIES)
    assert (refused.status_code, refused.text) == (401, "The credentials are invalid.")
    assert client.get("/").status_code == 303


BAD_COOKIES: list[bytes | str] = [
    "", "=", ";", "x", "A" * 60, "A" * 7000, "é" * 50, b"\xff\xfe" * 30, "bh_secret", "a.b.c", '"quoted"', "\x01\x02",
]  # fmt: skip


@pytest.mark.parametrize("value", BAD_COOKIES)
@pytest.mark.parametrize("name", [COOKIE, "__Host-" + COOKIE, "bulkhead-sign-in"])
def test_a_cookie_that_cannot_be_opened_is_none(app: Flask, name: str, value: bytes | str) -> None:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    client = app.test_client(use_cookies=False)
    client.environ_base["HTTP_COOKIE"] = f"{name}={text}"
    answer = client.get(STUDIES)
    assert (answer.status_code, answer.text) == (401, "The request has no credentials.")
    for path, status in (("/", 303), ("/ui/sign-in", 200), ("/health/live", 200)):
        assert client.get(path).status_code == status


def test_a_changed_cookie_is_none(app: Flask) -> None:
    client = signed_in(app, "reader")
    cookie = client.get_cookie(COOKIE)
    assert cookie is not None
    value = cookie.value
    for at in (0, 20, len(value) - 2):
        changed = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
        other = app.test_client(use_cookies=False)
        assert other.get(STUDIES, headers={"Cookie": f"{COOKIE}={changed}"}).status_code == 401


def test_the_first_of_some_cookies_that_opens_counts(app: Flask) -> None:
    cookie = signed_in(app, "reader").get_cookie(COOKIE)
    assert cookie is not None

    def asked(others: int) -> int:
        pairs = [f"{COOKIE}=x"] * others + [f"{COOKIE}={cookie.value}"]
        return app.test_client(use_cookies=False).get(STUDIES, headers={"Cookie": "; ".join(pairs)}).status_code

    assert asked(3) == 200
    assert asked(4) == 401  # a bound for the work


def test_an_api_answer_to_a_page_asks_for_no_password(app: Flask) -> None:
    app.extensions[SETTINGS] = replace(app.extensions[SETTINGS], auth=("tokens",))
    client = app.test_client(use_cookies=False)
    assert len(client.get(STUDIES).headers.getlist("WWW-Authenticate")) == 2
    [challenge] = client.get(STUDIES, headers=SAME_ORIGIN).headers.getlist("WWW-Authenticate")
    assert challenge.startswith("Bearer ")
    [challenge] = client.get(STUDIES, headers={"Cookie": f"{COOKIE}=x"}).headers.getlist("WWW-Authenticate")
    assert challenge.startswith("Bearer ")


def test_a_program_with_bad_credentials_gets_401_from_a_page(app: Flask) -> None:
    answer = app.test_client().get("/", headers=access.authorization("nobody"))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert "The credentials are invalid." in answer.text


def test_only_a_document_leads_to_the_sign_in(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/", headers={"Sec-Fetch-Dest": "document"}).status_code == 303
    assert client.get("/", headers={"Sec-Fetch-Dest": "empty"}).status_code == 401


def test_without_authentication_there_is_no_sign_in(tmp_path: Path) -> None:
    client = embedded(tmp_path).test_client()
    assert client.get("/ui/sign-in").status_code == 404
    assert "Sign" not in client.get("/").text


def test_public_pages_know_who_is_signed_in(app: Flask) -> None:
    client = signed_in(app, "reader")
    assert "<strong>reader</strong>" in client.get("/docs").text
    authenticate(app, {})
    assert "Signed in as" not in client.get("/docs").text


def test_a_browser_names_the_origin_of_the_form(app: Flask) -> None:
    """With `no-referrer` a browser sends `Origin: null` with the form (Fetch §3.2.2)."""
    assert app.test_client().get("/ui/sign-in").headers["Referrer-Policy"] == "same-origin"


def test_the_pages_are_in_no_frame_of_another_site(app: Flask) -> None:
    policy = app.test_client().get("/ui/sign-in").headers.get("Content-Security-Policy", "")
    assert "frame-ancestors 'self'" in policy


@pytest.fixture
def jwt_client(tmp_path: Path) -> FlaskClient:
    return embedded(tmp_path, **access.authenticated(tmp_path)).test_client()


def test_a_session_with_a_jwt(jwt_client: FlaskClient) -> None:
    jwt = access.signed(access.claims(roles=["globalReader"], groups=[f"group-{n}" for n in range(150)]))
    answer = submit(jwt_client, "/ui/sign-in", token=f" {jwt[:50]}\r\n{jwt[50:]} ")
    assert answer.status_code == 303
    assert len(cookie_of(answer)) < 4096
    match = re.search("Max-Age=([0-9]+)", cookie_of(answer))
    assert match is not None
    assert 3600 <= int(match[1]) <= 3660  # until the JWT ends, with the leeway
    assert jwt_client.get("/v2/partitions").status_code == 200


def test_a_jwt_that_is_too_long_for_a_cookie(jwt_client: FlaskClient) -> None:
    jwt = access.signed(access.claims(roles=["globalReader"], noise=secrets.token_hex(2800)))
    answer = submit(jwt_client, "/ui/sign-in", token=jwt)
    assert answer.status_code == 401
    assert "The token is too long for a cookie" in answer.text
