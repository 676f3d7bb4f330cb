"""Requests, made from the route table: a route, values for its parameters, a query, headers and a body."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final
from urllib.parse import quote

from app.web.routes.table import ROUTES
from app.web.routing.route import PARTITION_PREFIX, Route, Scope
from tests.fuzz import bodies
from tests.fuzz.mutation import mutated_text

PARTITIONS: Final = ("clinic-a", "Clinic-B", "Microsoft.Default", "never-made")
_VERSIONS: Final = ("", "/v1", "/v2", "/V2", "/v1.0-prerelease")
_UIDS: Final = tuple(f"2.25.{n}" for n in range(1, 6))
_MEDIA: Final = (
    "*/*", "application/dicom", "application/dicom+json", "application/json", "application/dicom+xml", "image/jpeg",
    "image/png", "image/gif", "video/*", "image/*", "text/html", "application/pdf", "application/octet-stream",
    'multipart/related; type="application/dicom"', 'multipart/related; type="application/dicom"; transfer-syntax=*',
    'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1',
    'multipart/related; type="image/jp2"; transfer-syntax=1.2.840.10008.1.2.4.90', "multipart/related",
    'multipart/related; type="application/dicom+xml"', 'application/dicom; transfer-syntax=1.2.840.10008.1.2.4.80',
)  # fmt: skip
_SEARCH: Final = {
    "PatientID": ("P1", "*"),
    "PatientName": ("Smith*", "*^*", "?"),
    "StudyDate": ("20240101", "20200101-20251231", "-"),
    "StudyInstanceUID": ("2.25.1", "2.25.1,2.25.2", "2.25.1\\2.25.2"),
    "ModalitiesInStudy": ("CT", "CT\\MR"),
    "00080060": ("CT",),
    "AccessionNumber": ("A*", ""),
    "includefield": ("all", "PatientAge", "00081030,00100010"),
    "limit": ("0", "1", "200", "201"),
    "offset": ("0", "5", "100000"),
    "fuzzymatching": ("true", "false"),
    "SeriesTime": ("1000-1200",),
    "00101010": ("030Y",),
    "ScheduledProcedureStepStartDateTime": ("2024-",),
    "RequestAttributesSequence.RequestedProcedureID": ("R*",),
    "00400275.00401001": ("R1",),
    "accept": _MEDIA,
    "ReferencedRequestSequence.AccessionNumber": ("A1",),
    "ProcedureStepState": ("SCHEDULED",),
    "timezone": ("1",),
}
_VALUES: Final = {
    "Limit": ("0", "1", "10", "200", "201"),
    "Offset": ("0", "1", "500", "-1"),
    "IncludeMetadata": ("true", "false"),
    "StartTime": ("2020-01-01T00:00:00Z", "2020-01-01"),
    "EndTime": ("2099-01-01T00:00:00+01:00",),
    "viewport": ("64,64", "1,1", "0,0,10,10", "128,128,0,0,64,64", "-1,1"),
    "window": ("40,400,linear", "0,0,sigmoid"),
    "quality": ("1", "90", "101"),
    "requestType": ("WADO",),
    "studyUID": _UIDS,
    "contentType": _MEDIA,
    "seriesUID": tuple(f"{each}.1" for each in _UIDS),
    "objectUID": tuple(f"2.25.{n}.1.{n}" for n in range(1, 6)),
    "frameNumber": ("1", "2"),
    "rows": ("64",),
    "columns": ("64",),
    "region": ("0,0,1,1",),
    "partitionName": PARTITIONS,
    "transferSyntax": ("1.2.840.10008.1.2.1", "*"),
    "anonymize": ("yes",),
    "annotation": ("patient",),
    "charset": ("utf-8",),
}
_HEADERS: Final = {
    "Range": ("bytes=0-10", "bytes=-5", "bytes=5-", "bytes=0-1,4-5", "bytes=100000-"),
    "If-None-Match": ("*", '"a"', 'W/"b"'),
    "If-Match": ('"a"',),
    "Accept-Encoding": ("gzip", "zstd, gzip;q=0.5", "identity;q=0", "br"),
    "Prefer": ("respond-async",),
    "msdicom-request-original": ("true", "false"),
    "Origin": ("https://viewer.example",),
    "X-Request-Id": ("abc-1",),
    "X-Forwarded-For": ("10.0.0.1",),
    "X-Forwarded-Host": ("pacs.example",),
    "X-Forwarded-Prefix": ("/pacs",),
    "X-MS-AZUREDICOM-AUDIT-SITE": ("ward-3", "x" * 2049),
    "Authorization": ("Bearer bh_0", "Basic dTpw", "Bearer a.b.c"),
    "traceparent": ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",),
    "Host": ("pacs.example", "[::1]:80", "a b"),
    "Content-Type": (
        "application/json",
        "application/dicom+json",
        "application/dicom",
        "text/plain",
        "application/json; charset=latin-1",
    ),
    "Access-Control-Request-Method": ("POST",),
    "Expect": ("100-continue",),
    "Cookie": ("a=b",),
}
_PARAMETER: Final = re.compile(r"<(?:\w+:)?(\w+)>")
_DOCUMENTS: Final = {
    "/studies/$bulkUpdate": "update",
    "/export": "export",
    "/extendedquerytags": "tags",
    "/extendedquerytags/<path>": "status",
    "/workitems": "workitem",
    "/workitems/<workitem>": "change",
    "/workitems/<workitem>/state": "state",
    "/workitems/<workitem>/cancelrequest": "cancel",
    "/access/tokens": "token",
    "/access/grants": "grant",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzedRequest:
    """A request as a WSGI server passes it on. `path` is percent-decoded bytes as latin-1, as PEP 3333 says."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def fuzzed(random: Random) -> FuzzedRequest:
    """Return a request. Each of its parts is usually valid, so that many requests reach the handlers."""
    route = random.choice(ROUTES)
    template = random.choice(route.paths)
    method = route.method
    headers = dict(_headers(random))
    body = b""
    if method in ("POST", "PUT", "PATCH"):
        body = _body(random, template, headers)
    elif random.random() < 0.02:
        body = random.randbytes(10)
    if random.random() < 0.03:
        method = random.choice(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO"))
    path = _path(random, route, template)
    if random.random() < 0.05:
        path = mutated_text(random, path)
    return FuzzedRequest(
        method=method,
        path=path.encode("utf-8", "surrogatepass").decode("latin-1"),
        query=_query(random, route),
        headers=tuple((name, as_header(value)) for name, value in headers.items()),
        body=body,
    )


def _path(random: Random, route: Route, template: str) -> str:
    version = random.choice(_VERSIONS) if route.scope is not Scope.UNVERSIONED else ""
    below = route.scope in (Scope.PARTITION, Scope.BELOW_PARTITION) and random.random() < 0.97
    number = random.randint(1, 5)  # the same for all levels, so that the instance is often there
    whole = version + (PARTITION_PREFIX if below else "") + template
    return _PARAMETER.sub(lambda match: _parameter(random, match[1], number), whole)


def _parameter(random: Random, name: str, number: int) -> str:
    valid = {
        "partition": PARTITIONS[-1] if random.random() < 0.03 else random.choice(PARTITIONS[:3]),
        "study": f"2.25.{number}",
        "series": f"2.25.{number}.1",
        "instance": f"2.25.{number}.1.{number}",
        "workitem": f"2.25.90{number}",
        "frames": random.choice(("1", "1,2", "0", "1,1,1", "99")),
        "element": random.choice(("00091001", "7FE00010", "00081140/1/00081150", "x")),
        "path": random.choice(("00101010", "ManufacturerModelName", "00091001", "PatientID")),
        "operation": bodies.OPERATION,
    }.get(name, "x")
    return mutated_text(random, valid) if random.random() < 0.08 else valid


def _query(random: Random, route: Route) -> str:
    known: dict[str, tuple[str, ...]] = {}
    if route.query:
        known = {str(each.data_key): _VALUES.get(str(each.data_key), ("1",)) for each in route.query.fields.values()}
        known["partitionName"] = PARTITIONS
    elif route.method == "GET":
        known = _SEARCH
    pairs = []
    if route.selected_by and random.random() < 0.9:
        pairs.append((route.selected_by, "WADO"))
        pairs += [(name, random.choice(_VALUES[name])) for name in ("studyUID", "seriesUID", "objectUID")]
    for _ in range(random.choice((0, 0, 1, 1, 2, 3, 5)) if known else random.random() < 0.02):
        name = random.choice(list(known or _SEARCH))
        value = random.choice((known or _SEARCH)[name])
        if random.random() < 0.15:
            name = mutated_text(random, name)
        if random.random() < 0.25:
            value = mutated_text(random, value)
        pairs.append((name, value))
    query = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs)
    return (
        mutated_text(random, query).encode("utf-8", "surrogatepass").decode("latin-1")
        if random.random() < 0.03
        else query
    )


