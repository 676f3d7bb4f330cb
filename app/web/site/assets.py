"""The files of `static/`: style sheets, scripts and pictures of the pages. They need no credentials."""

from __future__ import annotations

import hashlib
import mimetypes
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

from flask import Response, request
from werkzeug.exceptions import NotFound

from app.web.routing.context import Context
from app.web.routing.features import require_site
from app.web.routing.route import Resource, Scope

_PATH: Final = "/ui/static"
_YEAR: Final = 31_536_000

resource = Resource("site-assets")


class _Asset(NamedTuple):
    content: bytes
    media_type: str
    digest: str


@cache
def _assets() -> dict[str, _Asset]:
    found: dict[str, _Asset] = {}
    for file in resources.files("app.web.site").joinpath("static").iterdir():
        if file.is_file():
            content = file.read_bytes()
            media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            if media_type.startswith("text/"):
                media_type += "; charset=utf-8"
            found[file.name] = _Asset(content, media_type, hashlib.sha256(content).hexdigest()[:16])
    return found


def asset_url(name: str) -> str:
    """Return the path of a file. It changes with the content of the file, so a browser may keep the file for ever."""
    return f"{_PATH}/{name}?v={_assets()[name].digest}"


@resource.route(
    "GET",
    f"{_PATH}/<name>",
    scope=Scope.PAGE,
    action=None,
    public=True,
    audit=None,
    check_enabled=require_site,
    answers={200: ()},
)
def asset(context: Context, name: str) -> Response:
    """200 with the file; 404 for a name that is none of the files."""
    found = _assets().get(name)
    if found is None:
        raise NotFound
    response = Response(found.content, content_type=found.media_type)
    response.set_etag(found.digest)
    if request.args.get("v") == found.digest:
        response.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable"
    else:
        response.headers["Cache-Control"] = "no-cache"
    response.make_conditional(request)
    return response
