"""The front page: the partitions that the caller may see."""

from __future__ import annotations

from flask import Response

from app.web.routing.context import Context
from app.web.routing.features import require_site
from app.web.routing.route import Scope
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page

resource = pages("front")


@resource.route(
    "GET",
    "/",
    scope=Scope.PAGE,
    action=None,
    audit="partition",
    patient_data=True,
    check_enabled=require_site,
    answers={200: (PAGE,)},
)
def front(context: Context) -> Response:
    """200 with the partitions."""
    partitions = context.services.partitions.listed(context.caller)
    return page("front.html", title="Partitions", partitions=partitions)
