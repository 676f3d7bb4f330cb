"""The OHIF viewer at `/viewer`, with each partition as a data source (conformance §15.3)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qs, quote

from flask import Response, request
from werkzeug.exceptions import NotFound

from app.services.access.rights import Action
from app.settings import Settings
from app.web.routing.context import Context
from app.web.routing.features import require_site
from app.web.routing.route import Resource, Scope
from app.web.site import viewer_configuration as configuration
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page
from app.web.site.viewer_configuration import CONFIGURATION_PATH, FILES_PATH, VIEWER_PATH, Source
from app.web.site.viewer_files import ViewerFiles, installed, is_file_name

MODES: Final = frozenset(
    {"viewer", "basic", "segmentation", "tmtv", "microscopy", "dynamic-volume", "usannotation", "preclinical-4d"}
)
"""The first segments of OHIF's own paths, in lower case. The second segment is the name of a data source."""

POLICY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; object-src 'self'; frame-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)
"""The content security policy of the viewer. Its components style themselves inline. Its decoders are WebAssembly, and
their bindings (embind of Emscripten) make functions from texts. No inline script and no script of another host runs."""

_ISOLATION: Final = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""A page that is isolated from other origins may share memory between its threads (HTML §7.1.3, §7.1.4)."""

_INLINE: Final = re.compile(r"<script>.*?</script>", re.DOTALL)
_UNUSED: Final = re.compile(r'<script[^>]*init-service-worker\.js[^>]*></script>|<link rel="(?:manifest|yandex)[^>]*>')
_LINK: Final = re.compile(r'\b(src|href|content)="/(?!app-config\.js")')

resource = pages("viewer")
files_resource = Resource("site-viewer-files")


def is_installed(settings: Settings) -> bool:
    """Return whether there is a viewer."""
    return installed(settings.viewer_dir) is not None


def viewer_path(partition: str, study: str | None = None) -> str:
    """Return the path of the viewer for a study, or of its list of the studies of a partition."""
    if study is None:
        return f"{VIEWER_PATH}?datasources={quote(partition)}"
    return f"{VIEWER_PATH}/viewer/{quote(partition)}?StudyInstanceUIDs={quote(study)}"


@files_resource.route(
    "GET",
    f"{FILES_PATH}/<digest>/<path:name>",
    scope=Scope.PAGE,
    action=None,
    public=True,
    audit=None,
    check_enabled=require_site,
    answers={200: (), 206: (), 304: ()},
)
def viewer_file(context: Context, digest: str, name: str) -> Response:
    """200 with a file of the viewer. A page that an older viewer made still finds the files that are the same."""
    viewer = installed(context.settings.viewer_dir)
    response = viewer and viewer.answer(request, name, is_current=digest == viewer.digest)
    if not response:
        raise NotFound
    if name.endswith(".js"):  # it applies where the file is a worker
        response.headers["Content-Security-Policy"] = POLICY
    return _isolated(response)


@resource.route(
    "GET",
    CONFIGURATION_PATH,
    scope=Scope.PAGE,
    action=Action.READ,
    audit=None,
    patient_data=True,
    check_enabled=require_site,
    answers={200: ("text/javascript",)},
)
def viewer_configuration(context: Context) -> Response:
    """200 with the configuration of the viewer for this caller."""
    viewer = installed(context.settings.viewer_dir)
    if viewer is None:
        raise NotFound
    sources = configuration.chosen(_sources(context), request.args.get("partition", ""))
    text = configuration.script(sources, request.script_root, f"{FILES_PATH}/{viewer.digest}")
    return _isolated(Response(text, content_type="text/javascript; charset=utf-8"))


@resource.route(
    "GET",
    VIEWER_PATH,
    f"{VIEWER_PATH}/<path:view>",
    scope=Scope.PAGE,
    action=Action.READ,
    audit=None,
    patient_data=True,
    check_enabled=require_site,
    answers={200: (PAGE,), 302: (), 404: (PAGE,)},
)
def view(context: Context, view: str = "") -> Response:
    """200 with the viewer. 302 from the path of a partition to the path that OHIF has for it. 404 without a viewer."""
    viewer = installed(context.settings.viewer_dir)
    if viewer is None:
        return page("viewer_missing.html", 404, title="The viewer is not installed")
    segments = [segment for segment in view.split("/") if segment]
    if len(segments) > 1 and segments[0].lower() not in MODES and is_file_name(segments[-1]):
        raise NotFound
    if len(segments) == 1 and segments[0].lower() not in MODES:
        for each in _sources(context):
            if each.name.lower() == segments[0].lower():
                return _to_partition(each.name)
    wanted = segments[1] if len(segments) > 1 else request.args.get("datasources", "")
    text = _index(viewer, request.script_root).replace("{partition}", quote(wanted, safe=""))
    response = Response(text, content_type=f"{PAGE}; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    return _isolated(response)


def _to_partition(name: str) -> Response:
    query = request.query_string.decode("ascii", "replace")
    if any(key.lower() == "studyinstanceuids" for key in parse_qs(query)):
        target = f"{VIEWER_PATH}/viewer/{quote(name)}?{query}"
    else:
        target = viewer_path(name) + (f"&{query}" if query else "")
    return Response(status=302, headers={"Location": request.script_root + target})


def _sources(context: Context) -> list[Source]:
    """Return the partitions that the caller may read."""
    directory, rights = context.services.partitions, context.caller.rights
    named = directory.enabled
    names = [each.name for each in directory.listed(context.caller)] if named else [directory.name_of(None)]
    return [
        configuration.source(name, named=named, is_writable=rights.allows(Action.WRITE, name))
        for name in names
        if rights.allows(Action.READ, name)
    ]


@lru_cache(maxsize=4)
def _index(viewer: ViewerFiles, base: str) -> str:
    """Return the page with links below the base path. The configuration does what its inline scripts do."""
    text = _UNUSED.sub("", _INLINE.sub("", viewer.index()))
    text = _LINK.sub(rf'\1="{base}{FILES_PATH}/{viewer.digest}/', text)
    return text.replace('"/app-config.js"', f'"{base}{CONFIGURATION_PATH}?partition={{partition}}"')


def _isolated(response: Response) -> Response:
    response.headers.update(_ISOLATION)
    return response
