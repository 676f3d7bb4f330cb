"""JSON with comments and trailing commas. Hostile input takes no longer than other input."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.web.request.json_body import json_body

APP = Flask("json")


def read(data: bytes) -> Any:
    with APP.test_request_context(method="POST", data=data):
        return json_body(request, 1_000_000)


@pytest.mark.parametrize(
    ("data", "document"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'{"a": [1, 2,], }', {"a": [1, 2]}),
        (b"[1, // one\n 2 /* two */, /* , */ ]", [1, 2]),
        (b'["// no", "/* no */", "a,]", "\\",]", ]', ["// no", "/* no */", "a,]", '",]']),
        (b"/**//***/[1]// end [", [1]),
        (b'["a"/*"*/,"b"/*"*/]', ["a", "b"]),
        (b"\xef\xbb\xbf[1]", [1]),
        (b"\xef\xbb\xbf[1,]", [1]),
        (b'[{"a": 18446744073709551615}, {"a": -1.5e3}]', [{"a": 18446744073709551615}, {"a": -1500.0}]),
    ],
)
def test_comments_and_trailing_commas_are_accepted(data: bytes, document: Any) -> None:
    assert read(data) == document


@pytest.mark.parametrize(
    "data",
    [
        *(b"[1,,2]", b"/* [1]", b'["a]', b"[1 2]", b"[/]", b"//", b"[1,] x", b"[1/**/2]"),
        *(b" ", b"\xef\xbb\xbf", b"\xff", b"[NaN]", b"[1e400]", b"[1]".replace(b"1", b"1" * 5000), b'["\\ud800"]'),
        *("[1]".encode("utf-16"), b"[" * 100_000, b"[" * 1020 + b"]" * 1020),
    ],
)
def test_bad_syntax_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"The syntax of the request body is invalid."):
        read(data)


@pytest.mark.parametrize("data", [b'{"a":1,"b":2,"a":3}', b'[{"b":[{"a":{}, /**/ "\\u0061":{}},]}]'])
def test_a_member_given_twice_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"The field 'a' in request body is invalid: It is given twice."):
        read(data)


@pytest.mark.parametrize("piece", [b'"', b'\\"', b'"\\', b"/*", b"/**", b"//", b",", b", ", b"*/", b"[", b'",', b"/"])
def test_hostile_bodies_take_no_longer_than_others(piece: bytes) -> None:
    for data in (piece * 300_000, b'"' + piece * 300_000, b"[" + piece * 300_000):
        with pytest.raises(InvalidRequest):
            read(data[:900_000])


LEAVES = st.none() | st.booleans() | st.text() | st.integers(-9, 9)


@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_valid_json_is_not_changed(document: Any) -> None:
    data = orjson.dumps(document)
    assert read(data) == document
    assert read(b"//\n" + data) == document
