"""The six search resources (conformance §5.1, PS3.18 §10.6)."""

from __future__ import annotations

from typing import Literal
from urllib.parse import parse_qsl

from flask import Response, request

from app.web.context import Scope
from app.web.mount import resource as new
from app.web.negotiation import require_json
from app.web.responses import empty, json_array

Level = Literal["study", "series", "instance"]

resource = new("search")


@resource.get("/studies", defaults={"level": "study"})
@resource.get("/series", defaults={"level": "series"})
@resource.get("/instances", defaults={"level": "instance"})
@resource.get("/studies/<study>/series", defaults={"level": "series"})
@resource.get("/studies/<study>/instances", defaults={"level": "instance"})
@resource.get("/studies/<study>/series/<series>/instances", defaults={"level": "instance"})
def search(scope: Scope, level: Level, study: str | None = None, series: str | None = None) -> Response:
    """200 with the matches, newest first; 204 when there are none."""
    require_json(request.headers.get("Accept"))
    partition = scope.partition()
    parameters = parse_qsl(request.environ.get("QUERY_STRING", ""), keep_blank_values=True)
    report = scope.services.search(partition, level, study, series, parameters, scope.policy, scope.link())
    response = json_array(report.documents) if report.count else empty(204)
    if report.erroneous:
        response.headers["erroneous-dicom-attributes"] = ",".join(report.erroneous)
    return response
