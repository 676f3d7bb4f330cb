"""The form of a bulk update: new values of patients and studies (conformance §12.1, §15.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from flask import Response
from marshmallow import EXCLUDE, Schema, fields
from pydicom.datadict import dictionary_description, keyword_for_tag

from app.dicom.editing.requested_changes import ALLOWED
from app.dicom.encoding.uids import is_uid
from app.dicom.json.dataset import NAME_GROUPS
from app.errors import InvalidField, InvalidIdentifier, InvalidRequest, NotFound, OperationActive
from app.services.access.rights import Action
from app.services.update.service import MAX_STUDIES, ChangesRefused, UpdateRequest
from app.settings import Settings
from app.web.routing.context import PartitionContext
from app.web.routing.features import require_operations, require_site
from app.web.routing.route import Scope
from app.web.site.formatting import short, visible
from app.web.site.forms import Form, FormBody, FormSchema, LinesField, comma_separated
from app.web.site.local_paths import see_other
from app.web.site.named_object import find_object
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page

_MAIN: Final = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "ReferringPhysicianName", "StudyDescription"),
)
"""The keywords of the attributes that the form shows first."""

KEYWORDS: Final = (*_MAIN, *(name for tag in ALLOWED if (name := keyword_for_tag(tag)) not in _MAIN))
"""The keywords of the attributes that may be changed (conformance §12.2)."""

_RULES: Final = {keyword_for_tag(tag): rule for tag, rule in ALLOWED.items()}
_HINTS: Final = {
    "PN": "Family^Given^Middle",
    "DA": "YYYY-MM-DD",
    "TM": "HHMMSS",
    "AS": "Such as 042Y or 006M",
    "DS": "A number",
}
_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", re.ASCII)
_COMMENT: Final = re.compile(r"DICOM100: \(([0-9a-f]{4}),([0-9a-f]{4})\) - (.*)", re.DOTALL)

resource = pages("bulk-update")


class StudyParameter(Schema):
    """The studies that a form begins with: UIDs, separated by commas. Other text is left out."""

    study = comma_separated("study", is_uid)


_FORM: Final = FormSchema.from_dict(
    {"studies": LinesField(required=True), **{name: fields.String(load_default="") for name in KEYWORDS}},
    name="UpdateForm",
)


def _require_update(settings: Settings) -> None:
    require_site(settings)
    require_operations(settings)


_UPDATE: Final[dict[str, Any]] = {
    "scope": Scope.PARTITION_PAGE,
    "action": Action.WRITE,
    "patient_data": True,
    "check_enabled": _require_update,
}


@resource.route(
    "GET", "/update", audit="query", query=StudyParameter(unknown=EXCLUDE), answers={200: (PAGE,)}, **_UPDATE
)
def form(context: PartitionContext, parameters: Mapping[str, list[str]]) -> Response:
    """200 with the empty form. For one study it shows the present values, if the caller may read them."""
    return _form(context, Form(texts={"studies": "\n".join(parameters["study"])}), parameters["study"])


@resource.route(
    "POST",
    "/update",
    audit="update-study",
    body=FormBody(_FORM(unknown=EXCLUDE), 512 * 1024),
    answers={303: (), 400: (PAGE,), 409: (PAGE,)},
    **_UPDATE,
)
def start(context: PartitionContext, body: Form) -> Response:
    """303 to the operation; 400 or 409 with the form and the fault of each field."""
    if body.errors:
        return _form(context, body, [], 400)
    studies = body.values["studies"]
    changes = {name: _element(name, body.values[name]) for name in KEYWORDS if body.values[name]}
    context.audit.add_studies(studies)
    try:
        if not changes:
            raise InvalidRequest("Enter a new value for at least one attribute.")
        operation = context.services.bulk_update.start(
            context.caller, context.partition, UpdateRequest(studies=studies, changes=changes)
        )
    except (InvalidRequest, OperationActive) as error:
        return _form(context, body.refused(dict(_faults(error))), studies, error.status)
    context.audit.operation = operation
    return see_other(f"/ui/operations/{operation}")


def _faults(error: Exception) -> Iterator[tuple[str, str]]:
    """Yield the fault of each field that the error is about."""
    if isinstance(error, ChangesRefused):
        for comment in error.comments:
            group, element, reason = _COMMENT.fullmatch(comment).groups()  # type: ignore[union-attr]  # its form is ours
            yield keyword_for_tag(f"{group}{element}"), reason
    elif isinstance(error, InvalidIdentifier) or "StudyInstanceUids" in str(error):
        yield "studies", f"Enter 1 to {MAX_STUDIES} Study Instance UIDs. {error}"
    elif isinstance(error, InvalidField):
        yield "", error.reason
    else:
        yield "", str(error)


def _element(keyword: str, text: str) -> dict[str, Any]:
    """Return the text of a field as an element of DICOM JSON. A backslash separates the values of those with several.

    The groups of a name are separated by `=` (PS3.5 §6.2.1.2).
    """
    vr, multiplicity = _RULES[keyword]
    texts = [text] if multiplicity == "1" else text.split("\\")
    if vr == "PN":
        return {"vr": vr, "Value": [_name(each) for each in texts]}
    if vr == "DA":
        texts = [_DATE.sub(r"\1\2\3", each) for each in texts]
    return {"vr": vr, "Value": texts}


def _name(text: str) -> dict[str, str]:
    groups = text.split("=", len(NAME_GROUPS) - 1)
    return {group: part for group, part in zip(NAME_GROUPS, groups, strict=False) if part}


def _form(context: PartitionContext, form: Form, studies: list[str], status: int = 200) -> Response:
    present = _present(context, studies)
    return page(
        "update.html",
        status,
        title="Update patients and studies",
        form=form,
        partition_name=context.partition.name,
        main=[_field(name, present) for name in _MAIN],
        more=[_field(name, present) for name in KEYWORDS if name not in _MAIN],
        more_open=any(form.text(name) for name in KEYWORDS if name not in _MAIN),
        limit=MAX_STUDIES,
    )


def _present(context: PartitionContext, studies: list[str]) -> Mapping[str, str]:
    """Return the present values of one study by keyword, none of several studies or if the caller may not read."""
    if len(studies) != 1 or not is_uid(studies[0]):
        return {}
    if not context.caller.rights.allows(Action.READ, context.partition.name):
        return {}
    try:
        found = find_object(context, studies[0], included=_MAIN)
    except NotFound:
        return {}
    return {name: "\\".join(map(_text, found.attributes.values(name))) for name in _MAIN}


def _text(value: Any) -> str:
    """Return a value of DICOM JSON as the form takes it."""
    if isinstance(value, dict):
        return "=".join(value.get(group) or "" for group in NAME_GROUPS).rstrip("=")
    return str(value)


def _field(keyword: str, present: Mapping[str, str]) -> dict[str, str]:
    hints = [f"Now: {short(visible(present[keyword]))}"] if present.get(keyword) else []
    if _RULES[keyword].vr in _HINTS:
        hints.append(_HINTS[_RULES[keyword].vr])
    return {"name": keyword, "label": dictionary_description(keyword), "hint": " · ".join(hints)}
