"""Every page answers every kind of caller by the rights of the caller (conformance §13.4, §15.2).

`EXPECTED` has a row for each method and path of the pages. A page without a row fails. The callers are signed in with a
cookie, as people in browsers are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.services.access.rights import Action, Rights
from app.web.routing.route import Route, Scope
from app.web.site.table import PAGE_ROUTES
from tests.support.access_rules import ANYONE, DELETE, EXPORT, MANAGE, READ, READ_ANYWHERE, WRITE, Rule, rule
from tests.support.browser import SAME_ORIGIN, form_token, signed_in
from tests.support.callers import ADMIN, EXPIRED, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

HERE, ELSEWHERE, MISSING = "clinic-a", "clinic-b", "clinic-c"
"""A partition with data, another one, and one that does not exist."""
STUDY, SERIES, INSTANCE = "2.25.1", "2.25.2", "2.25.3"

NO_CALLER, BAD_COOKIE = "no caller", "bad cookie"
UNKNOWN: Final = (NO_CALLER, BAD_COOKIE)
"""Callers that are led to the sign-in."""
RIGHTS = {
    "no grant": Rights(),
    "reader": granted(Action.READ, to=HERE),
    "writer": granted(Action.WRITE, to=HERE),
    "editor": granted(Action.READ, Action.WRITE, Action.DELETE, Action.EXPORT, to=HERE),
    "other admin": granted(Action.ALL, to=ELSEWHERE),
}
CALLERS = (*UNKNOWN, *RIGHTS, ADMIN)


PUBLIC = rule(", ".join(CALLERS), public=True)

SERIES_PATH = "/studies/<study>/series/<series>"
INSTANCE_PATH = f"{SERIES_PATH}/instances/<instance>"

EXPECTED: dict[str, tuple[Rule, set[int]]] = {
    "GET /": (ANYONE, {200}),
    "GET /studies": (READ, {200}),
    "GET /studies/<study>": (READ, {200}),
    f"GET {SERIES_PATH}": (READ, {200}),
    f"GET {INSTANCE_PATH}": (READ, {200}),
    "GET /studies/<study>/download": (READ, {200}),
    f"GET {SERIES_PATH}/download": (READ, {200}),
    "GET /upload": (WRITE, {200}),
    "GET /ui/new-partition": (ANYONE, {400}),  # without a name
    "GET /studies/<study>/delete": (DELETE, {200}),
    f"GET {SERIES_PATH}/delete": (DELETE, {200}),
    f"GET {INSTANCE_PATH}/delete": (DELETE, {200}),
    "POST /studies/<study>/delete": (DELETE, {303, 404}),
    f"POST {SERIES_PATH}/delete": (DELETE, {303, 404}),
    f"POST {INSTANCE_PATH}/delete": (DELETE, {303, 404}),
    "GET /update": (WRITE, {200}),
    "POST /update": (WRITE, {400}),
    "GET /export": (EXPORT, {200}),
    "POST /export": (EXPORT, {400}),
    "GET /worklist": (READ, {200}),
    "GET /worklist/<workitem>": (READ, {404}),
    "POST /worklist/<workitem>/cancel": (WRITE, {404}),
    "GET /ui/operations": (ANYONE, {200}),
    "GET /ui/operations/<operation>": (ANYONE, {404}),
    "GET /ui/feed": (READ_ANYWHERE, {200}),
    "GET /ui/tags": (READ_ANYWHERE, {200}),
    "GET /ui/tags/<tag>": (READ_ANYWHERE, {404}),
    "POST /ui/tags": (MANAGE, {400}),
    "POST /ui/tags/<tag>/status": (MANAGE, {400}),
    "GET /ui/tags/<tag>/delete": (MANAGE, {404}),
    "POST /ui/tags/<tag>/delete": (MANAGE, {404}),
    "GET /ui/status": (MANAGE, {200}),
    "GET /ui/sign-in": (PUBLIC, {200}),
    "POST /ui/sign-in": (PUBLIC, {401}),
    "POST /ui/sign-out": (PUBLIC, {303}),
    "GET /ui/sign-in/start": (PUBLIC, {404}),
    "GET /ui/callback": (PUBLIC, {404}),
    "GET /ui/<path:missing>": (PUBLIC, {404}),
    "GET /ui/static/<name>": (PUBLIC, {200}),
    "GET /docs": (PUBLIC, {200}),
    "GET /docs/api": (PUBLIC, {200}),
    "GET /docs/<name>": (PUBLIC, {200}),
    "GET /viewer": (READ_ANYWHERE, {404}),
    "GET /viewer/<path:view>": (READ_ANYWHERE, {404}),
    "GET /viewer/app-config.js": (READ_ANYWHERE, {404}),
    "GET /viewer/files/<digest>/<path:name>": (PUBLIC, {404}),
}
"""By method and path: which callers the page serves in the partition `HERE`, and the statuses that these get."""

VALUES = {
    "study": STUDY, "series": SERIES, "instance": INSTANCE, "operation": "0" * 32, "tag": "PatientAge",
    "path:missing": "nothing", "name": "site.css", "path:view": "viewer", "digest": "0" * 16, "path:name": "x.js",
    "workitem": "2.25.4",
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A page at one of its paths."""

    route: Route
    path: str

    @property
    def name(self) -> str:
        return f"{self.route.method} {self.path}"

    def url(self, partition: str) -> str:
        path = self.path if self.path != "/docs/<name>" else "/docs/security"
        for name, text in VALUES.items():
            path = path.replace(f"<{name}>", text)
        return f"/ui/partitions/{partition}{path}" if self.is_of_a_partition else path

    @property
    def is_of_a_partition(self) -> bool:
        return self.route.scope is Scope.PARTITION_PAGE


