"""Makes pages from the templates."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any, Final

from flask import Response, current_app, g, request
from jinja2 import Environment, PackageLoader, StrictUndefined

from app.services.access.caller import NOBODY, Caller
from app.services.access.rights import Action
from app.settings import Settings
from app.web.routing.access import caller_of_public_page
from app.web.routing.dispatch import SERVICES, SETTINGS
from app.web.site import formatting
from app.web.site.addresses import Addresses
from app.web.site.assets import asset_url
from app.web.site.form_tokens import csrf_field
from app.web.site.navigation import entries

_VERSION: Final = version("bulkhead")
_HTML: Final = "text/html; charset=utf-8"
_ADVICE: Final = {
    400: ("The request is not valid", "Check the address, or start again from the front page."),
    401: ("Sign in first", "This page needs credentials."),
    403: ("No access", "Your rights do not include this. Ask the operator of this archive for a grant."),
    404: ("Not found", "It may have been deleted, or the address is wrong."),
    405: ("Not found", "The address does not accept this kind of request."),
    500: ("Something went wrong", "Try again. If it happens again, tell the operator the number of the request."),
    503: ("Not available now", "The archive cannot answer now. Try again in a few seconds."),
}
"""Status -> heading and advice of its page."""


@cache
def _templates() -> Environment:
    """The templates are read at the first page, so that a server without visitors does not hold them."""
    templates = Environment(
        loader=PackageLoader("app.web.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(formatting.FILTERS)
    templates.globals["csrf_field"] = csrf_field
    return templates


def page(template: str, status: int = 200, /, **values: Any) -> Response:
    """Return the page that a template makes of `values`. Every page has the frame of `layout.html`.

    Templates know `url(path)`, a path of this service below its base path, and `asset(name)`, a file of `static/`.
    `partition_page(name, path)` is a page of a partition. `may(action, partition)` says what the caller may do there.
    Each form has `csrf_field()`.
    They know `caller`, `settings`, `version`, `navigation` and `path`, the path of the request.
    """
    settings: Settings = current_app.extensions[SETTINGS]
    caller: Caller = g.caller
    if caller is NOBODY:
        caller = caller_of_public_page(request, current_app.extensions[SERVICES], settings)
    text = (
        _templates()
        .get_template(template)
        .render(
            url=_url,
            asset=lambda name: _url(asset_url(name)),
            partition_page=lambda name, path: _url(
                Addresses(name if settings.enable_data_partitions else None).below(path)
            ),
            may=lambda action, partition: caller.rights.allows(Action(action), partition),
            caller=caller,
            settings=settings,
            version=_VERSION,
            navigation=entries(caller.rights, settings),
            path=request.path,
            **values,
        )
    )
    return Response(text, status, content_type=_HTML)


def error_page(status: int, message: str) -> Response:
    """Return the page of an error: what happened, what the reader can do, and a way back."""
    heading, advice = _ADVICE.get(status) or _ADVICE[500 if status >= 500 else 400]
    return page(
        "error.html",
        status,
        title=heading,
        heading=heading,
        advice=advice,
        status=status,
        message=message or "There is no such page.",
        request_id=g.request_id,
    )


def _url(path: str) -> str:
    return request.script_root + path
