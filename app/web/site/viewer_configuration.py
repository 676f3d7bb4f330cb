"""The configuration of the OHIF viewer for one caller: each partition that the caller may read is a data source.

The names of the keys are those of OHIF (its `app-config.js`). The configuration has no credentials: the browser sends
the session cookie with every call, because viewer and service have one origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson

from app.web.routing.route import PARTITION_PREFIX

VIEWER_PATH: Final = "/viewer"
FILES_PATH: Final = f"{VIEWER_PATH}/files"
CONFIGURATION_PATH: Final = f"{VIEWER_PATH}/app-config.js"
MOST_SOURCES: Final = 100
"""The largest number of data sources in one configuration. The partition that the page is for is always among them."""

_KIND: Final = "@ohif/extension-default.dataSourcesModule.dicomweb"
_VERSION: Final = "/v2"

_COMMON: Final = {
    "qidoSupportsIncludeField": True,
    "supportsFuzzyMatching": True,
    "supportsWildcard": True,
    "supportsReject": False,
    "staticWado": False,
    "imageRendering": "wadors",
    "thumbnailRendering": "thumbnail",
    "thumbnailRequestStrategy": "fetch",
    "enableStudyLazyLoad": True,
    "omitQuotationForMultipartRequest": True,
    "singlepart": "pdf,video",
    "bulkDataURI": {"enabled": True},
}
"""What the data source of every partition says."""

_SCRIPT: Final = """\
window.PUBLIC_URL = {base};
window.VIEWER_FILES = {files};
window.PUBLIC_LIB_URL = window.VIEWER_FILES + "${{component}}/";
window.browserImportFunction = (path) => import(path.startsWith("/") ? window.VIEWER_FILES + path.slice(1) : path);
window.config = {configuration};
for (const source of window.config.dataSources) {{
  const root = window.location.origin + source.configuration.wadoRoot;
  Object.assign(source.configuration, {{ qidoRoot: root, wadoRoot: root, wadoUriRoot: root }});
}}
console.time("scriptToView");
"""
"""It runs before the viewer. The viewer loads its further files from `VIEWER_FILES`, and the files of a
component, such as that of slides, from `PUBLIC_LIB_URL`. It ends the timer."""


class Source(NamedTuple):
    """A partition that the caller may read. `prefix` is the path of its API below the version."""

    name: str
    prefix: str
    is_writable: bool


def source(name: str, *, named: bool, is_writable: bool) -> Source:
    """Return the data source of a partition. `named` says whether the URLs of the API name the partition."""
    return Source(name, PARTITION_PREFIX.replace("<partition>", name) if named else "", is_writable)


def chosen(sources: Sequence[Source], wanted: str) -> list[Source]:
    """Return at most `MOST_SOURCES` sources. The source with the name `wanted` comes first, if there is one."""
    first = [each for each in sources if each.name.lower() == wanted.lower()]
    return [*first, *(each for each in sources if each not in first)][:MOST_SOURCES]


def script(sources: Sequence[Source], base: str, files: str) -> bytes:
    """Return `app-config.js`. The first source is the default one.

    `base` is the base path of the service. `files` is the path of the files of the viewer below it.
    """
    return _SCRIPT.format(
        base=_json(f"{base}{VIEWER_PATH}/"),
        files=_json(f"{base}{files}/"),
        configuration=_json(_configuration(sources, base)),
    ).encode()


def _configuration(sources: Sequence[Source], base: str) -> dict[str, Any]:
    return {
        "name": "bulkhead",
        "routerBasename": f"{base}{VIEWER_PATH}",
        "extensions": [],
        "modes": [],
        "customizationService": {},
        "showStudyList": True,
        "investigationalUseDialog": {"option": "configure", "days": 30},
        "maxNumberOfWebWorkers": 3,
        "showLoadingIndicator": True,
        "showCPUFallbackMessage": True,
        "showWarningMessageForCrossOrigin": True,
        "strictZSpacingForVolumeViewport": True,
        "groupEnabledModesFirst": True,
        "maxNumRequests": {"interaction": 100, "thumbnail": 5, "prefetch": 25},
        "defaultDataSourceName": sources[0].name if sources else "",
        "dataSources": [_data_source(each, base) for each in sources],
    }


def _data_source(source: Source, base: str) -> dict[str, Any]:
    own = {
        "friendlyName": source.name,
        "name": source.name,
        "wadoRoot": f"{base}{_VERSION}{source.prefix}",
        "dicomUploadEnabled": source.is_writable,
        "supportsStow": source.is_writable,
    }
    return {"namespace": _KIND, "sourceName": source.name, "configuration": {**_COMMON, **own}}


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
