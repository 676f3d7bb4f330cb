"""Tables of frames: where each frame is in its file (PS3.5 §8.2, §A.4)."""

from __future__ import annotations

import random
import struct
import tracemalloc

import pytest

from app.dicom.encoding.frames import FrameTable, frame_table
from app.dicom.encoding.part10 import inflated, parse
from app.errors import NotFound
from tests.support import instances

JPEG = b"\xff\xd8\xff\xe0"


def frames(data: bytes) -> list[bytes]:
    """All frames, by a table that went through its packed form."""
    found = parse(data)
    table = frame_table(data, found)
    assert FrameTable.unpack(table.pack()) == table
    if table.deflated:
        data = bytes(inflated(data, found.dataset_offset))
    return [
        table.cut(number, b"".join(data[start : start + length] for start, length in table.ranges(number)))
        for number in range(1, table.frames + 1)
    ]


@pytest.mark.parametrize("syntax", [instances.IMPLICIT_LITTLE, instances.EXPLICIT_LITTLE, instances.DEFLATED_LITTLE])
@pytest.mark.parametrize("number", [1, 5])
def test_native_frames(syntax: str, number: int) -> None:
    data = instances.make_instance(frames=number, rows=3, columns=5, transfer_syntax=syntax)
    assert frames(data) == [instances.frame(k, 3, 5) for k in range(number)]


@pytest.mark.parametrize("table", ["basic", "extended", "none"])
def test_encapsulated_frames_of_one_fragment(table: str) -> None:
    pictures = [b"%04d" % k for k in range(7)]
    assert frames(instances.encapsulated([[picture] for picture in pictures], table=table)) == pictures


@pytest.mark.parametrize("table", ["basic", "extended", "none"])
@pytest.mark.parametrize("start", [JPEG, b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ", b"\xff\x0a"])
def test_encapsulated_frames_of_several_fragments(table: str, start: bytes) -> None:
    pictures = [[start + b"ab", b"cdef"], [start + b"gh"], [start + b"ij", b"kl", b"mnop"]]
    assert frames(instances.encapsulated(pictures, table=table)) == [b"".join(each) for each in pictures]


def test_a_single_frame_has_all_fragments() -> None:
    assert frames(instances.encapsulated([[b"ab", b"cd", b"ef"]], table="none")) == [b"abcdef"]


def test_a_wrong_offset_table_is_ignored() -> None:
    data = instances.encapsulated([[b"abcd"], [b"efgh"]])
    assert frames(data.replace(struct.pack("<2I", 0, 12), struct.pack("<2I", 0, 11))) == [b"abcd", b"efgh"]
    assert frames(data.replace(struct.pack("<2I", 0, 12), struct.pack("<2I", 12, 12))) == [b"abcd", b"efgh"]
    three = instances.encapsulated([[b"abcd", b"ef"], [b"gh"]])
    assert frames(three.replace(struct.pack("<2I", 0, 22), struct.pack("<2I", 12, 22))) == []


def test_an_offset_table_of_more_frames_than_fragments_is_ignored() -> None:
    count = 200_000
    data = instances.encapsulated(
        [[b"ab"]], NumberOfFrames=str(count), ExtendedOffsetTable=bytes(8 * count), ExtendedOffsetTableLengths=b""
    )
    found = parse(data)
    tracemalloc.start()
    assert frame_table(data, found).frames == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_frames_that_nothing_separates_are_not_found() -> None:
    assert frames(instances.encapsulated([[b"ab", b"cd"], [b"ef"]], table="none")) == []
    assert frames(instances.encapsulated([[b"ab"]], table="none", NumberOfFrames="9")) == []


@pytest.mark.parametrize(
    "attributes",
    [{"rows": 0}, {"BitsAllocated": None}, {"NumberOfFrames": "x", "Rows": None}, {"pixel": False}, {"pixel": b""}],
)
def test_images_without_a_complete_frame(attributes: dict[str, object]) -> None:
    assert frames(instances.make_instance(**attributes)) == []


@pytest.mark.parametrize(
    "claim, count", [("999999999", 2), ("0", 2), ("-5", 2), ("junk", 2), (None, 2), ("1", 2), ("2\\3", 2)]
)
def test_incomplete_frames_are_not_counted(claim: str | None, count: int) -> None:
    data = instances.make_instance(rows=2, columns=2, pixel=bytes(16), NumberOfFrames=claim)
    assert len(frames(data)) == count


def test_a_number_beyond_the_last_frame_is_not_found() -> None:
    data = instances.make_instance(frames=2)
    table = frame_table(data, parse(data))
    for number in (0, -1, 3, 10**12):
        with pytest.raises(NotFound, match=r"^The specified frame cannot be found\.$"):
            table.ranges(number)


def test_frames_of_packed_bits_may_begin_within_a_byte() -> None:
    """Three frames of 3 x 5 single bits, least significant first."""
    pictures = [[random.Random(k).randrange(2) for _ in range(15)] for k in range(3)]
    bits = [bit for picture in pictures for bit in picture] + [0] * 3
    packed = bytes(sum(bit << n for n, bit in enumerate(bits[k : k + 8])) for k in range(0, 48, 8))
    data = instances.make_instance(rows=3, columns=5, frames=3, pixel=packed, BitsAllocated=1, BitsStored=1, HighBit=0)
    found = frames(data)
    assert [[picture[n // 8] >> n % 8 & 1 for n in range(15)] for picture in found] == pictures
    assert [len(picture) for picture in found] == [2, 2, 2]


@pytest.mark.parametrize("name", ["YBR_FULL_422", "YBR_PARTIAL_422"])
@pytest.mark.parametrize("size", [8, 12])
def test_subsampled_colour_has_two_thirds_of_the_samples_unless_all_are_present(name: str, size: int) -> None:
    colour = {"SamplesPerPixel": 3, "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    pixels = bytes(range(2 * size))
    data = instances.make_instance(rows=2, columns=2, frames=2, pixel=pixels, PhotometricInterpretation=name, **colour)
    assert frames(data) == [pixels[:size], pixels[size:]]


def test_float_pixel_data() -> None:
    values = struct.pack("<8f", *range(8))
    data = instances.make_instance(
        rows=2, columns=2, frames=2, pixel=False, Rows=2, Columns=2, BitsAllocated=32, SamplesPerPixel=1,
        NumberOfFrames="2", FloatPixelData=values,
    )  # fmt: skip
    assert frames(data) == [values[:16], values[16:]]


def test_a_table_of_ten_thousand_frames_is_small() -> None:
    native = instances.make_instance(rows=1, columns=1, frames=10_000)
    assert len(frame_table(native, parse(native)).pack()) < 100
    noise = random.Random(0)
    data = instances.encapsulated([[bytes(noise.randrange(100, 9000))] for _ in range(10_000)])
    assert len(frame_table(data, parse(data)).pack()) < 30_000
    assert len(frames(data)) == 10_000


def test_a_table_of_an_unknown_version_is_refused() -> None:
    import zstandard

    with pytest.raises(ValueError, match="unknown version"):
        FrameTable.unpack(zstandard.compress(b"\xff" * 64))
