"""Bulk data in files: its paths, and ranges of big endian values in little endian (conformance §4.14)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.dicom.encoding.bulk_data import bulk_elements, checked_path, element_at, in_little_endian, place_of
from app.dicom.encoding.part10 import parse
from app.dicom.encoding.transcode import swapped
from app.errors import InvalidRequest
from tests.support.raw_elements import element, item, part10


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("size", [0, 1, 16, 19])
@pytest.mark.parametrize("word", [1, 2, 4, 8])
def test_each_range_of_a_big_endian_value(word: int, size: int, chunk: int) -> None:
    value = bytes(range(1, size + 1))
    expected = swapped(value, word)

    def read(start: int, length: int) -> Iterator[bytes]:
        assert 0 <= start <= start + length <= size
        wanted = value[start : start + length]
        return (wanted[at : at + chunk] for at in range(0, length, chunk))

    little = in_little_endian(read, word, size)
    for start in range(size + 1):
        for stop in range(start, size + 1):
            assert b"".join(little(start, stop - start)) == expected[start:stop]


@pytest.mark.parametrize(
    "text", ["7fe00010", "/7FE00010", "7FE00010/", "54000100/0/5400101a", "54000100/10/54000100/0/54001010"]
)
def test_paths(text: str) -> None:
    assert checked_path(text) == text.strip("/").upper()


NO_PATHS = [
    *("", "/", "7FE0001", "7FE000100", "7FE00010\n", "7FE00010/0", "7FE00010//7FE00010", "7FE00010/a/7FE00010"),
    *("7FE00010/00/7FE00010", "7FE00010/\u0663/7FE00010", "7FE00010/1234567890/7FE00010"),
    "/".join(["54000100/0"] * 66 + ["54001010"]),
]


@pytest.mark.parametrize("text", NO_PATHS)
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"(?s)The bulk data path .* is a tag of 8 hex digits"):
        checked_path(text)


def test_the_elements_of_a_file_and_their_paths() -> None:
    binary, group_length = element(0x00091001, "OB", b"ab"), element(0x00090000, "UL", bytes(4))
    nested = element(0x00081032, "SQ", item(b"") + item(group_length + binary + element(0x00100020, "LO", b"P1")))
    file = part10(nested + binary + element(0x00091001, "OB", b"last"))
    part = parse(file)
    found = dict(bulk_elements(part))
    assert found.keys() == {"00081032/1/00091001", "00091001"}
    for path, each in found.items():
        assert element_at(part, path) == each
        place = place_of(part, each)
        assert file[place.offset : place.offset + place.length] == (b"last" if path == "00091001" else b"ab")
    for path in (
        "00081032",
        "00081032/0/00091001",
        "00081032/2/00091001",
        "00081032/1/00100020",
        "00091001/0/00091001",
    ):
        assert element_at(part, path) is None
