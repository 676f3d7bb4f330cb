"""Extended query tags come and go while others work, and while workers die: nothing is missed, nothing is left behind.

One process stands still before each of its calls to the table in turn, while another does something from beginning to
end; or it dies after a write, and another takes over.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from pydicom.dataelem import DataElement

from app.services.policy import V1
from app.services.tags import tasks
from app.storage.records.rows import InstanceRow
from app.storage.table import keys
from app.web.schemas.body import load_body
from app.web.schemas.extended_query_tags import TAGS
from tests.support.archive import Archive, Uids
from tests.support.clock import AdvanceClock
from tests.support.faults import AFTER, Killed, Rule, kill, run
from tests.support.instances import make_instance

AGE: dict[str, Any] = {"path": "PatientAge", "level": "Study"}
NAME: dict[str, Any] = {"path": "OperatorsName", "level": "Instance"}
PRIVATE: dict[str, Any] = {"path": "12051003", "vr": "LO", "privateCreator": "ACME", "level": "Series"}

PLACES: list[Uids] = [(f"2.25.{s}", f"2.25.{s}.1", f"2.25.{s}.1.{i}") for s in (1, 2) for i in range(1, 5)]
EXTRA: Uids = ("2.25.1", "2.25.1.1", "2.25.1.1.9")
NEW: Uids = ("2.25.3", "2.25.3.1", "2.25.3.1.1")


def instance(uids: Uids, age: str, name: str = "Doe^Jane") -> bytes:
    study, series, sop = uids
    private = [DataElement(0x12050010, "LO", "ACME"), DataElement(0x12051003, "LO", age)]
    return make_instance(
        study=study, series=series, instance=sop, pixel=False, extra=private, PatientAge=age, OperatorsName=name
    )


def fill(archive: Archive) -> None:
    """Eight instances in two studies: ages that rise, two names that break a rule."""
    bodies = [
        instance(uids, f"{number:03}Y", "a^b^c^d^e^f" if number in (2, 6) else "Doe^Jane")
        for number, uids in enumerate(PLACES, start=1)
    ]
    for body in bodies:
        assert archive.services.store(archive.partition, [BytesIO(body)], None, V1).stored


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "BATCH", 3)
    monkeypatch.setattr(tasks, "DELETIONS", 4)


@pytest.fixture
def prepared(tmp_path: Path, advance_clock: AdvanceClock) -> Path:
    """The folder of an archive that is filled; time stands still."""
    archive = Archive(tmp_path / "prepared")
    fill(archive)
    archive.work()
    return archive.folder


def copies(prepared: Path) -> Generator[Path]:
    """Copies of an archive, one after another; each is removed when the next is asked for."""
    while True:
        with TemporaryDirectory(dir=prepared.parent) as folder:
            shutil.copytree(prepared, folder, dirs_exist_ok=True)
            yield Path(folder)


def at_each_call(
    prepared: Path,
    act: Callable[[Archive], object],
    meanwhile: Callable[[Archive], object],
    begin: Callable[[Archive], object] | None = None,
) -> Iterator[Archive]:
    """Let `act` stand still at each of its calls in turn, for another process to do what it does `meanwhile`."""
    for at, folder in enumerate(copies(prepared)):
        mine, others = Archive(folder), Archive(folder)
        if begin:
            begin(mine)
        rule = mine.faults.add(Rule(run(partial(meanwhile, others)), nth=at + 1))
        act(mine)
        if not rule.hits:
            return
        yield Archive(folder)


def add(archive: Archive, *tags: dict[str, Any]) -> None:
    archive.services.query_tags.add(load_body(TAGS, list(tags)))


def found(archive: Archive, level: str, **parameters: str) -> list[str]:
    tag = {"study": "0020000D", "series": "0020000E", "instance": "00080018"}[level]
    return [row[tag]["Value"][0] for row in archive.search(level, **parameters)]


def items(archive: Archive) -> dict[tuple[str, str], Any]:
    """All that lies in the table but operations and announcements; what is packed, unpacked."""
    rows = archive.table._table._reads.rows(  # type: ignore[attr-defined]  # of SQLite
        "SELECT pk, sk, fields, data FROM item WHERE pk NOT LIKE 'operation%' AND pk NOT LIKE 'queue%'", ()
    )
    return {(pk, sk): _read(pk, fields, data) for pk, sk, fields, data in rows}


def _read(pk: str, fields: bytes, data: bytes) -> Any:
    said = orjson.loads(fields)
    if pk.startswith("querytags") and data:  # which operation it was is chance
        return said, [[*tag[:4], *tag[5:]] for tag in orjson.loads(data)]
    return said, orjson.loads(data) if data and "/study/" in pk else data


def filed(archive: Archive) -> list[tuple[str, str]]:
    return [key for key in items(archive) if "#" in key[0]]


def ages_are_right(archive: Archive) -> None:
    """Every study is found by the age that its newest instance has, and by no other."""
    partition = archive.partition.key
    table = archive.table
    newest: dict[str, tuple[int, str]] = {}
    for study in ("2.25.1", "2.25.2", "2.25.3"):
        for item in table.query(keys.study_items(partition, study), keys.INSTANCES):
            row = InstanceRow.of(item, partition, study)
            (document,) = archive.services.retrieve.metadata(
                archive.partition, study, row.series, row.instance
            ).documents
            age = orjson.loads(document)["00101010"]["Value"][0]
            newest[study] = max(newest.get(study, (0, "")), (row.watermark, age))
    for study, (_, age) in newest.items():
        assert found(archive, "study", PatientAge=age) == [study]
    values = [key for key in items(archive) if key[0].startswith(f"{partition}/value/study/00101010#")]
    assert len(values) == len(newest)


# --- stores and the birth of a tag ------------------------------------------------------------------------------------


@pytest.mark.parametrize("uids", [EXTRA, NEW], ids=["existing study", "new study"])
@pytest.mark.parametrize("worked", [True, False], ids=["re-indexed meanwhile", "re-indexed after"])
def test_a_store_that_races_with_the_birth_of_a_tag_is_found_by_it(prepared: Path, uids: Uids, worked: bool) -> None:
    def store(archive: Archive) -> None:
        assert archive.store(instance(uids, "099Y")) == [0]

    def born(archive: Archive) -> None:
        add(archive, AGE, NAME, PRIVATE)
        if worked:
            archive.work()

    for number, archive in enumerate(at_each_call(prepared, store, born), start=1):
        archive.work()
        archive.services.query_tags.patch("OperatorsName", "enabled")
        assert found(archive, "study", PatientAge="099Y") == [uids[0]], number
        assert found(archive, "series", **{"12051003": "099Y"}) == [uids[1]], number
        assert uids[2] in found(archive, "instance", OperatorsName="Doe^Jane"), number
        ages_are_right(archive)
    assert number >= 8


def test_a_store_that_races_with_the_death_of_a_tag_leaves_nothing(prepared: Path) -> None:
    def store(archive: Archive) -> None:
        assert archive.store(instance(EXTRA, "099Y"), instance(NEW, "098Y")) == [0, 0]

    def died(archive: Archive) -> None:
        archive.services.query_tags.delete("PatientAge")
        archive.services.query_tags.delete("OperatorsName")
        archive.work()

    archive = Archive(prepared)
    add(archive, AGE, NAME)
    archive.work()
    for number, after in enumerate(at_each_call(prepared, store, died), start=1):
        assert not filed(after), number
        add(after, AGE)
        after.work()
        ages_are_right(after)
    assert number >= 10


def test_a_tag_that_dies_and_is_born_again_during_a_store(prepared: Path) -> None:
    def store(archive: Archive) -> None:
        assert archive.store(instance(EXTRA, "099Y")) == [0]

    def renewed(archive: Archive) -> None:
        archive.services.query_tags.delete("PatientAge")
        add(archive, AGE | {"level": "Series"})
        archive.work()

    archive = Archive(prepared)
    add(archive, AGE)
    archive.work()
    for after in at_each_call(prepared, store, renewed):
        assert found(after, "series", PatientAge="099Y") == [EXTRA[1]]
        assert not [key for key in filed(after) if "/study/0010" in key[0]]


# --- the re-index and others ------------------------------------------------------------------------------------------


def adding(archive: Archive) -> None:
    add(archive, AGE, NAME, PRIVATE)


def working(archive: Archive) -> None:
    archive.work()


def test_stores_during_a_re_index(prepared: Path) -> None:
    def store(archive: Archive) -> None:
        assert archive.store(instance(EXTRA, "099Y"), instance(NEW, "098Y")) == [0, 0]

    for archive in at_each_call(prepared, working, store, adding):
        ages_are_right(archive)
        assert found(archive, "study", PatientAge="099Y") == ["2.25.1"]
        assert found(archive, "study", PatientAge="098Y") == ["2.25.3"]


@pytest.mark.parametrize("gone", [PLACES[1], PLACES[1][:1], PLACES[7], PLACES[4][:2]], ids=str)
def test_deletions_during_a_re_index(prepared: Path, gone: tuple[str, ...]) -> None:
    """Errors go with their instances, and no row nor entry comes back."""

    def delete(archive: Archive) -> None:
        archive.delete(*gone)

    left = [uids for uids in PLACES if uids[: len(gone)] != gone]
    wrong = sum(uids in left for uids in (PLACES[1], PLACES[5]))
    for archive in at_each_call(prepared, working, delete, adding):
        assert set(found(archive, "instance")) == {uids[2] for uids in left}
        tag = archive.services.query_tags.find("OperatorsName")
        assert tag.errors == wrong
        assert len(list(archive.services.query_tags.errors("OperatorsName", 0, 100))) == wrong
        studies = {uids[0] for uids in left}
        of_tags = [key for key in filed(archive) if "/value/" in key[0]]
        assert len([key for key in of_tags if "/study/" in key[0]]) == len(studies)
        assert len([key for key in of_tags if "/instance/" in key[0]]) == len(left) - wrong


def test_a_tag_that_is_deleted_during_its_re_index(prepared: Path) -> None:
    def delete(archive: Archive) -> None:
        archive.services.query_tags.delete("OperatorsName")

    def delete_and_work(archive: Archive) -> None:
        delete(archive)
        archive.work()

    for meanwhile in (delete, delete_and_work):
        for archive in at_each_call(prepared, working, meanwhile, adding):
            archive.work()
            assert not [key for key in filed(archive) if "00081070#" in key[0]]
            statuses = {each.tag.path: each.tag.status for each in archive.services.query_tags.page(0, 10)}
            assert statuses == {"00101010": "ready", "12051003": "ready"}
            ages_are_right(archive)


def test_a_tag_that_is_switched_during_its_re_index(prepared: Path) -> None:
    def switch(archive: Archive) -> None:
        archive.services.query_tags.patch("PatientAge", "disabled")

    for archive in at_each_call(prepared, working, switch, adding):
        tag = archive.services.query_tags.find("PatientAge").tag
        assert (tag.status, tag.query_status) == ("ready", "disabled")


# --- the worker's death -----------------------------------------------------------------------------------------------


def killed_at_each_write(
    prepared: Path, begin: Callable[[Archive], object], advance_clock: AdvanceClock
) -> Iterator[Archive]:
    """Kill the worker after each of its writes; another takes over when the lease has run out."""
    for at, folder in enumerate(copies(prepared)):
        archive = Archive(folder)
        begin(archive)
        rule = archive.faults.add(Rule(kill(), operation="table.write", stage=AFTER, nth=at + 1))
        with suppress(Killed):
            archive.work()
        if not rule.hits:
            return
        advance_clock(3600)
        successor = Archive(folder)
        successor.work()
        yield successor


def test_a_re_index_cut_short_at_any_write_ends_as_if_it_had_not_been(
    prepared: Path, advance_clock: AdvanceClock
) -> None:
    whole = copies(prepared)
    undisturbed = Archive(next(whole))
    adding(undisturbed)
    undisturbed.work()
    expected = without_times(items(undisturbed))
    whole.close()
    number = 0
    for number, archive in enumerate(killed_at_each_write(prepared, adding, advance_clock), start=1):
        assert without_times(items(archive)) == expected, number
        assert not list(archive.table.query("operations/open"))
        assert not list(archive.table.query("operations/active"))
    assert number >= 12


def test_the_removal_of_a_tag_cut_short_at_any_write_is_finished(prepared: Path, advance_clock: AdvanceClock) -> None:
    archive = Archive(prepared)
    adding(archive)
    archive.work()

    def delete(archive: Archive) -> None:
        for path in ("PatientAge", "OperatorsName", "12051003"):
            archive.services.query_tags.delete(path)

    number = 0
    for number, after in enumerate(killed_at_each_write(prepared, delete, advance_clock), start=1):
        assert not filed(after), number
        assert not list(after.services.query_tags._tags._table.query("operations/open"))
    assert number >= 10


def without_times(found: dict[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
    """Leave out when an error was noted, and for how long the feed is known to be whole."""
    kept: dict[tuple[str, str], Any] = {}
    for (pk, sk), value in found.items():
        if pk.endswith("/errors"):
            fields, data = value
            kept[pk, sk.rpartition("/")[2]] = {**fields, "created": ""}, data
        elif "/study/" in pk and "errors" in value[0]:
            kept[pk, sk] = {**value[0], "errors": list(value[0]["errors"])}, value[1]
        elif not pk.startswith("feed"):
            kept[pk, sk] = value
    return kept