def _quoted(value: str) -> str:
    return quote(value.encode("utf-8", "surrogatepass"), safe="*,-/")


def _headers(random: Random) -> dict[str, str]:
    headers: dict[str, str] = {}
    if random.random() < 0.35:
        headers["Accept"] = random.choice(_MEDIA)
        if random.random() < 0.2:
            headers["Accept"] += ", " + random.choice(_MEDIA) + random.choice(("", ";q=0.1", ";q=0", ";q=x"))
        if random.random() < 0.15:
            headers["Accept"] = mutated_text(random, headers["Accept"])
    for _ in range(random.choice((0, 0, 0, 1, 2))):
        name = random.choice(list(_HEADERS))
        value = random.choice(_HEADERS[name])
        headers[name] = mutated_text(random, value) if random.random() < 0.3 else value
    return headers


def as_header(value: str) -> str:
    """Return a header value as a WSGI server passes it on: latin-1, one line."""
    return re.sub(r"[\r\n\0]", " ", value).encode("utf-8", "surrogatepass").decode("latin-1")


def _body(random: Random, template: str, headers: dict[str, str]) -> bytes:
    make: Callable[[Random], tuple[bytes, str]] = _store_body
    kind = _DOCUMENTS.get(template)
    if kind is not None:
        dicom = kind in ("workitem", "change", "state", "cancel")
        content_type = "application/dicom+json" if dicom else "application/json"

        def make(random: Random) -> tuple[bytes, str]:
            return bodies.document(random, kind), content_type

    body, given = make(random)
    headers.setdefault("Content-Type", given)
    if random.random() < 0.05:
        body, headers["Content-Encoding"] = bodies.coded(random, body)
    return body


def _store_body(random: Random) -> tuple[bytes, str]:
    if random.random() < 0.3:
        return bodies.instance(random), "application/dicom"
    return bodies.multipart(random)


def as_environment(request: FuzzedRequest, **more: Any) -> dict[str, Any]:
    """Return the WSGI environment of the request, without its streams."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "RAW_URI": quote(request.path.encode("latin-1"), safe="/%*$.,")
        + ("?" + request.query if request.query else ""),
        "QUERY_STRING": request.query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8080",
        "wsgi.url_scheme": "http",
        "CONTENT_LENGTH": str(len(request.body)),
    }
    for name, value in request.headers:
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return environ | more
