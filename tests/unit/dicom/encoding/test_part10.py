"""Reading Part 10 files: valid ones, those with common deviations, and hostile ones (PS3.10 §7)."""

from __future__ import annotations

import mmap
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest

from app.dicom.encoding import limits
from app.dicom.encoding import part10 as files
from app.dicom.encoding.elements import Fragments, LargeValue
from app.dicom.encoding.limits import LimitExceeded
from app.dicom.encoding.part10 import inflated, parse
from app.errors import InvalidInstance
from tests.support import instances
from tests.support.raw_elements import EXPLICIT, IMPLICIT, SEQUENCE_END, UNDEFINED, element, implicit, item, part10

NAME = element(0x00100010, "PN", b"Doe^Jane")
SYNTAXES = [instances.IMPLICIT_LITTLE, instances.EXPLICIT_LITTLE, instances.EXPLICIT_BIG, instances.DEFLATED_LITTLE]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_uncompressed_syntax_is_read(syntax: str) -> None:
    found = parse(instances.ct(rows=4, columns=4, transfer_syntax=syntax))
    assert found.transfer_syntax.uid == syntax
    assert found.raw(0x00100020) == b"P1"
    assert found.integer(0x00280010) == 4
    assert found.integer(0x00020010) == 0
    assert found.integer(0x00200013) == 1
    assert found.pixel_data is not None
    assert found.pixel_data.length == 32


@pytest.mark.parametrize("syntax", [instances.IMPLICIT_LITTLE, instances.EXPLICIT_LITTLE])
def test_pixel_data_is_located_and_not_loaded(syntax: str) -> None:
    data = instances.make_instance(rows=8, columns=8, transfer_syntax=syntax)
    pixels = parse(data).pixel_data
    assert pixels is not None
    assert parse(data).raw(0x7FE00010) == b""
    assert data[pixels.offset : pixels.offset + pixels.length] == instances.frame(0, 8, 8)


def test_fragments_are_located() -> None:
    data = instances.encapsulated([[b"abcd", b"ef"], [b"gh"]], table="extended")
    pixels = parse(data).pixel_data
    assert pixels is not None
    assert isinstance(pixels.fragments, Fragments)
    found = zip(pixels.fragments.starts, pixels.fragments.sizes, strict=True)
    assert [data[start : start + size] for start, size in found] == [b"abcd", b"ef", b"gh"]
    assert pixels.extended is not None
    assert pixels.extended[0][1] == 16


def test_a_mapped_file_is_not_read_beyond_its_headers(tmp_path: Path) -> None:
    path = tmp_path / "large.dcm"
    length = 1 << 31
    path.write_bytes(part10(NAME + element(0x7FE00010, "OW", length=length)))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + length)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            tracemalloc.start()
            found = parse(mapped)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert found.pixel_data is not None
    assert found.pixel_data.length == length
    assert peak < 1 << 20


def test_a_view_of_larger_bytes_is_read_like_a_copy() -> None:
    data = instances.make_instance()
    assert parse(memoryview(b"x" + data + b"y")[1:-1]).elements == parse(data).elements


def test_sequences_of_defined_and_undefined_length_have_the_same_items() -> None:
    defined = element(0x00081140, "SQ", item(NAME) + item(NAME))
    body = item(NAME, UNDEFINED) + item(NAME, UNDEFINED) + SEQUENCE_END
    undefined = element(0x00081140, "SQ", body, UNDEFINED)
    for dataset in (defined, undefined):
        (sequence,) = parse(part10(dataset)).elements
        assert sequence.vr == "SQ"
        assert [[(e.tag, e.value) for e in each] for each in sequence.value] == [[(0x00100010, b"Doe^Jane")]] * 2


def test_unknown_of_undefined_length_is_an_implicit_sequence() -> None:
    body = item(implicit(0x00100020, b"P1")) + SEQUENCE_END
    (sequence, name) = parse(part10(element(0x00091001, "UN", body, UNDEFINED) + NAME)).elements
    assert (sequence.vr, sequence.value[0][0].vr, sequence.value[0][0].value) == ("SQ", "LO", b"P1")
    assert name.value == b"Doe^Jane"


def test_unknown_of_a_known_attribute_takes_the_dictionary_vr() -> None:
    elements = parse(part10(element(0x00100020, "UN", b"P1") + element(0x00091010, "UN", b"??"))).elements
    assert [(e.vr, e.value) for e in elements] == [("LO", b"P1"), ("UN", None)]


