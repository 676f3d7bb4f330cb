"""Bulk data of answers, read without the code of the service."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from werkzeug.test import TestResponse

from tests.support.dicomweb import PartitionClient


class LocatedPart(NamedTuple):
    """One part of a multipart response."""

    headers: dict[str, str]
    body: bytes


def located_parts(response: TestResponse) -> list[LocatedPart]:
    """Return the parts of a multipart response with all their headers."""
    match = re.search(r"boundary=(\w+)", response.headers["Content-Type"])
    assert match, response.headers["Content-Type"]
    opening, *found, closing = (b"\r\n" + response.data).split(f"\r\n--{match[1]}".encode())
    assert (opening.strip(), closing) == (b"", b"--\r\n")
    return [_part(each) for each in found]


def _part(raw: bytes) -> LocatedPart:
    head, _, body = raw.partition(b"\r\n\r\n")
    headers = dict(line.split(": ") for line in head.decode().strip().splitlines())
    assert headers["Content-Length"] == str(len(body))
    return LocatedPart(headers, body)


def binary_elements(dataset: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the elements of a dataset with InlineBinary or BulkDataURI by their paths, at every depth."""
    for tag, element in dataset.items():
        if "BulkDataURI" in element or "InlineBinary" in element:
            yield path + tag, element
        elif element["vr"] in ("OB", "OD", "OF", "OL", "OV", "OW", "UN"):
            assert element.keys() == {"vr"}
            yield path + tag, element
        for number, item in enumerate(element.get("Value", ()) if element["vr"] == "SQ" else ()):
            yield from binary_elements(item, f"{path}{tag}/{number}/")


def bytes_of(clinic: PartitionClient, element: dict[str, Any]) -> bytes:
    """Return the bytes of an element of metadata. A BulkDataURI is followed."""
    if "InlineBinary" in element:
        return base64.b64decode(element["InlineBinary"])
    if "BulkDataURI" not in element:
        return b""
    uri = urlsplit(element["BulkDataURI"])
    assert uri.netloc == "localhost"
    response = clinic.client.get(uri.path, headers={"Accept": "application/octet-stream"})
    assert response.status_code == 200, response.text
    return bytes(response.data)
