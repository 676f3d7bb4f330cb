"""Damaged frames of every syntax. Each gives samples of the right shape or an `ImageFailure`, never anything else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import ImageFailure
from app.imaging.decoding.decoder import FrameDecoder
from app.imaging.pixels import native
from tests.support.codestreams import NAMES, compressed_frame


@pytest.fixture(scope="module")
def decoder() -> Iterator[FrameDecoder]:
    """A decoder with two processes."""
    found = FrameDecoder(processes=2)
    yield found
    found.close()


def decode(decoder: FrameDecoder, name: str, data: bytes) -> None:
    """Decode a frame that may be damaged. It is refused, or it has the type and the shape of its description."""
    description = compressed_frame(name).description
    try:
        decoded = decoder.decode(description, data)
    except ImageFailure as failure:
        assert "The decoding process ended" not in str(failure)
        assert "longer than" not in str(failure)
        return
    assert decoded.samples.shape == native.shape(description)
    assert decoded.samples.dtype == native.container(description)


@pytest.mark.parametrize("name", ["JPEG-LS", "JPEG 2000", "JPEG lossless", "HTJ2K", "RLE", "JPEG XL"])
def test_a_frame_with_a_hole_in_the_middle(decoder: FrameDecoder, name: str) -> None:
    data = compressed_frame(name).data
    decode(decoder, name, data[: len(data) // 2] + data[len(data) // 2 + 9 :])


def test_frames_after_a_damaged_one_are_whole(decoder: FrameDecoder) -> None:
    for name in ("RLE", "JPEG 2000", "HTJ2K"):
        frame = compressed_frame(name)
        decode(decoder, name, frame.data[: len(frame.data) // 2])
        np.testing.assert_array_equal(decoder.decode(frame.description, frame.data).samples, frame.samples)


@pytest.mark.thorough
@given(
    name=st.sampled_from(NAMES),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    kept=st.floats(0.02, 1),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
def test_changed_bytes_and_missing_ends(
    decoder: FrameDecoder, name: str, changes: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(compressed_frame(name).data)
    for place, byte in changes:
        data[int(place * len(data))] = byte
    decode(decoder, name, bytes(data[: int(kept * len(data))]))