def test_a_sequence_of_vr_un_is_read_if_it_is_valid() -> None:
    body = item(implicit(0x00081155, b"1.2\0"))
    for value, vr in ((body, "SQ"), (body[:-3], "UN"), (b"not a sequence", "UN")):
        sequence, name = parse(part10(element(0x00081140, "UN", value) + NAME)).elements
        assert (sequence.vr, name.value) == (vr, b"Doe^Jane")


def test_an_implicit_element_in_an_explicit_dataset_is_read() -> None:
    assert parse(part10(implicit(0x00100020, b"P1") + NAME)).raw(0x00100020) == b"P1"


def test_explicit_elements_under_an_implicit_syntax_are_read() -> None:
    found = parse(part10(NAME, IMPLICIT))
    assert found.raw(0x00100010) == b"Doe^Jane"
    assert found.explicit


def test_an_unknown_vr_becomes_un() -> None:
    future = struct.pack("<HH2sHL", 0x0009, 0x1001, b"ZZ", 0, 4) + b"abcd"
    elements = parse(part10(future + NAME)).elements
    assert [(e.vr, e.value) for e in elements] == [("UN", None), ("PN", b"Doe^Jane")]


@pytest.mark.parametrize("signed, vr", [(0, "US"), (1, "SS")])
def test_implicit_choices_follow_the_pixel_representation(signed: int, vr: str) -> None:
    data = part10(implicit(0x00280103, struct.pack("<H", signed)) + implicit(0x00280106, b"\0\0"), IMPLICIT)
    assert parse(data).elements[1].vr == vr


def test_implicit_private_elements_are_un_and_private_creators_are_lo() -> None:
    data = part10(implicit(0x00090010, b"ACME") + implicit(0x00091001, b"xx") + implicit(0x60003000, b"\1\0"), IMPLICIT)
    assert [e.vr for e in parse(data).elements] == ["LO", "UN", "OW"]


@pytest.mark.parametrize("padding", [1, 7, 8, 3000])
def test_zero_padding_after_the_dataset_is_ignored(padding: int) -> None:
    for body, syntax in ((NAME, EXPLICIT), (implicit(0x00100010, b"Doe^Jane"), IMPLICIT)):
        assert len(parse(part10(body, syntax) + bytes(padding)).elements) == 1


def test_extra_and_missing_delimiters_are_accepted() -> None:
    stray = NAME + SEQUENCE_END + element(0x00100020, "LO", b"P1")
    assert [e.tag for e in parse(part10(stray)).elements] == [0x00100010, 0x00100020]
    no_item_end = element(0x00081140, "SQ", item(b"", UNDEFINED)[:8] + NAME + SEQUENCE_END, UNDEFINED)
    assert len(parse(part10(no_item_end + NAME)).elements) == 2
    inner = element(0x00081140, "SQ", item(NAME), UNDEFINED)
    assert len(parse(part10(element(0x00400260, "SQ", item(inner)) + NAME)).elements) == 2
    closed = element(0x00081140, "SQ", item(NAME) + SEQUENCE_END)
    assert len(parse(part10(closed + NAME)).elements) == 2
    open_item = element(0x00081140, "SQ", item(b"", UNDEFINED)[:8] + NAME)
    (sequence,) = parse(part10(open_item)).elements
    assert isinstance(sequence.value, tuple)
    assert len(sequence.value) == 1


def test_odd_lengths_and_wrong_group_lengths_are_accepted() -> None:
    data = part10(element(0x00100020, "LO", b"P12"))
    assert parse(data).raw(0x00100020) == b"P12"
    with_wrong_length = data.replace(
        struct.pack("<HH2sH", 2, 0, b"UL", 4) + data[140:144], struct.pack("<HH2sHL", 2, 0, b"UL", 4, 9)
    )
    assert with_wrong_length != data
    assert parse(with_wrong_length).raw(0x00100020) == b"P12"


def test_the_last_of_repeated_elements_counts() -> None:
    found = parse(part10(element(0x00100020, "LO", b"P1") + element(0x00100020, "LO", b"P2")))
    assert found.raw(0x00100020) == b"P2"


def _nested(depth: int) -> bytes:
    dataset = NAME
    for _ in range(depth):
        dataset = element(0x00081140, "SQ", item(dataset))
    return dataset


