"""The worklist: `workitems`, `workitems/{U}`, its `state` and its `cancelrequest` (conformance §7.1, PS3.18 §11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from flask import Request, Response, request

from app.dicom.encoding.uids import clean_uid
from app.dicom.json.dataset import JsonDataset
from app.dicom.worklist.states import instance_uid
from app.errors import WorkitemRefused
from app.services.access.rights import Action
from app.settings import Settings
from app.web.request.body_kinds import DatasetBody
from app.web.response.next_page import add_next_page
from app.web.response.responses import DICOM_JSON, dicom_json, empty, json_array
from app.web.response.warning_header import MORE_RESULTS, add_warning
from app.web.routing.context import PartitionContext
from app.web.routing.route import Resource

resource = Resource("workitems")


@dataclass(frozen=True, slots=True)
class NewWorkitem:
    """A workitem to be created: its UID and its dataset."""

    uid: str
    dataset: JsonDataset


class NewWorkitemBody(DatasetBody):
    """The dataset of a new workitem. Its UID is in the query string, or else in the dataset."""

    def open(self, request: Request, settings: Settings) -> Callable[[], NewWorkitem]:
        """Check as `DatasetBody`; the returned function raises `InvalidIdentifier` for a bad UID too."""
        read = super().open(request, settings)

        def new_workitem() -> NewWorkitem:
            dataset = read()
            return NewWorkitem(
                clean_uid(_uid_parameter("workitem") or instance_uid(dataset), "WorkitemInstanceUid"), dataset
            )

        return new_workitem


@resource.route(
    "POST",
    "/workitems",
    action=Action.WRITE,
    audit="add-workitem",
    creates_partition=True,
    patient_data=True,
    requires_json=True,
    body=NewWorkitemBody(),
    answers={201: ()},
)
def add(context: PartitionContext, body: NewWorkitem) -> Response:
    """201 with the URL of the workitem."""
    context.audit.workitem = body.uid
    context.services.worklist.add(context.partition, body.uid, body.dataset)
    response = empty(201)
    response.headers["Location"] = response.headers["Content-Location"] = context.links.url(f"/workitems/{body.uid}")
    return response


@resource.route(
    "GET",
    "/workitems",
    action=Action.READ,
    audit="query-workitem",
    patient_data=True,
    requires_json=True,
    answers={200: (DICOM_JSON,), 204: (), 206: (DICOM_JSON,)},
)
def search(context: PartitionContext) -> Response:
    """200 with the matches, the newest first; 204 when there are none; 206 when some could not be read.

    A warning and a link tell that more match.
    """
    parameters = parse_qsl(request.environ.get("QUERY_STRING", ""), keep_blank_values=True)
    found = context.services.worklist.search(context.partition, parameters)
    context.audit.count = found.count
    if not found.count and not found.unreadable:
        return empty(204)
    response = json_array(found.documents)
    response.status_code = 206 if found.unreadable else 200
    if found.next:
        add_warning(response, request, MORE_RESULTS)
        add_next_page(response, request, context.links.address(), found.next)
    return response


@resource.route(
    "GET",
    "/workitems/<workitem>",
    action=Action.READ,
    audit="retrieve-workitem",
    patient_data=True,
    requires_json=True,
    answers={200: (DICOM_JSON,)},
)
def retrieve(context: PartitionContext, workitem: str) -> Response:
    """200 with one JSON object."""
    return dicom_json(context.services.worklist.retrieve(context.partition, workitem))


@resource.route(
    "POST",
    "/workitems/<workitem>",
    action=Action.WRITE,
    audit="update-workitem",
    patient_data=True,
    body=DatasetBody(),
    answers={200: ()},
)
def update(context: PartitionContext, workitem: str, body: JsonDataset) -> Response:
    """200 with the URL of the workitem. The query string has the Transaction UID of the performer."""
    uid = _uid_parameter("transaction-uid")
    transaction = clean_uid(uid, "TransactionUid") if uid else ""
    context.services.worklist.update(context.partition, workitem, transaction, body)
    response = empty(200)
    response.headers["Content-Location"] = context.links.url(f"/workitems/{workitem}")
    return response


@resource.route(
    "PUT",
    "/workitems/<workitem>/state",
    action=Action.WRITE,
    audit="change-state-workitem",
    patient_data=True,
    body=DatasetBody(),
    answers={200: (DICOM_JSON,)},
)
def change_state(context: PartitionContext, workitem: str, body: JsonDataset) -> Response:
    """200; with a text if the workitem was in that state before."""
    warning = context.services.worklist.change_state(context.partition, workitem, body)
    return dicom_json(warning) if warning else empty(200)


@resource.route(
    "POST",
    "/workitems/<workitem>/cancelrequest",
    action=Action.WRITE,
    audit="cancel-workitem",
    patient_data=True,
    body=DatasetBody(),
    answers={202: (DICOM_JSON,)},
)
def request_cancellation(context: PartitionContext, workitem: str, body: JsonDataset) -> Response:
    """202 with a text; the workitem is canceled."""
    return dicom_json(context.services.worklist.request_cancellation(context.partition, workitem, body), 202)


def _refusal(error: WorkitemRefused) -> Response:
    """Return the message as a JSON string. All texts of the worklist have this form."""
    return dicom_json(str(error), error.status)


def _repeat_as_warning(response: Response) -> Response:
    """Repeat the text of an update, a state change or a cancellation request in the header `Warning`."""
    changes = request.method in ("POST", "PUT") and "workitem" in (request.view_args or {})
    if changes and response.status_code != 202 and response.data:
        text: Any = response.get_json() if response.is_json else response.get_data(as_text=True)
        add_warning(response, request, text)
    return response


resource.error_handlers[WorkitemRefused] = _refusal
resource.after_request = _repeat_as_warning


def _uid_parameter(name: str) -> str:
    """Return the UID in the query string: the value of the parameter, or the first name (`?2.25.7`); "" without one."""
    pairs = parse_qsl(request.environ.get("QUERY_STRING", ""), keep_blank_values=True)
    values = [value for key, value in pairs if key.lower() == name]
    names = [key for key, _ in pairs]
    return next(iter(values or names), "")
