"""The worklist: `workitems`, `workitems/{U}`, its `state` and its `cancelrequest` (conformance §7.1, PS3.18 §11)."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl

from flask import Response, request

from app.dicom.encoding.uids import clean_uid
from app.dicom.json.dataset import JsonDataset
from app.dicom.json.received import first_dataset
from app.dicom.worklist.states import instance_uid
from app.errors import UnsupportedContent, WorkitemRefused
from app.storage.worklist.workitems import MAX_DATASET_BYTES
from app.web import media
from app.web.body import Body, open_body
from app.web.context import Scope
from app.web.json_body import document
from app.web.mount import resource as new
from app.web.negotiation import require_json
from app.web.responses import DICOM_JSON, dicom_json, empty, json, json_array

_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e\xa0-\xff]")

resource = new("workitems")


@resource.post("/workitems")
def add(scope: Scope) -> Response:
    """201 and where it is; the partition is made if it is new. A UID that the query does not tell is in the dataset."""
    require_json(request.headers.get("Accept"))
    given = _dataset(_body(scope))
    workitem = clean_uid(_named("workitem") or instance_uid(given), "WorkitemInstanceUid")
    partition = scope.partition(create=True)
    scope.services.worklist.add(partition, workitem, given)
    response = empty(201)
    response.headers["Location"] = response.headers["Content-Location"] = scope.url(f"/workitems/{workitem}")
    return response


@resource.get("/workitems")
def search(scope: Scope) -> Response:
    """200 with the matches, newest first; 204 when there are none; 206 without those that could not be read."""
    require_json(request.headers.get("Accept"))
    partition = scope.partition()
    parameters = parse_qsl(request.environ.get("QUERY_STRING", ""), keep_blank_values=True)
    found = scope.services.worklist.search(partition, parameters)
    if not found.count and not found.unreadable:
        return empty(204)
    response = json_array(found.documents)
    response.status_code = 206 if found.unreadable else 200
    return response


@resource.get("/workitems/<workitem>")
def retrieve(scope: Scope, workitem: str) -> Response:
    """200 with one JSON object."""
    require_json(request.headers.get("Accept"))
    return dicom_json(scope.services.worklist.retrieve(scope.partition(), workitem))


@resource.post("/workitems/<workitem>")
def update(scope: Scope, workitem: str) -> Response:
    """200 and where it is; the Transaction UID of who has claimed the workitem is in the query."""
    body = _body(scope)
    named = _named("transaction-uid")
    transaction = clean_uid(named, "TransactionUid") if named else ""
    scope.services.worklist.update(scope.partition(), workitem, transaction, _dataset(body))
    response = empty(200)
    response.headers["Content-Location"] = scope.url(f"/workitems/{workitem}")
    return response


@resource.put("/workitems/<workitem>/state")
def change_state(scope: Scope, workitem: str) -> Response:
    """200; with a text if the workitem was in that state before."""
    body = _body(scope)
    warning = scope.services.worklist.change_state(scope.partition(), workitem, _dataset(body))
    return json(warning) if warning else empty(200)


@resource.post("/workitems/<workitem>/cancelrequest")
def request_cancellation(scope: Scope, workitem: str) -> Response:
    """202 with a text: the workitem is canceled."""
    body = _body(scope)
    return json(scope.services.worklist.request_cancellation(scope.partition(), workitem, _dataset(body)), 202)


@resource.errorhandler(WorkitemRefused)
def refused(error: WorkitemRefused) -> Response:
    """The message as a JSON string, as all texts of the worklist are."""
    return json(str(error), error.status)


@resource.after_request
def warned(response: Response) -> Response:
    """Say what an update, a state change or a request for cancellation was refused with, or warned of, once more."""
    changes = request.method in ("POST", "PUT") and "workitem" in (request.view_args or {})
    if changes and response.status_code != 202 and response.data:
        text = response.get_json() if response.is_json else response.get_data(as_text=True)
        quoted = _UNPRINTABLE.sub("?", text).replace("\\", "\\\\").replace('"', '\\"')
        response.headers["Warning"] = f'299 {request.host or "-"}: "{quoted}"'
    return response


def _body(scope: Scope) -> Body:
    """Return the body, not yet read. Raises `UnsupportedContent`; `TooLarge` and `InvalidRequest` as `Body.begin`."""
    if media.parse(request.headers.get("Content-Type", "")).name != DICOM_JSON:
        raise UnsupportedContent("")
    body = open_body(request, min(scope.settings.max_request_bytes, MAX_DATASET_BYTES))
    body.begin()
    return body


def _dataset(body: Body) -> JsonDataset:
    return first_dataset(document(body.read()))


def _named(parameter: str) -> str:
    """Return the UID in the query: the value of the parameter, or the name of the first (`?2.25.7`); "" for none."""
    pairs = parse_qsl(request.environ.get("QUERY_STRING", ""), keep_blank_values=True)
    values = [value for name, value in pairs if name.lower() == parameter]
    names = [name for name, _ in pairs]
    return next(iter(values or names), "")
