"""The multipart reader: the parts that it yields, for chunks of any size, and the bodies that it refuses."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest, TooLarge
from app.web.request import multipart
from app.web.request.body import CHUNK
from app.web.request.multipart import MultipartReader

LIMIT = 1 << 31


class ChunkedSource:
    """A source that returns its bytes in the given chunks."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def read(self, size: int) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]


def parts(body: bytes, boundary: str = "b", limit: int = LIMIT) -> list[tuple[str | None, bytes]]:
    return [(part.content_type, part.read()) for part in MultipartReader(BytesIO(body), boundary, limit)]


def test_a_part_and_its_type() -> None:
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\nDATA\r\n--b--\r\n"
    assert parts(body) == [("application/dicom", b"DATA")]


@pytest.mark.parametrize(
    "body",
    [
        b"a preamble\r\n--b\r\n\r\nDATA\r\n--b--\r\nan epilogue",
        b"--bb\r\nnot yet\r\n--b\r\n\r\nDATA\r\n--b--",
        b"\r\n--b\r\n\r\nDATA\r\n--b--",
        b"--b \t \r\n\r\nDATA\r\n--b-- \r\n",
        b"--b\n\nDATA\n--b--\n",
        b"--b\r\n\r\nDATA\r\n--b--\r\n--b\r\n\r\nafter the end\r\n--b--",
    ],
    ids=["preamble and epilogue", "preamble with a longer boundary", "leading line", "padding", "bare LF", "after end"],
)
def test_bytes_around_the_parts_are_skipped(body: bytes) -> None:
    assert parts(body) == [(None, b"DATA")]


@pytest.mark.parametrize(
    "data", [b"", b"\r\n", b"--bX", b"\r\n--", b"\r\n--bX", b"\n--b--", b"\r\n-", b"\r", b"\0" * 100, b"\r\n--b x"]
)
def test_data_that_resembles_a_boundary_is_data(data: bytes) -> None:
    body = b"--b\r\nContent-Type: t\r\n\r\n" + data + b"\r\n--b\r\n\r\nNEXT\r\n--b--"
    assert parts(body) == [("t", data), (None, b"NEXT")]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_an_empty_part_without_its_empty_line_does_not_swallow_the_next(size: int) -> None:
    body = b"--b\r\nContent-Type: t\r\n\r\n--b\r\n\r\nDATA\r\n--b\r\n\r\n--b--"
    source = ChunkedSource([body[at : at + size] for at in range(0, len(body), size)])
    found = [(part.content_type, part.read()) for part in MultipartReader(source, "b", LIMIT)]
    assert found == [("t", b""), (None, b"DATA"), (None, b"")]


@pytest.mark.parametrize("header", [b"content-type:t", b"X: y\r\nCONTENT-TYPE :  t ", b"Content-Type:\r\n t"])
def test_headers_in_any_case_and_folded(header: bytes) -> None:
    assert parts(b"--b\r\n" + header + b"\r\n\r\nDATA\r\n--b--") == [("t", b"DATA")]


def test_no_parts() -> None:
    assert parts(b"--b--") == []
    assert parts(b"preamble\r\n--b--\r\n") == []


@pytest.mark.parametrize(
    "body",
    [
        b"no boundary at all",
        b"--c\r\n\r\nDATA\r\n--c--",
        b"--b",
        b"--b\r\n",
        b"--b\r\nContent-Type: t",
        b"--b\r\n\r\nDATA",
        b"--b\r\n\r\nDATA\r\n--b",
        b"--b\r\n\r\nDATA\r\n--b-",
        b"--b\r\nno colon\r\n\r\nDATA\r\n--b--",
        b"--b\r\nX: " + b"x" * multipart.MAX_HEADER_BYTES + b"\r\n\r\nDATA\r\n--b--",
        b"--b\r\n" + b"X: x\r\n" * 100_000,
    ],
)
def test_a_malformed_body_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parts(body)


def test_a_part_over_its_limit_is_refused_and_one_at_its_limit_is_not() -> None:
    body = b"--b\r\n\r\n12345\r\n--b\r\n\r\n123456\r\n--b--"
    reader = iter(MultipartReader(BytesIO(body), "b", 5))
    assert next(reader).read() == b"12345"
    with pytest.raises(TooLarge, match="limit of 5 bytes"):
        next(reader).read()


