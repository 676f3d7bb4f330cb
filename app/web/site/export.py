"""The form of an export (conformance §11.1, §15.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Response
from marshmallow import EXCLUDE, Schema, fields, validate

from app.dicom.encoding.uids import is_uid
from app.errors import InvalidField, InvalidRequest
from app.services.access.rights import Action
from app.services.export.destinations import FileSettings, S3Settings
from app.services.export.service import ExportRequest
from app.settings import Settings
from app.web.routing.context import PartitionContext
from app.web.routing.features import require_exports, require_site
from app.web.routing.route import Scope
from app.web.site.forms import Form, FormBody, FormSchema, LinesField, comma_separated
from app.web.site.local_paths import see_other
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page

_MAX_BYTES: Final = 8 * 1024 * 1024
"""Bytes of a form, as many as those of an export in the API."""

_KINDS: Final = {"file": "Folder of the server", "s3": "Bucket in S3"}

resource = pages("export")


def _is_identifier(text: str) -> bool:
    return all(map(is_uid, text.split("/")))


class _Identifiers(Schema):
    """What the form begins with: identifiers, separated by commas. Other text is left out."""

    study = comma_separated("study", _is_identifier)


class _ExportForm(FormSchema):
    identifiers = LinesField(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(_KINDS, error="Choose one of the destinations."))
    prefix = fields.String(load_default="")
    bucketName = fields.String(load_default="")  # noqa: N815 - the names of conformance §11.2, which errors name
    region = fields.String(load_default="")
    roleArn = fields.String(load_default="")  # noqa: N815 - as above
    externalId = fields.String(load_default="")  # noqa: N815 - as above
    endpointUrl = fields.String(load_default="")  # noqa: N815 - as above


def _require_exports(settings: Settings) -> None:
    require_site(settings)
    require_exports(settings)


_EXPORT: Final[dict[str, Any]] = {
    "scope": Scope.PARTITION_PAGE,
    "action": Action.EXPORT,
    "patient_data": True,
    "check_enabled": _require_exports,
}


@resource.route("GET", "/export", audit=None, query=_Identifiers(unknown=EXCLUDE), answers={200: (PAGE,)}, **_EXPORT)
def form(context: PartitionContext, parameters: Mapping[str, list[str]]) -> Response:
    """200 with the empty form."""
    texts = {"identifiers": "\n".join(parameters["study"]), "kind": _kinds(context.settings)[0]}
    return _form(context, Form(texts=texts))


@resource.route(
    "POST",
    "/export",
    audit="export",
    body=FormBody(_ExportForm(), _MAX_BYTES),
    answers={303: (), 400: (PAGE,)},
    **_EXPORT,
)
def start(context: PartitionContext, body: Form) -> Response:
    """303 to the operation; 400 with the form and the fault."""
    if body.errors:
        return _form(context, body, 400)
    values = body.values
    context.audit.add_studies(each.partition("/")[0] for each in values["identifiers"])
    request = ExportRequest(
        identifiers=values["identifiers"], destination_type=values["kind"], settings=_destination(values)
    )
    try:
        operation = context.services.export.start(context.caller, context.partition, request)
    except InvalidRequest as error:
        return _form(context, body.refused(dict([_fault(error)])), 400)
    context.audit.operation = operation
    return see_other(f"/ui/operations/{operation}")


def _destination(values: Mapping[str, Any]) -> S3Settings | FileSettings:
    if values["kind"] == "file":
        return FileSettings(prefix=values["prefix"])
    return S3Settings(
        bucket_name=values["bucketName"],
        prefix=values["prefix"] or None,
        region=values["region"] or None,
        role_arn=values["roleArn"] or None,
        external_id=values["externalId"] or None,
        endpoint_url=values["endpointUrl"] or None,
    )


def _fault(error: InvalidRequest) -> tuple[str, str]:
    """Return the field that the error is about, and its text."""
    if isinstance(error, InvalidField):
        name = error.path.rpartition(".")[2]
        return {"type": "kind", "values": "identifiers"}.get(name, name if name in _ExportForm().fields else ""), (
            error.reason
        )
    return ("identifiers" if "DICOM identifier" in str(error) else ""), str(error)


def _kinds(settings: Settings) -> list[str]:
    return ["file", "s3"] if settings.export_folder else ["s3"]


def _form(context: PartitionContext, form: Form, status: int = 200) -> Response:
    return page(
        "export.html",
        status,
        title="Export files",
        form=form,
        partition_name=context.partition.name,
        kinds=[(kind, _KINDS[kind]) for kind in _kinds(context.settings)],
        may_name_endpoint=context.settings.export_allow_endpoint_url,
    )
