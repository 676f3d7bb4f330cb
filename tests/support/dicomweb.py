"""A DICOMweb client for tests. It writes and reads messages without the code of the service."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.instances import EXPLICIT_BIG

DICOM_JSON = "application/dicom+json"
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


class Part(NamedTuple):
    """One part of a multipart response."""

    content_type: str
    body: bytes


def related(
    *bodies: bytes, boundary: str = "b1", content_type: str | None = "application/dicom", newline: str = "\r\n"
) -> bytes:
    """Return a multipart/related body."""
    head = f"Content-Type: {content_type}{newline}" if content_type else ""
    opening = f"--{boundary}{newline}{head}{newline}".encode()
    return b"".join(opening + body + newline.encode() for body in bodies) + f"--{boundary}--{newline}".encode()


def parts(response: TestResponse) -> list[Part]:
    """Return the parts of a multipart response. Assert that its boundaries and headers are right."""
    header = response.headers["Content-Type"]
    match = re.fullmatch(r'multipart/related; type="([^"]+)"; boundary=(\w+)', header)
    assert match, header
    opening, *found, closing = (b"\r\n" + response.data).split(f"\r\n--{match[2]}".encode())
    assert opening.strip() == b""
    assert closing == b"--\r\n"
    return [_part(each, match[1]) for each in found]


def _part(raw: bytes, kind: str) -> Part:
    head, _, body = raw.partition(b"\r\n\r\n")
    (name, value), *more = [line.split(": ") for line in head.decode().strip().splitlines()]
    assert name == "Content-Type"
    assert more in ([], [["Content-Length", str(len(body))]])
    assert value.startswith(kind + "; transfer-syntax=")
    return Part(value, body)


class PartitionClient:
    """Calls the service under one prefix, which is a version and a partition."""

    def __init__(self, client: FlaskClient, prefix: str = "/v2/partitions/clinic-a") -> None:
        self.client = client
        self.prefix = prefix

    def store(self, *instances: bytes, path: str = "/studies", **headers: str) -> TestResponse:
        """Store instances in one multipart request."""
        return self.post(
            related(*instances), 'multipart/related; type="application/dicom"; boundary=b1', path, **headers
        )

    def post(self, body: bytes, content_type: str | None, path: str = "/studies", **headers: str) -> TestResponse:
        """Post this body unchanged."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(self.prefix + path, data=body, content_type=content_type, headers=given)

    def get(self, path: str, accept: str | None = None, **headers: str) -> TestResponse:
        """Get a path, with an Accept header if one is given. Other headers are keywords: `If_None_Match="…"`."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(self.prefix + path, headers=given | ({"Accept": accept} if accept is not None else {}))

    def delete(self, path: str) -> TestResponse:
        """Delete a path."""
        return self.client.delete(self.prefix + path)

    def stored(self, *instances: bytes) -> dict[str, Any]:
        """Store instances, assert that none is refused, and return the response dataset."""
        response = self.store(*instances)
        assert response.status_code in (200, 202), response.text
        dataset: dict[str, Any] = response.get_json(force=True)
        assert "00081198" not in dataset, dataset
        return dataset


def in_little_endian(pixels: bytes, syntax: str) -> bytes:
    """Return 16-bit pixels of that transfer syntax in Explicit VR Little Endian."""
    if syntax != EXPLICIT_BIG:
        return pixels
    return b"".join(pixels[at : at + 2][::-1] for at in range(0, len(pixels), 2))


def value(dataset: dict[str, Any], tag: str) -> Any:
    """Return the first value of an element of DICOM JSON."""
    return dataset[tag]["Value"][0]


def items(dataset: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    """Return the items of a sequence of DICOM JSON. A missing sequence has none."""
    element = dataset.get(tag, {})
    assert element.get("vr", "SQ") == "SQ"
    found: list[dict[str, Any]] = element.get("Value", [])
    return found


def comments(item: dict[str, Any]) -> list[str]:
    """Return the comments of the FailedAttributesSequence (0074,1048)."""
    return [value(each, "00000902") for each in items(item, "00741048")]