def test_the_limit_applies_to_a_part_that_is_not_read() -> None:
    reader = iter(MultipartReader(BytesIO(b"--b\r\n\r\n123456\r\n--b--"), "b", 5))
    next(reader)
    with pytest.raises(TooLarge):
        next(reader)


def test_too_many_parts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "MAX_PARTS", 2)
    with pytest.raises(InvalidRequest, match="more than 2 parts"):
        parts(b"--b\r\n\r\n\r\n" * 3 + b"--b--")


def test_a_read_returns_at_most_its_size_and_the_unread_rest_is_skipped() -> None:
    body = b"--b\r\n\r\n" + b"x" * 10 + b"\r\n--b\r\n\r\nNEXT\r\n--b--"
    reader = iter(MultipartReader(ChunkedSource([body[i : i + 3] for i in range(0, len(body), 3)]), "b", LIMIT))
    first = next(reader)
    assert [first.read(4), first.read(0), first.read(4)] == [b"xxxx", b"", b"xxxx"]
    second = next(reader)
    assert first.read() == b""
    assert [second.read(), second.read(), second.read(1)] == [b"NEXT", b"", b""]
    assert next(reader, None) is None


def test_a_chunk_that_cannot_end_in_the_start_of_a_boundary_goes_through_without_a_copy() -> None:
    chunks = [b"--b\r\n\r\n" + b"1" * 100, b"2" * 100, b"3" * 99 + b"\r", b"4" * 100, b"\r\n--b--"]
    part = next(iter(MultipartReader(ChunkedSource(list(chunks)), "b", LIMIT)))
    read = [part.read(1000) for _ in range(5)]
    assert read[1] is chunks[1]
    assert read == [b"1" * 100, b"2" * 100, b"3" * 99, b"\r" + b"4" * 100, b""]


@pytest.mark.parametrize("size", [0, 40_000, 65_536, 200_000])
def test_a_boundary_is_found_wherever_it_is(size: int) -> None:
    for more in range(-20, 20):
        data = b"x" * max(0, size + more)
        body = b"--b\r\n\r\n" + data + b"\r\n--b\r\n\r\n" + data + b"\r\n--b--"
        assert parts(body) == [(None, data), (None, data)]


def test_the_steps_grow_linearly_with_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The buffer is rebuilt once a chunk, not once a part."""
    fills = []
    fill = MultipartReader._fill
    monkeypatch.setattr(
        MultipartReader, "_fill", lambda reader: fills.append(len(reader._buffer) - reader._at) or fill(reader)
    )
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + b"x" * 100
    body = b"\r\n".join([body] * 10_000) + b"\r\n--b--"
    assert sum(1 for _ in MultipartReader(BytesIO(body), "b", LIMIT)) == 10_000
    assert len(fills) < len(body) / CHUNK + 3
    assert max(fills) < 1_000


@given(
    contents=st.lists(
        st.tuples(
            st.none() | st.just("application/dicom"), st.binary() | st.text("\r\n-bx \t", max_size=40).map(str.encode)
        ),
        max_size=4,
    ),
    newline=st.sampled_from([b"\r\n", b"\n"]),
    preamble=st.sampled_from([b"", b"preamble", b"two\r\nlines", b"--", b"--bb"]),
    epilogue=st.sampled_from([b"", b"\r\n", b"\r\nepilogue", b"\r\n--b--"]),
    chunking=st.data(),
)
def test_any_chunking_yields_the_same_parts(
    contents: list[tuple[str | None, bytes]], newline: bytes, preamble: bytes, epilogue: bytes, chunking: st.DataObject
) -> None:
    contents = [(kind, data.replace(b"--b", b"--x")) for kind, data in contents]
    body = preamble + newline if preamble else b""
    for kind, data in contents:
        head = b"Content-Type: " + kind.encode() + newline if kind else b""
        body += b"--b" + newline + head + newline + data + newline
    body += b"--b--" + epilogue
    cuts = chunking.draw(st.lists(st.integers(0, len(body)), max_size=12).map(sorted) | st.just(list(range(len(body)))))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    reader = MultipartReader(ChunkedSource(pieces), "b", LIMIT)
    assert [(part.content_type, part.read()) for part in reader] == contents


@given(body=st.binary() | st.lists(st.sampled_from([b"--b", b"\r\n", b"\n", b"--", b":", b"x", b" "])).map(b"".join))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    try:
        for part in MultipartReader(BytesIO(body), "b", 50):
            part.read()
    except (InvalidRequest, TooLarge):
        return
