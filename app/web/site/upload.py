"""The page that uploads files: a script sends each of them to the API (conformance §3.1, §15.4)."""

from __future__ import annotations

from flask import Response

from app.services.access.rights import Action
from app.web.routing.context import PartitionContext
from app.web.routing.features import require_site
from app.web.routing.route import Scope
from app.web.site.addresses import Addresses
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page

resource = pages("upload")


@resource.route(
    "GET",
    "/upload",
    scope=Scope.PARTITION_PAGE,
    action=Action.WRITE,
    audit=None,
    check_enabled=require_site,
    answers={200: (PAGE,)},
)
def upload(context: PartitionContext) -> Response:
    """200 with the page. The script on it makes the calls, which are audited."""
    name = context.partition.name
    limit = min(context.settings.max_request_bytes, context.settings.max_part_bytes)
    return page(
        "upload.html", title=f"Upload to {name}", partition_name=name, store=Addresses.of(context).api(), limit=limit
    )
