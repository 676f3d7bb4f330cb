"""`/docs`: the documents of the service, and the reference of its API (conformance §15.5). They need no credentials."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from flask import Response, current_app, g, request
from werkzeug.exceptions import NotFound

from app.errors import BulkheadError
from app.web.openapi.document import document as openapi_document
from app.web.routing import versions
from app.web.routing.access import authenticate
from app.web.routing.capabilities import ROUTES
from app.web.routing.context import Context
from app.web.routing.features import require_site
from app.web.routing.route import Scope
from app.web.site import markdown, reference
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page

_PUBLIC: Final[dict[str, Any]] = {
    "scope": Scope.PAGE,
    "action": None,
    "public": True,
    "audit": None,
    "check_enabled": require_site,
    "answers": {200: (PAGE,)},
}

resource = pages("documentation")


def _shown(context: Context, template: str, **values: Any) -> Response:
    """Return a page with the navigation of the caller. A caller without valid credentials gets the page too."""
    with suppress(BulkheadError):
        g.caller = authenticate(request, context.services, context.settings)
    return page(template, **values)


@resource.route("GET", "/docs", **_PUBLIC)
def listed(context: Context) -> Response:
    """200 with the list of the documents."""
    documents = [(name, markdown.document(name)) for name in markdown.DOCUMENTS]
    return _shown(context, "documents.html", title="Documentation", documents=documents, versions=versions.ALL)


@resource.route("GET", "/docs/api", **_PUBLIC)
def api_reference(context: Context) -> Response:
    """200 with the reference of a version of the API. The parameter `version` names it; the default is v2."""
    version = versions.BY_NAME.get(request.args.get("version", versions.V2.name))
    if version is None:
        raise NotFound("There is no such version of the API.")
    described = openapi_document(
        current_app.extensions[ROUTES],
        version,
        context.settings,
        prefix=f"/{version.name}",
        base=request.script_root,
    )
    return _shown(
        context,
        "api.html",
        title="API reference",
        line=markdown.line,
        version_name=version.name,
        versions=versions.ALL,
        groups=reference.groups(described, partitions=context.settings.enable_data_partitions),
        schemas=reference.schemas(described),
    )


@resource.route("GET", "/docs/<name>", **_PUBLIC)
def shown(context: Context, name: str) -> Response:
    """200 with a document; 404 for a name that is none of the documents."""
    if name not in markdown.DOCUMENTS:
        raise NotFound("There is no such document.")
    found = markdown.document(name)
    return _shown(context, "document.html", title=found.title, document=found)
