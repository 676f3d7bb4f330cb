"""`DELETE` of a study, a series or an instance (conformance §6.1)."""

from __future__ import annotations

from flask import Response

from app.web.context import Scope
from app.web.mount import resource as new
from app.web.responses import empty

resource = new("delete")


@resource.delete("/studies/<study>")
@resource.delete("/studies/<study>/series/<series>")
@resource.delete("/studies/<study>/series/<series>/instances/<instance>")
def delete(scope: Scope, study: str, series: str | None = None, instance: str | None = None) -> Response:
    """204, and from then on it cannot be found; 404 where it could not before."""
    scope.services.delete(scope.partition(), study, series, instance)
    return empty(204)
