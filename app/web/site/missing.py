"""The page for addresses below `/ui` that are none."""

from __future__ import annotations

from flask import Response
from werkzeug.exceptions import NotFound

from app.web.routing.context import Context
from app.web.routing.features import require_site
from app.web.routing.route import PAGES_PREFIX, Scope
from app.web.site.pages import pages

resource = pages("missing")


@resource.route(
    "GET",
    f"{PAGES_PREFIX}/<path:missing>",
    scope=Scope.PAGE,
    action=None,
    public=True,
    audit=None,
    check_enabled=require_site,
    answers={},
)
def missing_page(context: Context, missing: str) -> Response:
    """404 with a page."""
    raise NotFound("There is no such page.")
