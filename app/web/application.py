"""Builds the Flask application on given services: routes, errors, headers, log, CORS, proxies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import NotFound
from werkzeug.middleware.proxy_fix import ProxyFix

from app.errors import InvalidRequest
from app.metrics import folder
from app.services import Services
from app.services.access.caller import NOBODY
from app.services.health_report import HealthReport
from app.settings import Settings
from app.web import access_log, problems
from app.web.headers import headers_for
from app.web.request.body import drain_after
from app.web.response import cors
from app.web.response.compression import compress
from app.web.routes.table import RESOURCES, ROUTES
from app.web.routing import context, dispatch
from app.web.routing.access import authenticate
from app.web.routing.audit import record_executed
from app.web.routing.caching import set_cache_headers
from app.web.routing.capabilities import ROUTES as ROUTES_KEY
from app.web.routing.mount import mount
from app.web.routing.origins import Proof, refuse_foreign_pages
from app.web.routing.paths import CanonicalPaths
from app.web.site.table import PAGES
from app.web.waiting import LimitedWaiting, limit_waiting

_ADDRESS: Final = {
    "HTTP_HOST": (context.is_host, "Host header"),
    "wsgi.url_scheme": (context.is_scheme, "scheme of the request"),
    "SCRIPT_NAME": (context.is_prefix, "path prefix of the request"),
}
"""The parts of generated URLs that come from headers, also from a trusted proxy: rule, and name in messages."""


def application(services: Services, settings: Settings) -> Flask:
    """Return the WSGI application. Its only state between requests is the health report of a few seconds."""
    if settings.metrics and settings.metrics_dir:
        folder.join(settings.metrics_dir)
    app = Flask("bulkhead", static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.extensions[dispatch.SERVICES] = services
    app.extensions[dispatch.SETTINGS] = settings
    app.extensions[dispatch.HEALTH] = HealthReport(services.health, settings.health_exclude)
    app.extensions[ROUTES_KEY] = ROUTES
    resources = (*RESOURCES, *PAGES)
    mount(app, resources)
    app.wsgi_app = CanonicalPaths(app.wsgi_app, resources)  # type: ignore[method-assign]  # as Flask documents it
    app.url_value_preprocessor(_begin)
    app.wsgi_app = LimitedWaiting(app.wsgi_app, settings.request_seconds)  # type: ignore[method-assign]  # likewise
    app.after_request(_ending(headers_for(settings.cors_origins), settings.request_seconds))
    problems.register(app)
    cors.allow_origins(app, settings)
    _trust_proxies(app, settings.trusted_proxies)
    return app


def _begin(endpoint: str | None, _values: dict[str, Any] | None) -> None:
    access_log.begin()
    g.caller = NOBODY
    has_cors = bool(current_app.extensions[dispatch.SETTINGS].cors_origins)
    if has_cors and cors.is_preflight(request):  # it is answered for every path and query
        return
    services, settings = current_app.extensions[dispatch.SERVICES], current_app.extensions[dispatch.SETTINGS]
    if getattr(current_app.view_functions.get(endpoint or ""), "public", False):
        refuse_foreign_pages(request, settings, Proof.NONE)
    else:
        g.caller = authenticate(request, services, settings)
    environ = request.environ
    query, raw = environ.get("QUERY_STRING", ""), environ.get("RAW_URI", "")
    # Decoded, an encoded slash would separate segments: the path would mean another resource to a proxy's rules.
    if "%" in raw and "%2f" in raw.partition("?")[0].lower():
        raise NotFound
    if environ["PATH_INFO"].startswith("//"):  # werkzeug ignores every slash at the start, the service one
        raise NotFound
    if query and ("<" in query or "%3c" in query.lower()):
        raise InvalidRequest("The query string included invalid characters.")
    for variable, (is_valid, name) in _ADDRESS.items():
        text = environ.get(variable)
        if text and not is_valid(text):
            raise InvalidRequest(f"The {name} '{text}' is invalid.")


def _ending(headers: Sequence[tuple[str, str]], seconds: float) -> Callable[[Response], Response]:
    """Return the last step of every answer. It adds these headers. `seconds` are as in `limit_waiting`."""

    def end(response: Response) -> Response:
        response.headers.extend(headers)
        services = current_app.extensions[dispatch.SERVICES]
        set_cache_headers(response, authenticates=services.authentication is not None)
        compress(response, request)
        record_executed(services.audit, response)
        limit_waiting(response, seconds)
        access_log.end(response)
        drain_after(response, request)
        return response

    return end


def _trust_proxies(app: Flask, count: int) -> None:
    if count:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]  # as Flask documents it
            app.wsgi_app, x_for=count, x_proto=count, x_host=count, x_port=count, x_prefix=count
        )
