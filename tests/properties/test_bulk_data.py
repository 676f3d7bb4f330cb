"""Any dataset: each binary element is in the metadata once, and its bytes come back (conformance §4.14)."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

import orjson
import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from app.dicom.encoding import limits
from app.dicom.json import large
from tests.conftest import Serve
from tests.support.bulk_data import binary_elements, bytes_of
from tests.support.dicomweb import PartitionClient
from tests.support.instances import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, uid
from tests.support.raw_elements import part10

pytestmark = [pytest.mark.thorough, pytest.mark.parametrize("settings", ["embedded"], indirect=True)]

WORDS: Final = {"OB": 1, "OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8, "UN": 1}
TAGS: Final = {  # tags whose VR the dictionary knows, so that an implicit file has it too
    "OB": 0x00282000, "OW": 0x00281202, "OL": 0x00660040, "OF": 0x00660016, "OD": 0x00660022, "OV": 0x7FE00001,
    "UN": 0x00091001,
}  # fmt: skip
SEQUENCES: Final = (0x00081032, 0x00400555, 0x54000100)

Values = dict[str, bytes]
Items = dict[int, list["Level"]]


@dataclass
class Level:
    """A dataset or an item: binary values by VR, in little endian, and sequences by tag."""

    values: Values
    sequences: Items


def _value(vr: str) -> st.SearchStrategy[bytes]:
    unit = max(2, WORDS[vr])
    return st.integers(0, 40).flatmap(lambda count: st.binary(min_size=count * unit, max_size=count * unit))


VALUES = st.fixed_dictionaries({}, optional={vr: _value(vr) for vr in WORDS})
LEVELS = st.recursive(
    VALUES.map(lambda values: Level(values, {})),
    lambda inner: st.builds(
        Level, VALUES, st.dictionaries(st.sampled_from(SEQUENCES), st.lists(inner, max_size=3), max_size=2)
    ),
    max_leaves=8,
)


@dataclass(frozen=True)
class Writer:
    """Writes elements in one encoding."""

    explicit: bool
    order: str

    def element(self, tag: int, vr: str, value: bytes, *, undefined: bool = False) -> bytes:
        head = struct.pack(self.order + "HH", tag >> 16, tag & 0xFFFF)
        length = 0xFFFFFFFF if undefined else len(value)
        if not self.explicit:
            return head + struct.pack(self.order + "L", length) + value
        if vr in WORDS or vr == "SQ":
            return head + vr.encode() + struct.pack(self.order + "HL", 0, length) + value
        return head + vr.encode() + struct.pack(self.order + "H", length) + value

    def dataset(self, level: Level, *, undefined: bool) -> list[tuple[int, bytes]]:
        written = []
        for vr, value in level.values.items():
            size = WORDS[vr] if self.order == ">" else 1
            raw = b"".join(value[at : at + size][::-1] for at in range(0, len(value), size))
            written.append((TAGS[vr], self.element(TAGS[vr], vr, raw)))
        for tag, items in level.sequences.items():
            inside = b"".join(self._item(each, undefined=undefined) for each in items)
            end = struct.pack(self.order + "HHL", 0xFFFE, 0xE0DD, 0) if undefined else b""
            written.append((tag, self.element(tag, "SQ", inside + end, undefined=undefined)))
        return sorted(written)

    def _item(self, level: Level, *, undefined: bool) -> bytes:
        inside = b"".join(each for _, each in self.dataset(level, undefined=undefined))
        length = 0xFFFFFFFF if undefined else len(inside)
        end = struct.pack(self.order + "HHL", 0xFFFE, 0xE00D, 0) if undefined else b""
        return struct.pack(self.order + "HHL", 0xFFFE, 0xE000, length) + inside + end

    def file(self, level: Level, uids: dict[int, str], syntax: str, *, undefined: bool) -> bytes:
        texts = {0x00080016: "1.2.840.10008.5.1.4.1.1.7", 0x00100020: "P1", **uids}
        plain = [
            (tag, self.element(tag, "LO" if tag == 0x00100020 else "UI", text.encode() + b"\0" * (len(text) % 2)))
            for tag, text in texts.items()
        ]
        body = b"".join(each for _, each in sorted(plain + self.dataset(level, undefined=undefined)))
        return part10(_deflated(body) if syntax == DEFLATED_LITTLE else body, syntax)


def _deflated(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


WRITERS = {
    IMPLICIT_LITTLE: Writer(False, "<"),
    EXPLICIT_LITTLE: Writer(True, "<"),
    EXPLICIT_BIG: Writer(True, ">"),
    DEFLATED_LITTLE: Writer(True, "<"),
}


def expected_values(level: Level, path: str = "") -> dict[str, bytes]:
    found = {f"{path}{TAGS[vr]:08X}": value for vr, value in level.values.items()}
    for tag, items in level.sequences.items():
        for number, each in enumerate(items):
            found |= expected_values(each, f"{path}{tag:08X}/{number}/")
    return found


def without_binary(dataset: dict[str, Any]) -> dict[str, Any]:
    """Return the dataset without binary elements, at every depth."""
    kept = {}
    for tag, each in dataset.items():
        if each["vr"] == "SQ" and "Value" in each:
            kept[tag] = {"vr": "SQ", "Value": [without_binary(item) for item in each["Value"]]}
        elif each["vr"] not in WORDS:
            kept[tag] = each
    return kept


def check(client: FlaskClient, syntax: str, level: Level, *, undefined: bool) -> None:
    study, series, instance = uid(), uid(), uid()
    uids = {0x0020000D: study, 0x0020000E: series, 0x00080018: instance}
    clinic = PartitionClient(client)
    clinic.stored(WRITERS[syntax].file(level, uids, syntax, undefined=undefined))
    path = f"/studies/{study}/series/{series}/instances/{instance}/metadata"
    response = clinic.get(path)
    (dataset,) = orjson.loads(response.data)
    found = list(binary_elements(dataset))
    assert len(found) == len({path for path, _ in found})
    urls = {place: each["BulkDataURI"] for place, each in found if "BulkDataURI" in each}
    assert all(url.endswith(f"/bulkdata/{place}") for place, url in urls.items())
    assert {place: bytes_of(clinic, each) for place, each in found} == expected_values(level)
    (bare,) = orjson.loads(PartitionClient(client, "/v1/partitions/clinic-a").get(path).data)
    assert bare == without_binary(dataset)


@pytest.mark.parametrize("syntax", WRITERS)
def test_any_dataset(serve: Serve, syntax: str) -> None:
    client = serve(inline_binary_bytes=24)

    @settings(max_examples=25)
    @given(LEVELS, st.booleans())
    def run(level: Level, undefined: bool) -> None:
        check(client, syntax, level, undefined=undefined)

    run()


@pytest.mark.parametrize("syntax", WRITERS)
def test_any_dataset_if_its_sequences_are_streamed(serve: Serve, syntax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LARGE", 60)
    monkeypatch.setattr(large, "LARGE_VALUE", 40)
    client = serve(inline_binary_bytes=24)

    @settings(max_examples=25)
    @given(LEVELS, st.booleans())
    def run(level: Level, undefined: bool) -> None:
        check(client, syntax, level, undefined=undefined)

    run()
