"""The decoder of request bodies: any size of reads and of chunks, and bounded memory."""

from __future__ import annotations

import gzip
import os
import random
import tracemalloc
from io import BytesIO

import pytest
import zstandard

from app.errors import InvalidRequest
from app.web.request import decoding
from app.web.request.body import Body
from app.web.request.decoding import DecodedBody, coding_of

ENCODE = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}


def decoded(encoded: bytes, coding: str, limit: int = 1 << 31) -> DecodedBody:
    found = coding_of(coding)
    assert found
    return DecodedBody(Body(BytesIO(encoded), len(encoded), limit), found)


@pytest.mark.parametrize("coding", ENCODE)
@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
def test_reads_of_any_size(coding: str, size: int) -> None:
    data = os.urandom(5000) + bytes(100_000) + b"text " * 3000
    body = decoded(ENCODE[coding](data), coding)
    assert b"".join(iter(lambda: body.read(size), b"")) == data
    assert body.read(size) == b""


@pytest.mark.parametrize("coding", ENCODE)
def test_every_cut_is_an_error(coding: str) -> None:
    encoded = ENCODE[coding](random.Random(1).randbytes(100) + b"a" * 300)
    for length in range(1, len(encoded)):
        with pytest.raises(InvalidRequest, match="could not be decoded"):
            decoded(encoded[:length], coding).read(1 << 20)


@pytest.mark.parametrize("coding", ENCODE)
def test_a_bomb_takes_little_memory(coding: str) -> None:
    encoded = ENCODE[coding](bytes(200_000_000))
    body = decoded(encoded, coding)
    tracemalloc.start()
    assert sum(map(len, iter(lambda: body.read(1 << 20), b""))) == 200_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 << 20


def test_a_large_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=24)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    encoded = compressor.compress(os.urandom(1000)) + compressor.flush()
    with pytest.raises(InvalidRequest, match="could not be decoded"):
        decoded(encoded, "zstd").read(1)


@pytest.mark.parametrize("coding", ENCODE)
def test_the_number_of_members_is_limited(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_MEMBERS", 3)
    assert decoded(ENCODE[coding](b"a") * 3, coding).read(9) == b"aaa"
    with pytest.raises(InvalidRequest, match="could not be decoded"):
        decoded(ENCODE[coding](b"a") * 4, coding).read(9)


@pytest.mark.parametrize("coding", ENCODE)
def test_an_empty_body_is_missing(coding: str) -> None:
    with pytest.raises(InvalidRequest, match="missing"):
        decoded(b"", coding).read(1)
