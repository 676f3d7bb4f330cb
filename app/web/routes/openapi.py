"""`api.json` and `api.yaml`: the OpenAPI document of a version (conformance §1.16)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson
from flask import Response, current_app, request

from app.settings import Settings
from app.web.openapi.document import document
from app.web.openapi.yaml_text import yaml_text
from app.web.response.entity_tags import has_current
from app.web.response.responses import JSON, YAML, empty
from app.web.routing.capabilities import ROUTES
from app.web.routing.context import Context
from app.web.routing.route import Resource, Route, Scope
from app.web.routing.versions import BY_NAME, UNVERSIONED

_PUBLIC: Final[dict[str, Any]] = {"scope": Scope.BASE, "action": None, "public": True, "audit": None}
_WRITERS: Final[dict[str, Callable[[Any], bytes]]] = {JSON: orjson.dumps, YAML: yaml_text}

_DOCUMENTS: Final = "bulkhead.openapi"
"""Key of the `Documents` in the extensions of the application."""
_REMEMBERED: Final = 16
"""Four prefixes in two forms, below two base paths."""

resource = Resource("openapi")


class Text(NamedTuple):
    """A document as it is sent, and its entity tag."""

    content: bytes
    etag: str


@resource.route("GET", "/api.json", answers={200: (JSON,), 304: ()}, **_PUBLIC)
def in_json(context: Context) -> Response:
    """200 with the OpenAPI document in JSON."""
    return _answer(context, JSON)


@resource.route("GET", "/api.yaml", answers={200: (YAML,), 304: ()}, **_PUBLIC)
def in_yaml(context: Context) -> Response:
    """200 with the OpenAPI document in YAML."""
    return _answer(context, YAML)


def _answer(context: Context, media_type: str) -> Response:
    text = _documents(context.settings).text(context.links.version_prefix, request.script_root, media_type)
    response = empty(304) if has_current(request.if_none_match, text.etag) else Response(text.content)
    if response.status_code == 200:
        response.headers["Content-Type"] = media_type
    response.headers["Cache-Control"] = "no-cache"
    response.set_etag(text.etag)
    return response


class Documents:
    """The documents of an application. Each is made at the first request for it, and then remembered."""

    def __init__(self, routes: tuple[Route, ...], settings: Settings) -> None:
        self._routes = routes
        self._settings = settings
        self.text: Final = lru_cache(maxsize=_REMEMBERED)(self._text)

    def _text(self, prefix: str, base: str, media_type: str) -> Text:
        """Return a document. `prefix` is as `/v2`, or empty, and `base` is the base path of the service."""
        version = BY_NAME.get(prefix.removeprefix("/"), UNVERSIONED)
        content = _WRITERS[media_type](document(self._routes, version, self._settings, prefix=prefix, base=base))
        return Text(content, hashlib.sha256(content).hexdigest()[:32])


def _documents(settings: Settings) -> Documents:
    extensions = current_app.extensions
    if _DOCUMENTS not in extensions:
        extensions[_DOCUMENTS] = Documents(extensions[ROUTES], settings)
    documents: Documents = extensions[_DOCUMENTS]
    return documents
