"""The six search resources (conformance §5.1, PS3.18 §10.6)."""

from __future__ import annotations

from typing import Any, Final, Literal
from urllib.parse import parse_qsl

from flask import Response, request

from app.services.access.rights import Action
from app.web.negotiation.dataset_media_types import DatasetForm, accepted_dataset_form
from app.web.response.datasets import datasets
from app.web.response.next_page import add_next_page
from app.web.response.responses import DICOM_JSON, DICOM_XML, empty, related_type
from app.web.response.warning_header import MORE_RESULTS, add_warning
from app.web.routing.context import PartitionContext
from app.web.routing.route import Resource

LevelName = Literal["study", "series", "instance"]

resource = Resource("search")

_SEARCH: Final[dict[str, Any]] = {
    "action": Action.READ,
    "audit": "query",
    "patient_data": True,
    "read_accept": accepted_dataset_form,
    "answers": {200: (DICOM_JSON, related_type(DICOM_XML)), 204: ()},
}


@resource.route(
    "GET",
    "/instances",
    "/studies/<study>/instances",
    "/studies/<study>/series/<series>/instances",
    arguments={"level": "instance"},
    **_SEARCH,
)
@resource.route("GET", "/series", "/studies/<study>/series", arguments={"level": "series"}, **_SEARCH)
@resource.route("GET", "/studies", arguments={"level": "study"}, **_SEARCH)
def search(
    context: PartitionContext,
    accepted: DatasetForm,
    level: LevelName,
    study: str | None = None,
    series: str | None = None,
) -> Response:
    """200 with the matches, the newest first; 204 when there are none. A warning and a link tell that more match."""
    parameters = parse_qsl(request.environ.get("QUERY_STRING", ""), keep_blank_values=True)
    report = context.services.search(
        context.partition, level, study, series, parameters, context.policy, context.links.resource
    )
    context.audit.count = report.count
    response = datasets(accepted, report.documents) if report.count else empty(204)
    if report.erroneous:
        response.headers["erroneous-dicom-attributes"] = ",".join(report.erroneous)
    if report.next:
        add_warning(response, request, MORE_RESULTS)
        add_next_page(response, request, context.links.address(), report.next)
    return response
