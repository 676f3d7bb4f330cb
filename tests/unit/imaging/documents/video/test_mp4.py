"""MP4 files around raw H.264 streams. The boxes are read back without the code of the service."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ImageFailure
from app.imaging.documents.video import samples as samples_module
from app.imaging.documents.video.mp4 import TIMESCALE, Mp4File
from app.imaging.documents.video.nal_units import nal_units
from app.imaging.documents.video.samples import stream_samples
from tests.support.h264 import (
    START,
    grey_stream,
    nal_unit,
    picture_parameters,
    sequence_parameters,
    slice_unit,
)

CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf")
FRAME = TIMESCALE // 25


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield kind, content and place of the content of each box, those within containers after their container."""
    position = 0
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, position + 8)
            head = 16
        assert size >= head
        content = data[position + head : position + size]
        assert len(content) == size - head
        yield kind, content, position + head
        if kind in CONTAINERS:
            yield from boxes(content)
        position += size


def file_of(stream: bytes, duration: int = FRAME) -> bytes:
    file = Mp4File(stream_samples([stream]), duration)
    data = b"".join(file.read(lambda start, length: iter((stream[start : start + length],)), 0, file.size))
    assert len(data) == file.size
    return data


def table(content: bytes) -> list[int]:
    """Return the numbers of a box, without its version and flags."""
    return list(struct.unpack(f">{len(content) // 4 - 1}I", content[4:]))


def units(stream: bytes) -> list[bytes]:
    """Return the NAL units of a stream, found in the simplest way."""
    return [unit.rstrip(b"\0") for unit in stream.split(b"\0\0\1")[1:]]


def test_the_samples_are_the_units_of_the_stream_in_their_order() -> None:
    stream = grey_stream([16, 128, 235], 2, 1)
    data = file_of(stream)
    found = {kind: (content, place) for kind, content, place in boxes(data)}
    assert list(found)[:2] == [b"ftyp", b"moov"]
    sizes = table(found[b"stsz"][0])[2:]
    (offset,) = struct.unpack(">Q", found[b"co64"][0][8:])
    assert offset == found[b"mdat"][1]
    assert sum(sizes) == len(found[b"mdat"][0])
    read, position = [], 0
    media = found[b"mdat"][0]
    while position < len(media):
        (size,) = struct.unpack_from(">I", media, position)
        read.append(media[position + 4 : position + 4 + size])
        position += 4 + size
    assert read == units(stream)
    assert len(sizes) == 3


def test_the_head_describes_the_stream() -> None:
    data = file_of(sequence_parameters(3, 2, right=4) + picture_parameters() + slice_unit(order=0, idr=True))
    found = {kind: content for kind, content, _ in boxes(data)}
    assert struct.unpack(">II", found[b"tkhd"][-8:]) == (40 << 16, 32 << 16)
    assert struct.unpack(">IQ", found[b"mdhd"][20:32]) == (TIMESCALE, FRAME)
    assert table(found[b"stts"]) == [1, 1, FRAME]
    assert table(found[b"stss"]) == [1, 1]
    entry = found[b"stsd"]
    assert entry[12:16] == b"avc3"
    parameters = units(sequence_parameters(3, 2, right=4))[0]
    configuration = entry[entry.index(b"avcC") + 4 :]
    assert configuration[:8] == b"\x01" + parameters[1:4] + b"\xff\xe1" + struct.pack(">H", len(parameters))
    assert configuration[8:].startswith(parameters)


