"""Every route, in every version, answers every kind of caller by the rights of the caller (conformance §13.1, §13.4).

`EXPECTED` has a row for each method and path of the route table. A route without a row fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.services.access.rights import Action, Rights
from app.web.routes.table import ROUTES
from app.web.routing.route import PARTITION_PREFIX, Route, Scope
from app.web.routing.versions import ApiVersion
from tests.support.access_rules import ANYONE, CREATE, DELETE, EXPORT, MANAGE, READ, READ_ANYWHERE, WRITE, Rule, rule
from tests.support.callers import ADMIN, EXPIRED, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.route_calls import BASE_CALLS, PARTITION_CALLS, STUDY, TASK, Call, file
from tests.support.worklist import WorklistClient

HERE, ELSEWHERE, MISSING = "clinic-a", "clinic-b", "clinic-c"
"""A partition with data, another one, and one that does not exist."""

NO_CALLER, BAD_TOKEN = "no caller", "bad token"
RIGHTS = {
    "no grant": Rights(),
    "reader": granted(Action.READ, to=HERE),
    "writer": granted(Action.WRITE, to=HERE),
    "editor": granted(Action.READ, Action.WRITE, Action.DELETE, Action.EXPORT, to=HERE),
    "other admin": granted(Action.ALL, to=ELSEWHERE),
}
UNKNOWN_CALLERS = {
    NO_CALLER: "The request has no credentials.",
    BAD_TOKEN: "The credentials are invalid.",
    EXPIRED: "The credentials have expired.",
}
"""Callers that get 401 from every route that is not public, and the text."""
CALLERS = (*UNKNOWN_CALLERS, *RIGHTS, ADMIN)


PUBLIC = rule(", ".join(CALLERS), public=True)

INSTANCE = "/studies/<study>/series/<series>/instances/<instance>"

EXPECTED: dict[str, tuple[Rule, set[int]]] = {
    "POST /studies": (CREATE, {200, 202, 409}),
    "POST /studies/<study>": (CREATE, {200, 202, 409}),
    "GET /studies": (READ, {200}),
    "GET /series": (READ, {200}),
    "GET /instances": (READ, {200}),
    "GET /studies/<study>/series": (READ, {200}),
    "GET /studies/<study>/instances": (READ, {200}),
    "GET /studies/<study>/series/<series>/instances": (READ, {200}),
    "GET /studies/<study>": (READ, {200}),
    "GET /studies/<study>/series/<series>": (READ, {200}),
    f"GET {INSTANCE}": (READ, {200}),
    "GET /studies/<study>/metadata": (READ, {200}),
    "GET /studies/<study>/series/<series>/metadata": (READ, {200}),
    f"GET {INSTANCE}/metadata": (READ, {200}),
    f"GET {INSTANCE}/frames": (READ, {400}),  # the list of frames is missing
    f"GET {INSTANCE}/frames/<frames>": (READ, {200}),
    "GET /studies/<study>/rendered": (READ, {200}),
    "GET /studies/<study>/series/<series>/rendered": (READ, {200}),
    f"GET {INSTANCE}/rendered": (READ, {200}),
    f"GET {INSTANCE}/frames/<frames>/rendered": (READ, {200}),
    "GET /studies/<study>/thumbnail": (READ, {200}),
    "GET /studies/<study>/series/<series>/thumbnail": (READ, {200}),
    f"GET {INSTANCE}/thumbnail": (READ, {200}),
    f"GET {INSTANCE}/frames/<frames>/thumbnail": (READ, {200}),
    "GET /studies/<study>/bulkdata": (READ, {200}),
    "GET /studies/<study>/series/<series>/bulkdata": (READ, {200}),
    f"GET {INSTANCE}/bulkdata": (READ, {200}),
    f"GET {INSTANCE}/bulkdata/<path:element>": (READ, {200}),
    "GET /studies/<study>/pixeldata": (READ, {200}),
    "GET /studies/<study>/series/<series>/pixeldata": (READ, {200}),
    f"GET {INSTANCE}/pixeldata": (READ, {200}),
    "GET /wado": (READ, {200}),
    "GET ": (READ, {200}),
    "OPTIONS  below a partition": (READ, {200}),
    "DELETE /studies/<study>": (DELETE, {204, 404}),
    "DELETE /studies/<study>/series/<series>": (DELETE, {204, 404}),
    f"DELETE {INSTANCE}": (DELETE, {204, 404}),
    "POST /studies/$bulkUpdate": (WRITE, {202, 409}),
    "POST /export": (EXPORT, {202}),
    "POST /workitems": (CREATE, {201, 409}),
    "GET /workitems": (READ, {200}),
    "GET /workitems/<workitem>": (READ, {200}),
    "POST /workitems/<workitem>": (WRITE, {200, 400}),
    "PUT /workitems/<workitem>/state": (WRITE, {200, 400, 409}),
    "POST /workitems/<workitem>/cancelrequest": (WRITE, {202, 409}),
    "GET /partitions": (ANYONE, {200}),
    "GET /statistics": (READ, {200}),
    "GET /changefeed": (READ_ANYWHERE, {200}),
    "GET /changefeed/latest": (READ_ANYWHERE, {200, 204}),
    "GET /extendedquerytags": (READ_ANYWHERE, {200}),
    "GET /extendedquerytags/<path>": (READ_ANYWHERE, {200, 404}),
    "GET /extendedquerytags/<path>/errors": (READ_ANYWHERE, {200, 404}),
    "POST /extendedquerytags": (MANAGE, {202, 409}),
    "PATCH /extendedquerytags/<path>": (MANAGE, {200}),
    "DELETE /extendedquerytags/<path>": (MANAGE, {204, 404}),
    "GET /operations/<operation>": (ANYONE, {404}),
    "OPTIONS ": (ANYONE, {200}),
    "GET /api.json": (PUBLIC, {200}),
    "GET /api.yaml": (PUBLIC, {200}),
    "GET /health/live": (PUBLIC, {200}),
    "GET /health/ready": (PUBLIC, {200}),
    "GET /health/check": (PUBLIC, {200}),
    "GET /metrics": (MANAGE, {200}),
    "POST /access/tokens": (MANAGE, {201, 400}),
    "GET /access/tokens": (MANAGE, {200}),
    "DELETE /access/tokens/<token>": (MANAGE, {404}),
    "POST /access/grants": (MANAGE, {201, 400}),
    "GET /access/grants": (MANAGE, {200}),
    "DELETE /access/grants/<grant>": (MANAGE, {404}),
}
"""By method and path: which callers the route serves in the partition `HERE`, and the statuses that these get. Several
statuses: the calls of the walk change what later calls meet."""


class Step(NamedTuple):
    """A route in a version, at one of its paths."""

    route: Route
    path: str
    version: ApiVersion | None

    @property
    def name(self) -> str:
        below = " below a partition" if self.route.scope is Scope.BELOW_PARTITION else ""
        return f"{self.route.method} {self.path}{below}"

    @property
    def call(self) -> Call:
        calls = PARTITION_CALLS if self.route.scope is Scope.PARTITION else BASE_CALLS
        path = self.path.replace("<token>", "0" * 16).replace("<grant>", "0" * 16)
        body = ("{}", "application/json") if self.route.method == "POST" else (None, None)
        return calls.get(f"{self.route.method} {self.path}") or Call(self.route.method, path, (), *body)

    def url(self, partition: str) -> str:
        version = f"/{self.version.name}" if self.version else ""
        below = PARTITION_PREFIX.replace("<partition>", partition) if self.route.scope in _PARTITION_SCOPES else ""
        return (version + below + self.call.path) or "/"


_PARTITION_SCOPES = (Scope.PARTITION, Scope.BELOW_PARTITION)


def steps() -> Iterator[Step]:
    """Yield all steps: those that only read come first, so that the others do not change what they find."""
    ordered = sorted(ROUTES, key=lambda route: (route.method not in ("GET", "OPTIONS"), route.method == "DELETE"))
    for route in ordered:
        for version in route.versions if route.scope is not Scope.UNVERSIONED else (None,):
            yield from (Step(route, path, version) for path in route.paths)


STEPS = tuple(steps())


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    folder = tmp_path_factory.mktemp("archive")
    app = embedded(folder, export_dir=folder / "exports")
    authenticate(app, RIGHTS)
    fill(app)
    return app


def fill(app: Flask) -> None:
    """Add what is missing of this: a study and a workitem in `HERE`, an instance in `ELSEWHERE`, and a tag."""
    admin = calling(app, ADMIN)
    PartitionClient(admin, f"/v2/partitions/{HERE}").store(file("A-1"))
    WorklistClient(admin, f"/v2/partitions/{HERE}").add(TASK)
    PartitionClient(admin, f"/v2/partitions/{ELSEWHERE}").store(file("B-1"))
    admin.post("/v2/extendedquerytags", json=[{"path": "PatientAge", "level": "Study"}])


def client_of(app: Flask, caller: str) -> FlaskClient:
    return app.test_client() if caller == NO_CALLER else calling(app, caller)


def send(client: FlaskClient, call: Call, url: str) -> TestResponse:
    body = call.body
    if body == "export":
        source = {"type": "identifiers", "settings": {"values": [STUDY]}}
        body = json.dumps({"source": source, "destination": {"type": "file", "settings": {"prefix": "drop"}}})
    headers = {"Accept": call.accept} if call.accept else {}
    return client.open(url, method=call.method, data=body, content_type=call.content_type, headers=headers)


def check(response: TestResponse, step: Step, caller: str, partition: str) -> None:
    """Assert that the answer is the one in `EXPECTED`."""
    rule, statuses = EXPECTED[step.name]
    answer, call = (
        (response.status_code, response.data.decode("latin-1")),
        (step.name, step.version and step.version.name),
    )
    is_missing = partition == MISSING and step.route.scope in _PARTITION_SCOPES
    if caller in UNKNOWN_CALLERS and not rule.public:
        assert answer == (401, UNKNOWN_CALLERS[caller]), call
    elif is_missing and rule is CREATE:
        assert caller == ADMIN or answer == FORBIDDEN, call
    elif is_missing or caller not in rule.served | rule.forbidden:
        assert answer == absent(partition), call
    elif caller in rule.forbidden:
        assert answer == FORBIDDEN, call
    else:
        assert response.status_code in statuses, (call, answer)
        assert answer != absent(partition), call


FORBIDDEN = (403, "Authorization failed.")


def absent(partition: str) -> tuple[int, str]:
    """The status and the text for a partition that does not exist."""
    return 400, f"Specified PartitionName {partition} doesn't exist."


def test_every_route_has_an_expectation_and_every_expectation_a_route() -> None:
    assert {step.name for step in STEPS} == EXPECTED.keys()
    for each, _ in EXPECTED.values():
        assert not each.served & each.forbidden
        assert each.served | each.forbidden <= set(CALLERS)


@pytest.mark.parametrize("caller", CALLERS)
def test_every_route_in_every_version_answers_by_the_rights_of_the_caller(app: Flask, caller: str) -> None:
    fill(app)
    client = client_of(app, caller)
    for step in STEPS:
        check(send(client, step.call, step.url(HERE)), step, caller, HERE)


@pytest.mark.parametrize("caller", [caller for caller in CALLERS if caller != ADMIN])
def test_a_hidden_partition_and_a_missing_one_get_the_same_answers(app: Flask, caller: str) -> None:
    """Headers are compared too. `Date` and the id of the request differ always."""
    client = client_of(app, caller)
    before = listed(app)
    for step in STEPS:
        if step.route.scope not in _PARTITION_SCOPES:
            continue
        missing = send(client, step.call, step.url(MISSING))
        check(missing, step, caller, MISSING)
        rule, _ = EXPECTED[step.name]
        if caller in UNKNOWN_CALLERS or caller not in rule.served:
            hidden = send(client, step.call, step.url(ELSEWHERE if caller != "other admin" else HERE))
            same = [hidden, send(client, step.call, step.url(HERE))] if caller == "no grant" else [hidden]
            for each in same:
                assert comparable(each) == comparable(missing), step.name
    assert listed(app) == before


def listed(app: Flask) -> list[str]:
    return [each["partitionName"] for each in calling(app, ADMIN).get("/v2/partitions").get_json()]


def comparable(response: TestResponse) -> tuple[int, str, list[tuple[str, str]]]:
    """An answer without what differs between two requests: the name of the partition, and the id of the request."""
    headers = [(name, without_names(value)) for name, value in response.headers if name != "X-Request-Id"]
    return response.status_code, without_names(response.text), headers


def without_names(text: str) -> str:
    return re.sub("|".join((HERE, ELSEWHERE, MISSING)), "NAME", text)


# --- requests outside the route table -------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", UNKNOWN_CALLERS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/nothing"),
        ("GET", "/v3/studies"),
        ("GET", "//v2/studies"),
        ("GET", f"/v2/partitions/{HERE}/studies?a=<"),
        ("GET", f"/v2/partitions/{HERE}/changefeed"),
        ("GET", "/v2/partitions/bad name/studies"),
        ("GET", "/v2/studies"),
        ("GET", "/nothing"),
        ("PUT", f"/v2/partitions/{HERE}/studies"),
        ("HEAD", f"/v2/partitions/{HERE}/studies/{STUDY}"),
        ("OPTIONS", f"/v2/partitions/{HERE}/studies"),
        ("OPTIONS", "/v2/nothing"),
        ("POST", "/health/live"),
    ],
)
def test_every_other_request_needs_credentials_too(app: Flask, caller: str, method: str, path: str) -> None:
    response = client_of(app, caller).open(path, method=method)
    assert (response.status_code, response.text) == (401, "" if method == "HEAD" else UNKNOWN_CALLERS[caller])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nothing", 404),
        ("GET", "/v3/studies", 400),
        ("GET", f"/v2/partitions/{HERE}/changefeed", 404),
        ("GET", f"/v2/partitions/{MISSING}/changefeed", 404),
        ("GET", "/v2/partitions/bad name/studies", 400),
        ("GET", "/v2/studies", 400),
        ("GET", "/nothing", 404),
        ("PUT", f"/v2/partitions/{HERE}/studies", 405),
        ("PUT", f"/v2/partitions/{MISSING}/studies", 405),
        ("HEAD", f"/v2/partitions/{HERE}/studies/{STUDY}", 400),
        ("OPTIONS", f"/v2/partitions/{HERE}/studies", 200),
        ("OPTIONS", f"/v2/partitions/{MISSING}/studies", 200),
        ("POST", f"/v2/partitions/{HERE}/studies", 415),
        ("POST", f"/v2/partitions/{MISSING}/studies", 415),
    ],
)
def test_a_caller_without_grants_gets_the_answers_that_need_no_right(
    app: Flask, method: str, path: str, status: int
) -> None:
    assert calling(app, "no grant").open(path, method=method).status_code == status


def test_a_preflight_needs_no_credentials(tmp_path: Path) -> None:
    app = embedded(tmp_path, cors_origins=("https://viewer.example",))
    authenticate(app, RIGHTS)
    headers = {"Origin": "https://viewer.example", "Access-Control-Request-Method": "GET"}
    response = app.test_client().options(f"/v2/partitions/{HERE}/studies", headers=headers)
    assert response.status_code == 204
    del headers["Access-Control-Request-Method"]
    assert app.test_client().options(f"/v2/partitions/{HERE}/studies", headers=headers).status_code == 401


def test_without_origins_a_preflight_needs_credentials(tmp_path: Path) -> None:
    app = embedded(tmp_path)
    authenticate(app, RIGHTS)
    headers = {"Origin": "https://viewer.example", "Access-Control-Request-Method": "GET"}
    assert [app.test_client().options(path, headers=headers).status_code for path in ("/v2", "/nothing")] == [401, 401]


@pytest.mark.parametrize(
    ("caller", "method", "path", "status"),
    [
        ("local reader", "GET", "/v2/studies", 204),
        ("local reader", "GET", f"/v2/studies/{STUDY}", 404),
        ("local reader", "POST", "/v2/studies/2.25.1", 415),
        ("local reader", "DELETE", f"/v2/studies/{STUDY}", 403),
        ("local reader", "GET", "/v2/partitions", 400),
        ("local reader", "GET", f"/v2/partitions/{HERE}/studies", 400),
        ("reader", "GET", "/v2/studies", 403),
        ("reader", "GET", f"/v2/partitions/{HERE}/studies", 400),
        ("no grant", "DELETE", f"/v2/studies/{STUDY}", 403),
        ("no grant", "GET", "/v2/partitions", 400),
        (NO_CALLER, "GET", "/v2/studies", 401),
        (NO_CALLER, "GET", "/v2/partitions", 401),
        (ADMIN, "DELETE", f"/v2/studies/{STUDY}", 404),
    ],
)
def test_without_partitions_the_rights_in_the_default_partition_count(
    app_without_partitions: Flask, caller: str, method: str, path: str, status: int
) -> None:
    response = client_of(app_without_partitions, caller).open(path, method=method)
    assert response.status_code == status
    assert status != 403 or response.text == "Authorization failed."


@pytest.fixture(scope="module")
def app_without_partitions(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """An empty archive whose operator switched partitions off."""
    app = embedded(tmp_path_factory.mktemp("off"), enable_data_partitions=False)
    authenticate(app, {**RIGHTS, "local reader": granted(Action.READ, to="microsoft.default")})
    return app
