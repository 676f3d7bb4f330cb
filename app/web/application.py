"""The Flask application on given services: routes, errors, headers, log, CORS, proxies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request
from flask_cors import CORS
from werkzeug.exceptions import NotFound
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import Rule

from app.errors import InvalidRequest
from app.services import Services
from app.settings import Settings
from app.web import access_log, context, problems
from app.web.body import drain_after
from app.web.headers import ALWAYS
from app.web.mount import BASE, PARTITIONED, RELEASED, mount, no_route
from app.web.routes import (
    bulk_update,
    changefeed,
    delete,
    export,
    extended_query_tags,
    health,
    operations,
    partitions,
    retrieve,
    search,
    store,
    workitems,
)


class _Route(Rule):
    """A rule that is matched and never built: links are made by `context.Scope.link`.

    Compiling a builder for each would take nine tenths of the start. Should werkzeug drop the hook, it is not called.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return lambda *_, **__: ("", "")


class _Application(Flask):
    url_rule_class = _Route


def application(services: Services, settings: Settings) -> Flask:
    """Return the WSGI application; it keeps no state between requests but the health verdict of a few seconds."""
    app = _Application("bulkhead", static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    app.extensions[context.SERVICES] = services
    app.extensions[context.SETTINGS] = settings
    mount(app, (store.resource, search.resource, retrieve.resource, delete.resource, workitems.resource), PARTITIONED)
    mount(app, (bulk_update.resource,), PARTITIONED)
    mount(app, (export.resource,), PARTITIONED, RELEASED)
    mount(app, (partitions.resource, changefeed.resource, operations.resource, extended_query_tags.resource), BASE)
    app.register_blueprint(health.resource(settings.health_exclude))
    # Not before_request: this comes before the checks that `context.bind` makes, so that they are logged like all else.
    app.url_value_preprocessor(_begin)
    app.after_request(_end)
    problems.register(app)
    app.register_error_handler(NotFound, no_route)
    _allow_origins(app, settings)
    _trust_proxies(app, settings.trusted_proxies)
    return app


def _begin(_endpoint: str | None, _values: dict[str, Any] | None) -> None:
    access_log.begin()
    environ = request.environ
    query, raw = environ.get("QUERY_STRING", ""), environ.get("RAW_URI", "")
    # Decoded, it would be one slash more: a path that the partition's name, or a proxy's rule, did not mean.
    if "%" in raw and "%2f" in raw.partition("?")[0].lower():
        raise NotFound
    if query and ("<" in query or "%3c" in query.lower()):
        raise InvalidRequest("The query string included invalid characters.")
    host = environ.get("HTTP_HOST")
    if host and not context.HOST.fullmatch(host):
        raise InvalidRequest(f"The Host header '{host}' is invalid.")


def _end(response: Response) -> Response:
    response.headers.extend(ALWAYS)
    access_log.end(response)
    drain_after(response, request)
    return response


def _allow_origins(app: Flask, settings: Settings) -> None:
    if settings.cors_origins:
        options: dict[str, Any] = {
            "origins": list(settings.cors_origins),
            "allow_headers": list(settings.cors_headers),
            "methods": list(settings.cors_methods),
            "max_age": settings.cors_max_age,
            "supports_credentials": settings.cors_credentials,
        }
        CORS(app, **{option: value for option, value in options.items() if value != []})


def _trust_proxies(app: Flask, count: int) -> None:
    if count:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]  # as Flask's documentation has it
            app.wsgi_app, x_for=count, x_proto=count, x_host=count, x_port=count, x_prefix=count
        )
