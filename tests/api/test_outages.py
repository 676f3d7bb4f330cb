"""An outage of the table or of the blob store is 503 with Retry-After on every route (conformance §1.4).

Each test walks the whole route table. A request that fails leaves no thread and no transaction behind, and the same
request succeeds as soon as the data store answers again.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from werkzeug.test import TestResponse

from app import bootstrap
from app.engines.aws import clients
from app.engines.embedded.sqlite import SqliteTable
from app.errors import UNAVAILABLE
from app.settings import Settings
from app.web.routes.table import ROUTES
from app.web.routing.route import Route, Scope
from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient
from tests.support.exports import Bucket, Exporter, ExportTarget, Folder
from tests.support.faults import FOR_EVER, Rule, fail
from tests.support.faulty_engine import Faults
from tests.support.outages import Outage, PortOutage, UnreachableService, UnreadablePath
from tests.support.route_calls import BASE_CALLS, PARTITION_CALLS, STUDY, TASK, Call, S, file, stored
from tests.support.tokens import bearer, create_token
from tests.support.waiting import wait_until
from tests.support.worklist import WorklistClient

OPERATIONS = {
    "table": ("table.*", "queue.*"),
    "blobs": ("blobs.*",),
    "both": ("table.*", "queue.*", "blobs.*"),
}

PARTITION = "/partitions/clinic-a"
ROOTS = {Scope.PARTITION: PARTITION, Scope.BELOW_PARTITION: PARTITION, Scope.BASE: ""}
CALLS = {
    **PARTITION_CALLS,
    **BASE_CALLS,
    "POST /studies": stored("/studies", instance="2.25.8"),
    "POST /studies/<study>": stored(S, instance="2.25.9"),
    "OPTIONS ": Call("OPTIONS", "/", ()),
}

WITHOUT_TABLE = {
    "OPTIONS ": "the route table is in the process",
    "GET /api.json": "the route table is in the process",
    "GET /api.yaml": "the route table is in the process",
    "GET /studies/<study>/series/<series>/instances/<instance>/frames": "400, since the list of frames is missing",
}
"""Requests that need nothing of the table, and why."""

WITHOUT_SUCCESS = {
    "GET /operations/<operation>",
    "GET /studies/<study>/series/<series>/instances/<instance>/frames",
}
"""Requests that read, and whose answer is 4xx when nothing fails."""

NEEDS_BLOBS = {
    "POST /studies",
    "POST /studies/<study>",
    "GET /studies/<study>",
    "GET /studies/<study>/series/<series>",
    "GET /studies/<study>/series/<series>/instances/<instance>",
    "GET /wado",
    "GET ",
    *(call for call in PARTITION_CALLS if call.endswith(("/frames/<frames>", "/rendered", "/thumbnail"))),
    *(call for call in PARTITION_CALLS if call.endswith(("/pixeldata", "/bulkdata", "/bulkdata/<path:element>"))),
}
"""Requests that read or write a file. The others succeed while the blob store fails: documents are in the table."""

ORDER = {"GET": 0, "OPTIONS": 0, "POST": 1, "PUT": 2, "PATCH": 2, "DELETE": 3}


class RouteCall(NamedTuple):
    """A request for one path of one route, in the first version of the route."""

    name: str
    route: Route
    url: str
    call: Call


def route_calls() -> list[RouteCall]:
    """Return a request for each path of each route that may need the data store. Those that delete come last.

    The health routes report what fails in their own form, see test_health.py and test_http.py.
    """
    found = []
    for route in ROUTES:
        for path in () if route.scope is Scope.UNVERSIONED else route.paths:
            name = f"{route.method} {path}"
            assert name in CALLS, f"tests/support/route_calls.py has no request for {name}"
            root = f"/{route.versions[0].name}{ROOTS[route.scope]}"
            found.append(RouteCall(name, route, root + CALLS[name].path, CALLS[name]))
    return sorted(found, key=lambda each: (ORDER[each.route.method], -len(each.url)))


class Walk:
    """A service whose data store fails, and a request for each route."""

    def __init__(self, exporter: Exporter, engine: bootstrap.Engine) -> None:
        self.exporter = exporter
        self._engine = engine

    def sqlite_table(self) -> SqliteTable:
        """Return the table of the embedded engine."""
        assert isinstance(self._engine.table, SqliteTable)
        return self._engine.table

    def send(self, each: RouteCall) -> TestResponse:
        body = each.call.body
        if body == "export":
            source = {"type": "identifiers", "settings": {"values": [STUDY]}}
            body = json.dumps({"source": source, "destination": self.exporter.place.destination})
        headers = {"Accept": each.call.accept} if each.call.accept else {}
        return self.exporter.client.open(
            each.url, method=each.call.method, data=body, content_type=each.call.content_type, headers=headers
        )

    def fails(self, each: RouteCall) -> bool:
        """Return whether the answer is 503 as conformance §1.4 says. Assert that every other answer is no error."""
        response = self.send(each)
        if response.status_code != 503:
            assert response.status_code < 500, (each.name, response.text)
            return False
        assert response.headers["Retry-After"] == "5", each.name
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8", each.name
        assert response.text == UNAVAILABLE, each.name
        return True


@pytest.fixture
def walk(settings: Settings, faults: Faults, tmp_path: Path) -> Walk:
    """An archive with a study, a workitem and an extended query tag."""
    place: ExportTarget
    if settings.engine == "aws":
        place = Bucket(clients.s3())
    else:
        # Every instance is a file, because an outage makes the folder of the files unreadable.
        settings = dataclasses.replace(settings, export_dir=tmp_path / "exports", small_file_bytes=0)
        place = Folder(tmp_path / "exports")
    bootstrap.initialise(settings)
    engine = bootstrap.build_engine(settings)
    made = Walk(Exporter(settings, faults.wrap(engine), place), engine)
    PartitionClient(made.exporter.client).stored(file("A-1"))
    assert WorklistClient(made.exporter.client).add(TASK).status_code == 201
    tags = [{"path": "PatientAge", "level": "Study"}]
    assert made.exporter.client.post("/v2/extendedquerytags", json=tags).status_code == 202
    return made


@pytest.fixture
def nothing_left_behind(settings: Settings) -> Iterator[None]:
    """Afterwards there is no new thread, except those of the pools of the process, and no transaction is open."""
    before = set(threading.enumerate())
    yield

    def left() -> set[str]:
        names = {thread.name for thread in set(threading.enumerate()) - before}
        return {name for name in names if not name.startswith(("parallel_", "decoding_"))}

    with suppress(AssertionError):  # a thread that ends just now is none that stays
        wait_until(lambda: not left(), seconds=10)
    assert left() == set()
    if settings.engine == "embedded":
        with closing(sqlite3.connect(settings.data_dir / "index.sqlite", timeout=0)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")


@pytest.fixture
def outage(
    request: pytest.FixtureRequest, settings: Settings, walk: Walk, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> Outage:
    """The outage that a test names: what fails, and where."""
    what, where = request.param
    if where == "ports":
        return PortOutage(faults, OPERATIONS[what])
    if settings.engine == "aws":
        monkeypatch.setattr(time, "sleep", lambda _: None)  # the pauses of the SDK
        client = clients.dynamodb() if what == "table" else clients.s3()
        return UnreachableService(client, "dynamodb" if what == "table" else "s3")
    if what == "table":
        return UnreadablePath(settings.data_dir / "index.sqlite", walk.sqlite_table())
    return UnreadablePath(settings.data_dir / "blobs" / "objects")


OUTAGES = [
    *(pytest.param((what, "ports"), id=f"{what} at the ports") for what in OPERATIONS),
    *(
        pytest.param((what, "engine"), id=f"{what} in the engine", marks=pytest.mark.thorough)
        for what in ("table", "blobs")
    ),
]


@pytest.mark.parametrize("outage", OUTAGES, indirect=True)
@pytest.mark.usefixtures("nothing_left_behind")
def test_every_route_is_503_during_an_outage_and_succeeds_after_it(
    walk: Walk, outage: Outage, request: pytest.FixtureRequest
) -> None:
    calls = route_calls()
    reads = [each for each in calls if each.route.method == "GET"]
    failed = set()
    for group in (reads, *([each] for each in calls if each not in reads)):  # pictures that were made are in a cache
        outage.begin()
        failed |= {each.name for each in group if walk.fails(each)}
        outage.end()
        for each in group:
            response = walk.send(each)
            succeeds = each in reads and each.name not in WITHOUT_SUCCESS
            assert response.status_code in ({200, 204} if succeeds else range(500)), (each.name, response.text)
    only_blobs = request.node.callspec.params["outage"][0] == "blobs"
    assert failed == (NEEDS_BLOBS if only_blobs else {each.name for each in calls} - WITHOUT_TABLE.keys())


def test_a_token_that_cannot_be_checked_is_503_and_not_refused(
    serve: Serve, settings: Settings, engine: bootstrap.Engine, faults: Faults
) -> None:
    server = serve(auth=("tokens",))
    headers = bearer(create_token(settings, engine, "reader").secret)
    faults.add(Rule(fail(), operation=OPERATIONS["table"], times=FOR_EVER))
    response = server.get("/v2/partitions", headers=headers)
    assert (response.status_code, response.text, response.headers["Retry-After"]) == (503, UNAVAILABLE, "5")
    faults.clear()
    assert server.get("/v2/partitions", headers=headers).status_code == 200
