"""Elements too large for memory: their JSON text equals that of the same elements in memory (PS3.18 §F.2)."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import orjson
import pytest

from app.dicom.encoding import limits
from app.dicom.encoding.elements import LargeValue
from app.dicom.encoding.part10 import parse
from app.dicom.encoding.transcode import to_explicit_little
from app.dicom.json import large
from app.dicom.json.bulk_data_texts import without_bulk_data
from app.dicom.json.model import describe
from tests.support.instances import EXPLICIT_BIG, IMPLICIT_LITTLE, ct
from tests.support.raw_elements import SEQUENCE_END, UNDEFINED, element, item, part10

CONTOURS, POINTS = 0x30060039, 0x30060050


def text_of(file: bytes) -> Any:
    return orjson.loads(b"".join(describe(parse(file)).text()))


def roi_contours(items: int, *, undefined: bool = False) -> bytes:
    """Items with a value, a sequence and a character set of their own."""
    length = UNDEFINED if undefined else None
    body = b"".join(
        item(
            element(0x00080005, "CS", b"ISO_IR 192")
            + element(0x00081140, "SQ", item(element(0x00081155, "UI", b"1.2\0"), length) * 3)
            + element(0x30060026, "LO", "Härz ".encode())
            + element(POINTS, "DS", b"1.5\\-2\\%04d" % number),
            length,
        )
        for number in range(items)
    )
    return element(CONTOURS, "SQ", body + SEQUENCE_END, UNDEFINED) if undefined else element(CONTOURS, "SQ", body)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes are large."""
    monkeypatch.setattr(limits, "LARGE", 50)
    monkeypatch.setattr(limits, "MAX_VALUE", 64)
    monkeypatch.setattr(large, "PIECE", 24)


FILES = {
    "contours": part10(roi_contours(5) + element(0x300E0002, "CS", b"APPROVED")),
    "contours of undefined length": part10(roi_contours(5, undefined=True) + element(0x300E0002, "CS", b"APPROVED")),
    "a large sequence in a large one": part10(element(0x00081115, "SQ", item(roi_contours(4)) * 3)),
    "ct": ct(rows=2, columns=2),
    "implicit": ct(rows=2, columns=2, transfer_syntax=IMPLICIT_LITTLE),
    "big endian": ct(rows=2, columns=2, transfer_syntax=EXPLICIT_BIG),
    "decimals": part10(element(POINTS, "DS", b"\\".join(b"%d.5" % n for n in range(100)))),
    "numbers": part10(element(0x00189820, "FD", struct.pack("<50d", *range(50)))),
    "a text": part10(element(0x0040A160, "UT", b"\\text " * 40)),
    "names": part10(element(0x00100010, "PN", b"\\".join([b"Doe^Jane"] * 20))),
    "nothing but backslashes": part10(element(0x00181030, "LO", b"\\" * 100)),
}


@pytest.mark.parametrize("name", FILES)
def test_the_text_is_the_same_for_any_limits(name: str, small_limits: None, monkeypatch: pytest.MonkeyPatch) -> None:
    streamed, problems = text_of(FILES[name]), describe(parse(FILES[name])).problems
    written = b"".join(to_explicit_little(FILES[name], parse(FILES[name])))
    monkeypatch.undo()
    assert streamed == text_of(FILES[name])
    assert list(streamed) == sorted(streamed)
    assert {each.tag for each in problems} == {each.tag for each in describe(parse(FILES[name])).problems}
    assert written == b"".join(to_explicit_little(FILES[name], parse(FILES[name])))


def test_an_odd_element_in_a_large_sequence_is_reported(small_limits: None) -> None:
    odd = item(element(0x00081140, "SQ", b"text") + element(0x00080100, "SH", b"code"))
    description = describe(parse(part10(element(0x00081115, "SQ", odd * 10))))
    assert [(each.tag, each.nested) for each in description.problems] == [(0x00081140, True)]
    found = orjson.loads(b"".join(without_bulk_data(description.text())))
    assert found["00081115"]["Value"] == [{"00080100": {"vr": "SH", "Value": ["code"]}}] * 10


def test_an_invalid_value_in_a_large_sequence_is_reported(small_limits: None) -> None:
    body = item(element(0x00080020, "DA", b"20240115")) * 9 + item(element(0x00080020, "DA", b"2O240115"))
    (problem,) = describe(parse(part10(element(0x00081115, "SQ", body)))).problems
    assert (problem.tag, problem.nested, "2O240115" in problem.text) == (0x00080020, True, True)


@pytest.mark.parametrize(("tag", "vr", "too_long"), [(0x0040A160, "UT", False), (0x00081190, "UR", True)])
def test_a_text_that_is_too_long_for_metadata_has_a_place_or_is_a_problem(
    tag: int, vr: str, too_long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PS3.18 §F.2.2 permits no BulkDataURI for UR."""
    monkeypatch.setattr(large, "MAX_TEXT", 1 << 20)
    size = (1 << 20) + 2
    file = part10(element(tag, vr, b"x" * size))
    assert isinstance(parse(file).elements[0].value, LargeValue)
    description = describe(parse(file))
    assert [each.text for each in description.problems] == ([large.TOO_LONG] if too_long else [])
    offset = len(file) - size
    places = {} if too_long else {"BulkDataURI": f"{tag:08X}?{offset},{size}"}
    assert text_of(file)[f"{tag:08X}"] == {"vr": vr} | places


def test_the_last_of_repeated_elements_counts() -> None:
    many = element(0x00181030, "LO", b"\\".join([b"value"] * 10_000))
    for file in (part10(many + element(0x00181030, "LO", b"last")), part10(element(0x00181030, "LO", b"one ") + many)):
        assert len(text_of(file)["00181030"]["Value"]) == (1 if file.endswith(b"last") else 10_000)


@pytest.mark.parametrize("undefined", [False, True])
def test_memory_does_not_grow_with_the_items(undefined: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LARGE", 1 << 16)
    monkeypatch.setattr(large, "_MEMORY", 1 << 16)
    describe(parse(part10(roi_contours(5000))))  # the cache of short values is full from here on
    peaks = []
    for items in (1000, 5000):
        file = part10(roi_contours(items, undefined=undefined))
        tracemalloc.start()
        description = describe(parse(file))
        size = sum(map(len, description.text()))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert size > 150 * items
    assert peaks[1] < peaks[0] + (1 << 17)