def steps() -> Iterator[Step]:
    """Yield all steps. Those that change something come last, and the sign-out after all others."""
    for route in sorted(PAGE_ROUTES, key=lambda route: (route.method != "GET", route.paths == ("/ui/sign-out",))):
        yield from (Step(route, path) for path in route.paths)


STEPS = tuple(steps())


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    app = embedded(tmp_path_factory.mktemp("pages"), viewer_dir=tmp_path_factory.mktemp("no-viewer"))
    authenticate(app, RIGHTS)
    fill(app)
    return app


def fill(app: Flask) -> None:
    """Add what is missing of this: an instance in `HERE`, and one in `ELSEWHERE`."""
    for partition in (HERE, ELSEWHERE):
        file = make_instance(
            study=STUDY,
            series=SERIES,
            instance=INSTANCE,
            PatientName=f"Secret^{partition}",
            PatientID=f"ID-of-{partition}",
        )
        PartitionClient(calling(app, ADMIN), f"/v2/partitions/{partition}").store(file)


def client_of(app: Flask, caller: str) -> FlaskClient:
    if caller not in UNKNOWN:
        return signed_in(app, caller.replace(" ", "-"))
    client = app.test_client()
    if caller == BAD_COOKIE:
        client.set_cookie("bulkhead-session", "A" * 80)
    return client


def send(client: FlaskClient, step: Step, partition: str, token: str) -> TestResponse:
    data = {"form_token": token} if step.route.method == "POST" else None
    return client.open(step.url(partition), method=step.route.method, data=data, headers=SAME_ORIGIN)


def token_of(client: FlaskClient) -> str:
    """Return the form token of a caller, from a page that each caller may open."""
    return form_token(client.get("/ui/sign-in"))


def check(answer: TestResponse, step: Step, caller: str, partition: str) -> None:
    """Assert that the answer is the one in `EXPECTED`."""
    rule, statuses = EXPECTED[step.name]
    text = answer.data.decode("latin-1")
    said = (step.name, caller, answer.status_code)
    is_absent = step.is_of_a_partition and (
        partition in (MISSING, ELSEWHERE) or caller not in rule.served | rule.forbidden
    )
    if caller in UNKNOWN and not rule.public:
        if step.route.method == "GET":
            assert answer.status_code == 303, said
            assert answer.headers["Location"].startswith("/ui/sign-in"), said
        else:
            assert answer.status_code == 401, said
    elif is_absent and caller not in UNKNOWN:
        assert answer.status_code == 400, said
        assert f"Specified PartitionName {partition} doesn&#39;t exist." in text, said
    elif caller in rule.forbidden:
        assert answer.status_code == 403, said
        assert "Authorization failed." in text, said
    else:
        assert answer.status_code in statuses, said
    if caller not in (ADMIN, "other admin"):
        assert "ID-of-clinic-b" not in text, said
    if caller in (*UNKNOWN, "no grant", "writer", "other admin"):
        assert "ID-of-clinic-a" not in text, said


def test_every_page_has_an_expectation_and_every_expectation_a_page() -> None:
    assert {step.name for step in STEPS} == EXPECTED.keys()


@pytest.mark.parametrize("caller", CALLERS)
def test_every_page_answers_by_the_rights_of_the_caller(app: Flask, caller: str) -> None:
    fill(app)
    client = client_of(app, caller)
    token = token_of(client)
    for step in STEPS:
        check(send(client, step, HERE, token), step, caller, HERE)


@pytest.mark.parametrize("caller", [caller for caller in CALLERS if caller != ADMIN])
def test_a_hidden_partition_and_a_missing_one_get_the_same_pages(app: Flask, caller: str) -> None:
    fill(app)
    client = client_of(app, caller)
    token = token_of(client)
    for step in STEPS:
        if not step.is_of_a_partition:
            continue
        missing = send(client, step, MISSING, token)
        check(missing, step, caller, MISSING)
        hidden = send(client, step, ELSEWHERE if caller != "other admin" else HERE, token)
        assert comparable(hidden) == comparable(missing), step.name


def test_credentials_that_ended_lead_to_the_sign_in(app: Flask) -> None:
    """A session began while the credentials counted."""
    client = signed_in(app, "reader")
    authenticate(app, {name: rights for name, rights in RIGHTS.items() if name != "reader"})
    try:
        for step in STEPS:
            if step.route.method == "GET" and not step.route.public:
                assert send(client, step, HERE, "").status_code == 303, step.name
    finally:
        authenticate(app, RIGHTS)
    headers = {"Authorization": f"Bearer {EXPIRED}"}
    assert app.test_client().get("/", headers=headers).status_code == 401


def comparable(answer: TestResponse) -> tuple[int, str, list[tuple[str, str]]]:
    """An answer without what differs between two requests: the name of the partition, and the id of the request."""
    own = f"{HERE}|{ELSEWHERE}|{MISSING}|{answer.headers['X-Request-Id']}"
    headers = [(name, re.sub(own, "NAME", value)) for name, value in answer.headers]
    return answer.status_code, re.sub(own, "NAME", answer.text), headers
