"""Whom the pages of operators and of actions serve, and what a caller without the right gets (conformance §13.4).

The rights of a page are those of the call of the API that does the same.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from app.services.access.rights import Action, Rights
from tests.support.callers import ADMIN, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

RIGHTS = {
    "no grant": Rights(),
    "reader": granted(Action.READ, to="clinic-a"),
    "tag keeper": granted(Action.MANAGE_EXTENDED_QUERY_TAGS, Action.READ),
    "access keeper": granted(Action.MANAGE_ACCESS, Action.READ),
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    app = embedded(Path(tmp_path_factory.mktemp("pages")))
    authenticate(app, RIGHTS)
    PartitionClient(calling(app, ADMIN)).stored(make_instance(pixel=False))
    return app


@pytest.mark.parametrize(
    ("method", "path", "served"),
    [
        ("GET", "/ui/operations", "no grant, reader, tag keeper, access keeper, admin"),
        ("GET", "/ui/feed", "reader, tag keeper, access keeper, admin"),
        ("GET", "/ui/tags", "reader, tag keeper, access keeper, admin"),
        ("GET", "/ui/status", "admin"),
        ("GET", "/ui/tags/PatientAge/delete", "tag keeper, admin"),
        ("POST", "/ui/tags/PatientAge/delete", "tag keeper, admin"),
        ("POST", "/ui/tags/PatientAge/status", "tag keeper, admin"),
        ("POST", "/ui/tags", "tag keeper, admin"),
    ],
)
def test_a_page_serves_the_callers_of_its_call(app: Flask, method: str, path: str, served: str) -> None:
    for caller in (*RIGHTS, ADMIN):
        answer = calling(app, caller).open(path, method=method, data={"sent": "1"} if method == "POST" else None)
        assert answer.content_type == "text/html; charset=utf-8"
        assert (answer.status_code == 403) == (caller not in served.split(", ")), caller
        assert ("Authorization failed." in answer.text) == (answer.status_code == 403)


@pytest.mark.parametrize(
    ("caller", "entries"),
    [
        ("no grant", {"/", "/ui/operations"}),
        ("reader", {"/", "/ui/operations", "/ui/feed", "/ui/tags"}),
        (ADMIN, {"/", "/ui/operations", "/ui/feed", "/ui/tags", "/ui/status"}),
    ],
)
def test_the_navigation_has_the_pages_that_the_caller_may_open(app: Flask, caller: str, entries: set[str]) -> None:
    text = calling(app, caller).get("/ui/operations").text
    assert {path for path in ("/", "/ui/operations", "/ui/feed", "/ui/tags", "/ui/status") if f'"{path}"' in text} == (
        entries
    )


def test_only_callers_who_may_change_tags_see_the_form(app: Flask) -> None:
    assert "Add the tag" not in calling(app, "reader").get("/ui/tags").text
    assert "Add the tag" in calling(app, "tag keeper").get("/ui/tags").text


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"path=%ff", "application/x-www-form-urlencoded", 400),
        ("path=é".encode(), "application/x-www-form-urlencoded", 400),
        (b"&".join([b"a=1"] * 201), "application/x-www-form-urlencoded", 400),
        (b"path=" + b"a" * 65_536, "application/x-www-form-urlencoded", 413),
        (b"", "application/x-www-form-urlencoded", 400),
    ],
)
def test_a_body_that_is_no_form_is_refused_with_a_page(app: Flask, body: bytes, content_type: str, status: int) -> None:
    answer = calling(app, ADMIN).post("/ui/tags", data=body, content_type=content_type)
    assert (answer.status_code, answer.content_type) == (status, "text/html; charset=utf-8")