def test_pictures_are_shown_in_the_order_of_their_counts() -> None:
    """The third picture is decoded third and shown second. Counts begin anew after 15, and at each IDR picture.

    Pictures whose count is 4 or 12 are no references.
    """
    orders = [(0, True), (8, False), (4, False), (0, False), (12, False), (0, True), (4, False)]
    slices = [
        slice_unit(order=order, idr=idr, number=number, reference=order not in (4, 12))
        for number, (order, idr) in enumerate(orders)
    ]
    data = file_of(sequence_parameters(order_type=0) + picture_parameters() + b"".join(slices))
    found = {kind: content for kind, content, _ in boxes(data)}
    delays = table(found[b"ctts"])[1:]
    (begin,) = struct.unpack_from(">q", found[b"elst"], 16)
    shown = [(index * FRAME + delay - begin) // FRAME for index, delay in enumerate(delays[1::2])]
    assert shown == [0, 2, 1, 4, 3, 5, 6]
    assert table(found[b"stss"]) == [2, 1, 6]


def test_the_time_of_a_frame_is_shortened_if_a_delay_would_not_fit() -> None:
    """Nine pictures of the greatest time each come before the second one in the display."""
    slices = [slice_unit(order=0, idr=True), slice_unit(order=14, number=1)]
    slices += [slice_unit(order=order, number=2, reference=False) for order in range(7, 14)]
    data = file_of(sequence_parameters(order_type=0) + picture_parameters() + b"".join(slices), 0xFFFFFFFF)
    found = {kind: content for kind, content, _ in boxes(data)}
    assert max(table(found[b"ctts"])[2::2]) <= 0xFFFFFFFF
    assert 0 < table(found[b"stts"])[2] < 0xFFFFFFFF


def test_slices_of_one_picture_are_one_sample() -> None:
    slices = [slice_unit(order=0, idr=True), slice_unit(order=0, idr=True, first=3), slice_unit(order=2, number=1)]
    found = {
        kind: content
        for kind, content, _ in boxes(
            file_of(sequence_parameters(order_type=0) + picture_parameters() + b"".join(slices))
        )
    }
    assert table(found[b"stsz"])[1] == 2


def test_delimiters_are_left_out_and_messages_belong_to_the_next_picture() -> None:
    message = nal_unit(6, b"\x05\x01\x00\x80")
    stream = sequence_parameters() + picture_parameters()
    stream += b"".join(
        START + b"\x09\x10" + message + slice_unit(order=0, idr=True, number=number) for number in range(3)
    )
    kept = [unit for unit in units(stream) if unit[0] != 9]
    samples = stream_samples([stream])
    assert samples.unit_counts.tolist() == [4, 2, 2]
    assert len(samples.offsets) == len(kept)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100, 1 << 20])
def test_the_units_do_not_depend_on_the_chunks(size: int) -> None:
    stream = grey_stream([16, 128, 235]) + b"\0\0\0"
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
    found = list(nal_units(chunks))
    assert [stream[unit.offset : unit.offset + unit.length] for unit in found] == units(stream)
    assert all(stream[unit.offset :].startswith(unit.begin) for unit in found)


@given(
    st.lists(st.sampled_from([b"\0", b"\1", b"\0\0\1", b"\x67", b"\0\0\0\1\x65", b"x" * 600]), max_size=20),
    st.integers(1, 9),
)
def test_the_units_of_any_bytes_do_not_depend_on_the_chunks(pieces: list[bytes], size: int) -> None:
    stream = b"".join(pieces)
    whole = list(nal_units([stream]))
    assert list(nal_units(stream[start : start + size] for start in range(0, len(stream), size))) == whole


def test_any_range_is_a_part_of_the_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.imaging.documents.video.mp4._PIECE", 700)
    stream = grey_stream([16, 128, 235, 40])
    file = Mp4File(stream_samples([stream]), FRAME)
    reads: list[int] = []

    def read_stream(start: int, length: int) -> Iterator[bytes]:
        reads.append(length)
        yield stream[start : start + length // 2]
        yield stream[start + length // 2 : start + length]

    whole = b"".join(file.read(read_stream, 0, file.size))
    assert whole == file_of(stream)
    assert max(reads) < 1500
    for start in range(0, file.size, 97):
        for length in (1, 50, 900, file.size):
            assert b"".join(file.read(read_stream, start, length)) == whole[start : start + length]


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"", "no parameter sets"),
        (b"no video at all", "no parameter sets"),
        (slice_unit(order=0, idr=True), "no parameter sets"),
        (sequence_parameters() + slice_unit(order=0, idr=True), "no parameter sets"),
        (sequence_parameters() + picture_parameters(), "no pictures"),
        (START + b"\x67\x42", "cut short"),
        (START + b"\x67" + b"\0\0\3" * 40, "cannot be read"),
        (START + b"\x67" + b"\xff" * 600, "too long"),
        (sequence_parameters() + picture_parameters() + START + b"\x65", "cut short"),
        (sequence_parameters(60_000, 60_000) + picture_parameters(), "no usable sequence parameter set"),
    ],
)
def test_a_stream_that_no_file_can_be_made_of_says_why(stream: bytes, reason: str) -> None:
    with pytest.raises(ImageFailure, match=reason):
        stream_samples([stream])


def test_the_number_of_units_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples_module, "MAX_UNITS", 50)
    with pytest.raises(ImageFailure, match="without a picture"):
        stream_samples([nal_unit(6, b"x") * 60])
    with pytest.raises(ImageFailure, match="more than 50 units"):
        stream_samples([grey_stream([1] * 60)])


@given(st.binary(max_size=60), st.integers(0, 30))
def test_damaged_streams_give_a_file_or_a_reason(noise: bytes, place: int) -> None:
    stream = bytearray(sequence_parameters(order_type=0) + picture_parameters() + slice_unit(order=0, idr=True) * 3)
    stream[place : place + len(noise)] = noise
    try:
        file_of(bytes(stream))
    except ImageFailure as failure:
        assert str(failure).startswith("The H.264 stream has")
