"""The byte range that a request asks for (RFC 9110 §14)."""

from __future__ import annotations

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from app.errors import RangeNotSatisfiable
from app.web.response.byte_ranges import ByteRange, requested_range


def wanted(header: str, size: int = 10, etag: str | None = None, method: str = "GET", **more: str) -> ByteRange | None:
    headers = [("Range", header), *((name.replace("_", "-"), value) for name, value in more.items())]
    return requested_range(Request(EnvironBuilder(method=method, headers=headers).get_environ()), size, etag)


@pytest.mark.parametrize(
    ("header", "start", "length"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=2-4", 2, 3),
        ("bytes=2-", 2, 8),
        ("bytes=9-99", 9, 1),
        ("bytes=0-", 0, 10),
        ("bytes=-3", 7, 3),
        ("bytes=-99", 0, 10),
        ("BYTES = 2 - 4 ", 2, 3),
    ],
)
def test_one_range(header: str, start: int, length: int) -> None:
    found = wanted(header)
    assert found == ByteRange(start, length, 10)
    assert found.content_range == f"bytes {start}-{start + length - 1}/10"


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=9999999999999999999-", "bytes=-0"])
def test_a_range_without_a_byte(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable, match=r"^The requested range is not satisfiable\.$") as error:
        wanted(header)
    assert error.value.headers == {"Accept-Ranges": "bytes", "Content-Range": "bytes */10"}


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-1"])
def test_empty_content_has_no_range(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        wanted(header, size=0)


@pytest.mark.parametrize(
    "header",
    [
        *("", "bytes", "bytes=", "bytes=-", "bytes=4-2", "bytes=a-b", "bytes=1_0-", "bytes=0-1,3-4", "bytes=-1,-2"),
        *("items=0-1", "bytes=\u0661-", "bytes=+1-2", "bytes=1.0-", f"bytes={'9' * 100}-", "bytes:0-1", "0-1"),
    ],
)
def test_what_is_no_single_range_is_ignored(header: str) -> None:
    assert wanted(header) is None


@pytest.mark.parametrize("method", ["HEAD", "POST"])
def test_only_get_has_ranges(method: str) -> None:
    assert wanted("bytes=0-1", method=method) is None


@pytest.mark.parametrize(
    ("condition", "etag", "applies"),
    [
        ('"a"', "a", True),
        ('W/"a"', "a", False),
        ("a", "a", False),
        ('"A"', "a", False),
        ('"a", "b"', "a", False),
        ('"a"', None, False),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "a", False),
        ("", None, False),
    ],
)
def test_if_range_needs_the_strong_entity_tag(condition: str, etag: str | None, applies: bool) -> None:
    assert (wanted("bytes=0-1", etag=etag, If_Range=condition) is not None) is applies