HOSTILE = {
    "empty": b"",
    "no preamble": part10(NAME)[128:],
    "no magic": bytes(200),
    "no transfer syntax": bytes(128) + b"DICM" + element(0x00020003, "UI", b"1.2\0") + NAME,
    "meta cut short": part10(NAME)[:150],
    "value beyond the end": part10(element(0x00100010, "PN", b"Doe", 200)),
    "bulk beyond the end": part10(element(0x7FE00010, "OW", b"1234", 1 << 31)),
    "header cut short": part10(NAME)[:-12],
    "long header cut short": part10(NAME + element(0x7FE00010, "OW", b"")[:-3]),
    "garbage after the dataset": part10(NAME) + b"garbage",
    "item outside of a sequence": part10(item(NAME)),
    "sequence without an end": part10(element(0x00081140, "SQ", item(NAME), UNDEFINED)),
    "item without an end": part10(element(0x00081140, "SQ", item(b"", UNDEFINED)[:8] + NAME, UNDEFINED)),
    "nested too deep": part10(_nested(limits.MAX_DEPTH + 1)),
    "fragments without an end": part10(element(0x7FE00010, "OB", item(b"") + item(b"ab"), UNDEFINED)),
    "fragment beyond the end": part10(element(0x7FE00010, "OB", item(b"") + item(b"ab", 1 << 31), UNDEFINED)),
    "undefined text": part10(element(0x00100020, "UT", b"", UNDEFINED)),
    "deflated garbage": part10(b"not deflated", instances.DEFLATED_LITTLE),
    "deflated and cut short": part10(zlib.compress(NAME * 99, wbits=-15)[:-9], instances.DEFLATED_LITTLE),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInstance, match=r"^The DICOM instance is invalid: .*\.$"):
        parse(data)


def test_sequences_nested_up_to_the_limit_are_read() -> None:
    assert len(parse(part10(_nested(limits.MAX_DEPTH))).elements) == 1


def test_a_deflated_stream_without_an_end_is_refused() -> None:
    stream = zlib.compressobj(wbits=-15)
    unfinished = stream.compress(NAME) + stream.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(InvalidInstance, match="deflated dataset is cut short"):
        parse(part10(unfinished, instances.DEFLATED_LITTLE))


def test_a_deflated_dataset_beyond_the_limit_is_refused() -> None:
    bomb = part10(zlib.compress(element(0x7FE00010, "OW", bytes(1 << 20)), wbits=-15), instances.DEFLATED_LITTLE)
    assert parse(bomb).pixel_data is not None
    with pytest.raises(InvalidInstance, match="more than 65536 bytes"):
        parse(bomb, inflate_limit=1 << 16)
    assert len(inflated(bomb, parse(bomb).dataset_offset)) == parse(bomb).size


def test_inflating_needs_the_memory_of_one_dataset_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 16 << 20
    bomb = part10(zlib.compress(element(0x7FE00010, "OW", bytes(size)), wbits=-15), instances.DEFLATED_LITTLE)
    alone = []

    def watched(*arguments: Any, **options: Any) -> bytearray:
        alone.append(files._INFLATING.locked())
        return inflated(*arguments, **options)

    monkeypatch.setattr(files, "inflated", watched)
    tracemalloc.start()
    try:
        parse(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert alone == [True]
    assert size < peak < size + (4 << 20)


def test_elements_up_to_the_limit_are_read_and_more_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = part10(element(0x00100020, "LO", b"P1") * 100_000)
    assert len(parse(data).elements) == 100_000
    monkeypatch.setattr(limits, "MAX_ELEMENTS", 1000)
    for many in (data, part10(element(0x00081140, "SQ", item(b"") * 2000))):
        with pytest.raises(LimitExceeded, match="more than 1000 elements"):
            parse(many)
    monkeypatch.setattr(limits, "MAX_TOTAL", 1000)
    fragments = element(0x7FE00010, "OB", item(b"") * 2000 + SEQUENCE_END, UNDEFINED)
    with pytest.raises(LimitExceeded, match="more than 1000 fragments"):
        parse(part10(fragments))


def test_long_values_are_not_loaded_and_headers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    long = element(0x00420011, "UT", b"x" * 5000)
    monkeypatch.setattr(limits, "MAX_VALUE", 4096)
    value = parse(part10(long + NAME)).elements[0].value
    assert isinstance(value, LargeValue)
    assert (value.length, value.read(0, 9000)) == (5000, b"x" * 5000)
    monkeypatch.setattr(limits, "MAX_HEADER", 4096)
    assert len(parse(part10(long * 3 + NAME)).elements) == 4
    with pytest.raises(LimitExceeded, match="header needs more than 4096 bytes of memory"):
        parse(part10(element(0x00081140, "SQ", item(NAME * 300))))
