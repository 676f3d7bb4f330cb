"""The pages of extended query tags: list, errors of a tag, add, change of the query status, delete (conformance §8.1,
§15.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Response
from marshmallow import EXCLUDE, Schema, fields, validate

from app.dicom.validation.attributes import Level, keyword_of
from app.errors import InvalidRequest, OperationActive, QueryTagExists
from app.services.access.rights import Action
from app.services.tags.rules import TagRequest
from app.services.tags.service import QueryTagEntry
from app.settings import Settings
from app.storage.tags.query_tags import DISABLED, ENABLED, MAX_TAGS
from app.web.routing.context import Context
from app.web.routing.features import require_operations, require_site
from app.web.routing.route import Scope
from app.web.schemas.parameters import IntegerParameter
from app.web.site.forms import Form, FormBody, FormSchema
from app.web.site.local_paths import see_other
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page

_PATH: Final = "/ui/tags"
_ERRORS: Final = 100
"""Errors on one page."""

_LEVELS: Final = {level.word: level for level in Level}
_READ: Final[dict[str, Any]] = {
    "scope": Scope.PAGE,
    "action": Action.READ,
    "check_enabled": require_site,
    "answers": {200: (PAGE,)},
}
_MANAGE: Final[dict[str, Any]] = {**_READ, "action": Action.MANAGE_EXTENDED_QUERY_TAGS}

resource = pages("tags")


class _AddForm(FormSchema):
    path = fields.String(required=True, validate=validate.Length(1, 64, error="Enter a keyword, or 8 hex digits."))
    level = fields.String(required=True, validate=validate.OneOf(_LEVELS, error="Choose one of the levels."))
    vr = fields.String(load_default="", validate=validate.Length(max=2, error="A VR has two letters."))
    creator = fields.String(load_default="", validate=validate.Length(max=64, error="It has at most 64 characters."))


class _StatusForm(FormSchema):
    status = fields.String(required=True, validate=validate.OneOf((ENABLED, DISABLED)))


class _ErrorParameters(Schema):
    offset = IntegerParameter("offset", 0, 2**31 - 1, 0)


def _require_changes(settings: Settings) -> None:
    require_site(settings)
    require_operations(settings)


@resource.route("GET", _PATH, audit="get-all-extended-query-tag", **_READ)
def tags(context: Context) -> Response:
    """200 with all tags, the oldest first, and a form for callers who may add one."""
    return _list(context, Form(texts={"level": Level.STUDY.word}))


@resource.route(
    "POST",
    _PATH,
    audit="add-extended-query-tag",
    body=FormBody(_AddForm()),
    **{**_MANAGE, "check_enabled": _require_changes, "answers": {303: (), 400: (PAGE,), 409: (PAGE,)}},
)
def add(context: Context, body: Form) -> Response:
    """303 to the operation that makes the tag ready; 400 or 409 with the form and its fault."""
    if body.errors:
        return _list(context, body, 400)
    values = body.values
    wanted = TagRequest(
        path=values["path"], level=_LEVELS[values["level"]], vr=values["vr"].upper(), creator=values["creator"]
    )
    try:
        operation = context.services.query_tags.add(context.caller, [wanted])
    except (OperationActive, QueryTagExists) as error:
        return _list(context, body.refused({"path": str(error)}), error.status)
    except InvalidRequest as error:
        return _list(context, body.refused({_field_of(str(error)): str(error)}), 400)
    context.audit.operation = operation
    return see_other(f"/ui/operations/{operation}")


@resource.route(
    "GET",
    f"{_PATH}/<tag>",
    audit="get-extended-query-tag-errors",
    patient_data=True,
    query=_ErrorParameters(unknown=EXCLUDE),
    **_READ,
)
def tag(context: Context, tag: str, parameters: Mapping[str, int]) -> Response:
    """200 with a tag and a page of its errors that the caller sees, the oldest first."""
    found = context.services.query_tags.find(context.caller, tag)
    offset = parameters["offset"]
    errors = list(context.services.query_tags.errors(context.caller, tag, offset=offset, limit=_ERRORS))
    return page(
        "tag.html",
        title=keyword_of(found.tag.path),
        tag=_described(found),
        errors=errors,
        offset=offset,
        following=offset + _ERRORS if offset + len(errors) < found.errors and errors else None,
        may_manage=_may_manage(context),
    )


@resource.route(
    "POST",
    f"{_PATH}/<tag>/status",
    audit="update-extended-query-tag",
    body=FormBody(_StatusForm()),
    **{**_MANAGE, "answers": {303: ()}},
)
def change_status(context: Context, tag: str, body: Form) -> Response:
    """303 to the list; searches use the tag, or do not use it any more."""
    if body.errors:
        raise InvalidRequest(f"The query status '{body.text('status')[:64]}' is not one of {ENABLED}, {DISABLED}.")
    context.services.query_tags.patch(context.caller, tag, body.values["status"])
    return see_other(_PATH)


@resource.route("GET", f"{_PATH}/<tag>/delete", audit="get-extended-query-tag", **_MANAGE)
def confirm_deletion(context: Context, tag: str) -> Response:
    """200 with the question whether the tag is to be deleted."""
    found = context.services.query_tags.find(context.caller, tag)
    return page("tag_delete.html", title=f"Delete {keyword_of(found.tag.path)}?", tag=_described(found))


@resource.route(
    "POST",
    f"{_PATH}/<tag>/delete",
    audit="remove-extended-query-tag",
    body=FormBody(FormSchema()),
    **{**_MANAGE, "answers": {303: ()}},
)
def delete(context: Context, tag: str, body: Form) -> Response:
    """303 to the list; no later request finds the tag."""
    context.services.query_tags.delete(tag, started_by=context.caller.identity)
    return see_other(_PATH)


def _list(context: Context, form: Form, status: int = 200) -> Response:
    listed = context.services.query_tags.page(context.caller, offset=0, limit=MAX_TAGS)
    return page(
        "tags.html",
        status,
        title="Extended query tags",
        tags=[_described(each) for each in listed],
        limit=MAX_TAGS,
        form=form,
        levels=[(word, word.capitalize()) for word in _LEVELS],
        may_manage=_may_manage(context),
        may_add=_may_manage(context) and not context.settings.disable_operations,
    )


def _may_manage(context: Context) -> bool:
    return context.caller.rights.allows_everywhere(Action.MANAGE_EXTENDED_QUERY_TAGS)


def _described(entry: QueryTagEntry) -> dict[str, Any]:
    tag = entry.tag
    return {
        "path": tag.path,
        "name": keyword_of(tag.path),
        "vr": tag.vr,
        "creator": tag.creator,
        "level": tag.level.word.capitalize(),
        "status": tag.status.capitalize(),
        "operation": tag.operation,
        "is_enabled": tag.query_status == ENABLED,
        "other_status": DISABLED if tag.query_status == ENABLED else ENABLED,
        "errors": entry.errors,
    }


def _field_of(reason: str) -> str:
    """Return the field of the form that a rule of conformance §8.3 is about."""
    lower = reason.lower()
    return "vr" if "vr " in lower else "creator" if "private creator" in lower else "path"
