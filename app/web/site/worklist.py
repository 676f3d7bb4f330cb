"""The pages of the worklist: the search, a workitem, and the request to cancel it (conformance §7.1, §15.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from flask import Response, request
from marshmallow import fields, validate

from app.dicom.json.dataset import JsonDataset
from app.dicom.worklist.states import CANCELED, COMPLETED, IN_PROGRESS, SCHEDULED
from app.errors import InvalidRequest, WorkitemConflict
from app.services.access.rights import Action
from app.web.routing.context import PartitionContext
from app.web.routing.features import require_site
from app.web.routing.route import Scope
from app.web.site.addresses import Addresses
from app.web.site.attributes import Attributes
from app.web.site.forms import Form, FormBody, FormSchema
from app.web.site.local_paths import see_other
from app.web.site.metadata_tree import tree
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page
from app.web.site.study_search import day_of

PAGE_LENGTH: Final = 25
STATES: Final = {
    SCHEDULED: ("Scheduled", ""),
    IN_PROGRESS: ("In progress", "accent"),
    COMPLETED: ("Completed", "success"),
    CANCELED: ("Canceled", "warning"),
}
"""The words of a state, and the class of its badge."""

_FIELDS: Final = ("state", "patient", "name", "from", "to")
_OFFSET: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_REASON: Final = "00741238"
_CONTACT: Final = "0074100C"
_SCHEDULED_START: Final = "ScheduledProcedureStepStartDateTime"

_READ: Final[dict[str, Any]] = {
    "scope": Scope.PARTITION_PAGE,
    "patient_data": True,
    "check_enabled": require_site,
}

resource = pages("worklist")


class _CancellationForm(FormSchema):
    reason = fields.String(
        load_default="", validate=validate.Length(max=1024, error="A reason has at most 1024 characters.")
    )
    contact = fields.String(
        load_default="", validate=validate.Length(max=64, error="A name has at most 64 characters.")
    )


@resource.route("GET", "/worklist", action=Action.READ, audit="query-workitem", answers={200: (PAGE,)}, **_READ)
def worklist(context: PartitionContext) -> Response:
    """200 with a page of the workitems that match, the newest first; 400 with the form for a value that is none."""
    form = Form(texts={name: request.args.get(name, "").strip() for name in _FIELDS})
    offset, cursor = request.args.get("offset", "0"), request.args.get("cursor", "")
    try:
        if not _OFFSET.fullmatch(offset):
            raise InvalidRequest(f"The offset '{offset[:64]}' is not a number.")
        found = context.services.worklist.search(context.partition, list(_filters(form, offset, cursor)))
    except InvalidRequest as error:
        return _list(context, form.refused({"": str(error)}), [], 400)
    context.audit.count = found.count
    items = [_described(orjson.loads(document)) for document in found.documents]
    return _list(context, form, items, offset=int(offset), following=found.next, unreadable=found.unreadable)


@resource.route(
    "GET",
    "/worklist/<workitem>",
    action=Action.READ,
    audit="retrieve-workitem",
    answers={200: (PAGE,)},
    **_READ,
)
def workitem(context: PartitionContext, workitem: str) -> Response:
    """200 with the attributes of a workitem; 404 if it does not exist."""
    return _workitem(context, workitem, Form())


@resource.route(
    "POST",
    "/worklist/<workitem>/cancel",
    action=Action.WRITE,
    audit="cancel-workitem",
    body=FormBody(_CancellationForm()),
    answers={303: (), 400: (PAGE,), 409: (PAGE,)},
    **_READ,
)
def cancel(context: PartitionContext, workitem: str, body: Form) -> Response:
    """303 to the workitem, which is canceled; 409 with the workitem if its state does not allow it.

    A caller who may not read gets the front page.
    """
    if body.errors:
        return _workitem(context, workitem, body, 400)
    given = {_REASON: ("LT", body.text("reason")), _CONTACT: ("LO", body.text("contact"))}
    dataset: JsonDataset = {tag: {"vr": vr, "Value": [text]} for tag, (vr, text) in given.items() if text}
    try:
        context.services.worklist.request_cancellation(context.partition, workitem, dataset)
    except WorkitemConflict as conflict:
        return _workitem(context, workitem, body.refused({"": str(conflict)}), conflict.status)
    may_read = context.caller.rights.allows(Action.READ, context.partition.name)
    return see_other(Addresses.of(context).below(f"/worklist/{workitem}") if may_read else "/")


def _filters(form: Form, offset: str, cursor: str) -> Iterator[tuple[str, str]]:
    """Yield the search of the form as query pairs (conformance §7.9). Raises `InvalidRequest` for a date that is none.

    With a cursor, the offset only counts the workitems before the page.

    A name without a wildcard finds all names that begin with it.
    """
    yield "limit", str(PAGE_LENGTH)
    yield ("cursor", cursor) if cursor else ("offset", offset)
    if form.text("state"):
        yield "ProcedureStepState", form.text("state")
    if form.text("patient"):
        yield "PatientID", form.text("patient")
    if name := form.text("name"):
        yield "PatientName", name if set("*?") & set(name) else f"{name}*"
    first, last = (day_of(day) if day else "" for day in (form.text("from"), form.text("to")))
    if first or last:
        yield _SCHEDULED_START, f"{first}-{last}"


def _list(
    context: PartitionContext,
    form: Form,
    items: list[dict[str, Any]],
    status: int = 200,
    *,
    offset: int = 0,
    following: str = "",
    unreadable: bool = False,
) -> Response:
    query = {name: text for name, text in form.texts.items() if text}
    before, highest = max(offset - PAGE_LENGTH, 0), context.settings.max_offset
    return page(
        "worklist.html",
        status,
        title="Worklist",
        partition_name=context.partition.name,
        form=form,
        states=[("", "Any state"), *((state, words) for state, (words, _) in STATES.items())],
        items=items,
        unreadable=unreadable,
        is_search=bool(query),
        previous=None if not offset else urlencode({**query, "offset": before if before <= highest else 0}),
        following=urlencode({**query, "offset": offset + PAGE_LENGTH, "cursor": following}) if following else None,
    )


def _workitem(context: PartitionContext, workitem: str, form: Form, status: int = 200) -> Response:
    rights, name = context.caller.rights, context.partition.name
    dataset = context.services.worklist.retrieve(context.partition, workitem)
    shown = _described(dataset)
    may_read = rights.allows(Action.READ, name)
    return page(
        "workitem.html",
        status,
        title=(may_read and shown["label"]) or "Workitem",
        partition_name=name,
        uid=workitem,
        item=shown if may_read else None,
        tree=tree(dataset) if may_read else None,
        form=form,
        may_cancel=rights.allows(Action.WRITE, name) and shown["is_scheduled"],
    )


def _described(dataset: Mapping[str, Any]) -> dict[str, Any]:
    attributes = Attributes(dict(dataset))
    state = attributes.first("ProcedureStepState")
    words, badge = STATES.get(state, (state, ""))
    start = attributes.first(_SCHEDULED_START)
    return {
        "uid": attributes.first("SOPInstanceUID"),
        "label": attributes.first("ProcedureStepLabel"),
        "patient": attributes.first("PatientName"),
        "patient_id": attributes.first("PatientID"),
        "birth_date": attributes.date("PatientBirthDate"),
        "priority": attributes.first("ScheduledProcedureStepPriority").capitalize(),
        "start": _moment(start),
        "state": words,
        "badge": badge,
        "is_scheduled": state == SCHEDULED,
        "study": attributes.first("StudyInstanceUID"),
    }


def _moment(text: str) -> str:
    """Return a date and time (PS3.5 §6.2, DT) as `2024-03-01 09:00` with its offset. Other text stays as it is."""
    found = re.fullmatch(r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})[0-9.]*([+-][0-9]{4})?", text, re.ASCII)
    if not found:
        return text
    year, month, day, hour, minute, offset = found.groups()
    return f"{year}-{month}-{day} {hour}:{minute}" + (f" {offset}" if offset else "")
