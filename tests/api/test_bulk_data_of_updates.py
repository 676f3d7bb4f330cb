"""Bulk data after bulk updates: the new version of a file has it at other places (conformance §4.14, §12.6)."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from tests.conftest import Serve
from tests.support.bulk_data import binary_elements, bytes_of, located_parts
from tests.support.bulk_update import (
    CHANGES,
    INSTANCE,
    NAME,
    ORIGINAL,
    PATH,
    SERIES,
    STUDY,
    embedded_only,
    metadata,
    update,
)
from tests.support.dicomweb import PartitionClient
from tests.support.instances import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    encapsulated,
    make_instance,
)
from tests.support.raw_elements import IMPLICIT, implicit, item, part10

UIDS = {"study": STUDY, "series": SERIES, "instance": INSTANCE}
OCTETS = "application/octet-stream"
KANJI = {NAME: {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]}}
"""A name that ISO_IR 100 lacks: all text of the file is converted."""
VALUES = [bytes([number]) * 1000 + bytes(range(256)) for number in range(6)]


def everywhere() -> list[DataElement]:
    """Binary elements before and after the patient, also in sequences, beside text that is converted."""
    inner = Dataset()
    inner.add(DataElement(0x00080104, "LO", "M\xe4\xdfig"))
    inner.add(DataElement(0x00091004, "OB", VALUES[0]))
    last = Dataset()
    last.add(DataElement(0x54001010, "OB", VALUES[1]))
    return [
        DataElement(0x00081032, "SQ", [inner, inner]),
        DataElement(0x00091004, "OB", VALUES[2]),
        DataElement(0x00091005, "UN", b"ab"),
        DataElement(0x54000100, "SQ", [last]),
        DataElement(0x00282000, "OB", VALUES[3]),
    ]


def answers(clinic: PartitionClient, **headers: str) -> dict[str, bytes]:
    (dataset,) = metadata(clinic, PATH, **headers)
    return {path: bytes_of(clinic, each) for path, each in binary_elements(dataset)}


@embedded_only
@pytest.mark.parametrize("changes", [CHANGES, KANJI], ids=["plain", "converting"])
@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE])
def test_bulk_data_does_not_change(clinic: PartitionClient, syntax: str, changes: dict[str, Any]) -> None:
    clinic.stored(make_instance(**UIDS, SpecificCharacterSet="ISO_IR 100", transfer_syntax=syntax, extra=everywhere()))
    before = answers(clinic)
    assert len(before) == 7
    assert before["00081032/1/00091004"] == VALUES[0]
    for number in range(2):
        age = {"00101010": {"vr": "AS", "Value": [f"04{number}Y"]}}
        assert update(clinic, **(changes | age))["status"] == "succeeded"
        assert answers(clinic) == before
        assert answers(clinic, **ORIGINAL) == before


def test_compressed_frames_do_not_change(clinic: PartitionClient) -> None:
    clinic.stored(encapsulated([[b"one!"], [b"two!"]], **UIDS))
    update(clinic)
    (dataset,) = metadata(clinic, PATH)
    response = clinic.get(dataset["7FE00010"]["BulkDataURI"].partition("clinic-a")[2], "*/*")
    assert [part.body for part in located_parts(response)] == [b"one!", b"two!"]


# --- large elements ---------------------------------------------------------------------------------------------------

POINTS = [b"\\".join(b"%d" % (number % (7 + item)) for number in range(40_000)) for item in range(16)]


def structures() -> bytes:
    """A sequence over 1 MiB with a long value and a binary value in each item, between long text and a binary value."""

    def padded(value: bytes) -> bytes:
        return value + b" " * (len(value) % 2)

    items = b"".join(
        item(implicit(0x00091001, VALUES[number % 6]) + implicit(0x30060050, padded(points)))
        for number, points in enumerate(POINTS)
    )
    uids = implicit(0x00080005, b"ISO_IR 100") + implicit(0x00080016, b"1.2.840.10008.5.1.4.1.1.481.3\0")
    uids += implicit(0x00080018, INSTANCE.encode() + b"\0" * (len(INSTANCE) % 2))
    patient = implicit(0x00100010, b"M\xfcller") + implicit(0x00100020, b"P1")
    series = implicit(0x0020000D, padded_uid(STUDY)) + implicit(0x0020000E, padded_uid(SERIES))
    texts = [implicit(0x0040A160, b"text" * 20_000), implicit(0x30060039, items), implicit(0x30FF1001, VALUES[0])]
    return part10(uids + patient + series + b"".join(texts), IMPLICIT)


def padded_uid(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


@embedded_only
@pytest.mark.parametrize("changes", [CHANGES, KANJI], ids=["plain", "converting"])
def test_bulk_data_of_large_elements_does_not_change(serve: Serve, changes: dict[str, Any]) -> None:
    clinic = PartitionClient(serve(inline_value_bytes=65_536))
    strict = PartitionClient(clinic.client, "/v1/partitions/clinic-a")
    clinic.stored(structures())
    (named,), (complete,) = metadata(clinic, PATH), metadata(strict, PATH)
    before = answers(clinic)
    assert len(before) == 2 + 2 * len(POINTS)
    assert before["30060039/11/30060050"].rstrip() == POINTS[11]
    for kind in (changes, CHANGES, changes):
        assert update(clinic, **kind)["status"] == "succeeded"
        assert answers(clinic) == before
        (now,), (complete_now,) = metadata(clinic, PATH), metadata(strict, PATH)
        assert now["30060039"] == named["30060039"]
        assert complete_now["30060039"] == complete["30060039"]
        assert complete_now["0040A160"] == complete["0040A160"]
        assert list(now) == sorted(now)
    assert len(located_parts(clinic.get(f"{PATH}/bulkdata", "*/*"))) == len(before)
