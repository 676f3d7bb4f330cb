"""Records to item fields and back."""

from __future__ import annotations

import pytest

from app.storage.records.file_versions import FileVersion, Pending
from app.storage.records.rows import InstanceRow, SeriesRow, StudyRow
from app.storage.table.codec import DamagedRecord, Record, decode, encode, stored_as
from app.storage.table.ports import Item, Key

ATTRIBUTES = {"00100020": {"vr": "LO", "Value": ["P1"]}}


class Example(Record, frozen=True, kw_only=True):
    """A record with a field of another stored name."""

    place: str
    update_id: str = stored_as("epoch", default="")
    numbers: tuple[int, ...] = ()


def test_the_stored_name_is_the_declared_one() -> None:
    assert encode(Example(place="p", update_id="u")) == {"place": "p", "epoch": "u"}
    assert decode(Example, {"place": "p", "epoch": "u"}) == Example(place="p", update_id="u")


def test_defaults_are_not_stored() -> None:
    assert encode(Example(place="p")) == {"place": "p"}


def test_unknown_stored_fields_are_ignored() -> None:
    assert decode(Example, {"place": "p", "of a later release": [1]}) == Example(place="p")


def test_fields_of_the_key_are_given_beside_the_stored_ones() -> None:
    record = Example(place="p", numbers=(1, 2))
    assert encode(record, "place") == {"numbers": (1, 2)}
    assert decode(Example, {"numbers": [1, 2]}, place="p") == record


@pytest.mark.parametrize("fields", [{}, {"place": 1}, {"place": "p", "numbers": ["a"]}])
def test_a_damaged_item_is_an_error_of_the_store(fields: dict[str, object]) -> None:
    with pytest.raises(DamagedRecord):
        decode(Example, fields)


def test_positional_fields_are_refused() -> None:
    with pytest.raises(TypeError):
        Example("p")  # type: ignore[call-arg]


def test_a_study_row_of_release_0_1_0_is_read() -> None:
    fields = {
        "created": 5,
        "revision": 6,
        "modalities": ["CT"],
        "epoch": "a",
        "writing": "b",
        "settling": "c",
        "reach": 9,
    }
    item = Item(Key("1/study/2.25.1", "study"), fields, b'{"00100020":{"vr":"LO","Value":["P1"]}}')
    row = StudyRow.of(item, 1, "2.25.1")
    assert row == StudyRow(
        partition=1,
        study="2.25.1",
        created=5,
        revision=6,
        attributes=ATTRIBUTES,
        modalities=("CT",),
        update_id="a",
        writing="b",
        finishing="c",
        last_watermark=9,
    )
    assert row.item.fields == fields | {"modalities": ("CT",)}
    assert row.item.data == item.data


def test_an_instance_row_with_a_pending_version_comes_back() -> None:
    file = FileVersion(watermark=8, version="v8", size=80, native=(1, 2))
    row = InstanceRow(
        partition=1,
        study="2.25.1",
        series="2.25.11",
        instance="2.25.111",
        of_study=5,
        of_series=5,
        watermark=6,
        version="v6",
        size=60,
        sop_class="1.2",
        transfer_syntax="1.2.1",
        revision=7,
        attributes=ATTRIBUTES,
        original=FileVersion(watermark=5, version="v5", size=50),
        pending=Pending.make(update_id="u", attributes=ATTRIBUTES, file=file),
        errors={"00101010": "place"},
    )
    assert row.item.fields["pending"] == {
        "epoch": "u",
        "attributes": '{"00100020":{"Value":["P1"],"vr":"LO"}}',
        "file": {"watermark": 8, "version": "v8", "size": 80, "native": (1, 2)},
    }
    assert InstanceRow.of(row.item, 1, "2.25.1") == row


def test_a_series_row_comes_back() -> None:
    row = SeriesRow(partition=1, study="2.25.1", series="2.25.11", of_study=5, created=5, revision=6, ending=True)
    assert row.item.fields == {"of_study": 5, "created": 5, "revision": 6, "ending": True}
    assert SeriesRow.of(row.item, 1, "2.25.1") == row
