"""Deletion of studies and series with many instances, through HTTP (conformance §6.2).

The request ends soon and hides everything. The worker removes the rest. A store that meets it helps.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, count
from typing import Any, NamedTuple

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.bootstrap import Engine
from app.settings import Settings
from app.storage.feed.log import CommitLog, CommittedEntry
from app.storage.index import cleanup, instances, sweep, sweep_worker
from app.storage.index.statistics import stored_size
from app.storage.records import documents, packed_documents
from app.storage.records.contents import Contents
from app.storage.records.instance_row import InstanceRow
from app.storage.records.postings import postings
from app.storage.records.rows import IndexRow, SeriesRow, StudyRow, first_revision
from app.storage.table import clock, keys
from app.storage.table.counters import WatermarkCounter
from app.storage.table.partitions import Partitions
from app.storage.table.ports import MAX_CHANGES, Key, Put
from tests.support.background import work
from tests.support.clock import AdvanceClock, stop_clock
from tests.support.dicomweb import PartitionClient, value
from tests.support.faults import Killed, Rule, kill
from tests.support.faulty_engine import Faults
from tests.support.instances import make_instance
from tests.support.selection import quick

STUDY, SERIES, OTHER_SERIES = "2.25.1", "2.25.11", "2.25.12"
PAGE = 3
MAX_WRITES = 40
"""More writes than five pages of rows need."""

SIZES = {"embedded": 1000, "moto": 24}
"""moto copies its whole table at each write, so large tables are slow."""
PATHS = {"study": f"/studies/{STUDY}", "series": f"/studies/{STUDY}/series/{SERIES}"}


class Server(NamedTuple):
    """One process: its client, and the faults of its engine."""

    client: FlaskClient
    clinic: PartitionClient
    faults: Faults


@pytest.fixture
def advance_clock(monkeypatch: pytest.MonkeyPatch) -> AdvanceClock:
    return stop_clock(monkeypatch)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request removes at most five pages, however long that takes on a busy machine."""
    monkeypatch.setattr(cleanup, "_PAGE", PAGE)
    monkeypatch.setattr(cleanup, "IN_REQUEST", cleanup.WorkLimit(pages=5, seconds=1000))


StartServer = Callable[[], Server]


@pytest.fixture
def server(settings: Settings, engine: Engine) -> StartServer:
    """Starts a process on the archive."""

    def start() -> Server:
        faults = Faults()
        client = create_app(settings, faults.wrap(engine)).test_client()
        return Server(client, PartitionClient(client), faults)

    return start


@pytest.fixture
def size(settings: Settings) -> int:
    """The number of instances of a large series."""
    return SIZES["moto" if settings.engine == "aws" else "embedded"]


def fill_study(engine: Engine, size: int, series_uids: Sequence[str] = (SERIES,)) -> set[Key]:
    """Write a study with `size` instances in its first series and one in each other; return the keys of all its items.

    The rows, postings, documents and feed entries are those of a store. There are no blobs.
    """
    partition = Partitions(engine.table).ensure("clinic-a")
    numbers = WatermarkCounter(engine.table)
    log = CommitLog(engine.table, engine.log_shards)
    reserved = iter(numbers.reserve(size + len(series_uids) - 1))
    first = next(reserved)
    study = StudyRow(
        partition=partition.key, study=STUDY, created=first, revision=first_revision(first),
        attributes={"00100020": {"vr": "LO", "Value": ["P1"]}}, modalities=("ct",),
    )  # fmt: skip
    rows: list[IndexRow] = [study]
    for uid in series_uids:
        number = first if uid == series_uids[0] else next(reserved)
        series = SeriesRow(
            partition=partition.key, study=STUDY, series=uid, of_study=first, created=number,
            revision=first_revision(number), attributes={"00080060": {"vr": "CS", "Value": ["CT"]}},
        )  # fmt: skip
        rows.append(series)
        rows += _instances(series, [number, *((next(reserved) for _ in range(size - 1)) if number == first else ())])
    items = [item for row in rows for item in (row.item, *postings(row).values())]
    stored = [row for row in rows if isinstance(row, InstanceRow)]
    items += [documents.metadata_item(row, packed_documents.pack(b"{}")) for row in stored]
    entries = [CommittedEntry.of(row, "Create") for row in stored]
    contents = Contents(1, len(stored), sum(map(stored_size, stored)))
    records = [
        log.committed(partition, entries[at : at + 100], Contents(0, 0, 0)) for at in range(0, len(entries), 100)
    ]
    changes = [*map(Put, items), *records, log.committed(partition, [], contents)]
    for start in range(0, len(changes), MAX_CHANGES):
        engine.table.write(*changes[start : start + MAX_CHANGES])
    return {item.key for item in items}


def _instances(series: SeriesRow, numbers: Sequence[int]) -> Iterator[InstanceRow]:
    for number in numbers:
        yield InstanceRow(
            partition=series.partition, study=STUDY, series=series.series, instance=f"{series.series}.{number}",
            of_study=series.of_study, of_series=series.created, watermark=number, version=uuid.uuid4().hex, size=1000,
            sop_class="1.2.840.10008.5.1.4.1.1.2", transfer_syntax="1.2.840.10008.1.2.1",
            revision=first_revision(number),
        )  # fmt: skip


def left(engine: Engine, written: set[Key]) -> int:
    """The number of these items that are still in the table."""
    return sum(item is not None for item in engine.table.get_many(sorted(written)))


def check_hidden(clinic: PartitionClient, path: str) -> None:
    """Assert that no request sees a study or series, or anything in it."""
    for suffix in ("", "/metadata", "/instances"):
        response = clinic.get(path + suffix)
        assert response.status_code == (204 if suffix == "/instances" else 404), (suffix, response.text)
    assert clinic.delete(path).status_code == 404
    found = clinic.get("/instances?limit=200")
    uids = [value(row, "0020000E") for row in found.get_json(force=True)] if found.data else []
    assert SERIES not in uids


def deleted_in_feed(client: FlaskClient) -> Counter[str]:
    """How many Delete entries the feed has of each instance."""
    found: Counter[str] = Counter()
    last = client.get("/v1/changefeed/latest").get_json()["sequence"]
    for offset in range(0, last, 100):
        entries: list[dict[str, Any]] = client.get(
            f"/v1/changefeed?offset={offset}&limit=100&includemetadata=false"
        ).get_json()
        found.update(entry["sopInstanceUid"] for entry in entries if entry["action"] == "Delete")
    return found


def deletion_records(engine: Engine) -> list[int]:
    """In how many seconds each deletion record is due."""
    records = chain.from_iterable(map(engine.table.query, keys.SWEEPS))
    deletions = [item for item in records if isinstance(sweep.work_of(item), sweep.Deletion)]
    return [keys.sweep_due(item.key.sk) - int(clock.now()) for item in deletions]


@pytest.mark.parametrize("level", PATHS)
def test_a_large_deletion_answers_after_few_writes_and_the_worker_removes_the_rest(
    server: StartServer, engine: Engine, size: int, level: str, advance_clock: AdvanceClock
) -> None:
    one = server()
    written = fill_study(engine, size, (SERIES, OTHER_SERIES))
    one.faults.calls.clear()
    assert one.clinic.delete(PATHS[level]).status_code == 204
    assert one.faults.calls["table.write"] <= MAX_WRITES
    assert left(engine, written) > size, "the request has removed nearly everything, so the study is not a large one"
    check_hidden(one.clinic, PATHS[level])
    if level == "series":
        (study,) = one.clinic.get("/studies?includefield=00201208").get_json(force=True)
        assert value(study, "00201208") == 1
    assert sorted(deletion_records(engine)) == [0, sweep.CLEANUP_SECONDS], "the rest is due at once"

    work(one.client)
    advance_clock(sweep.CLEANUP_SECONDS)
    work(one.client)
    assert not deletion_records(engine)
    if level == "study":
        assert left(engine, written) == 0
    else:
        remaining = [row.fields for row in engine.table.query(keys.study_items(2, STUDY))]
        assert len(remaining) == 3, "the study, the other series and its instance"
        assert len(list(engine.table.query(keys.newest_of(2, "instance")))) == 1
    deleted = deleted_in_feed(one.client)
    assert len(deleted) == size + (level == "study")
    assert set(deleted.values()) == {1}, "one Delete entry for each instance"


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_the_rows_of_a_deleted_study_are_not_all_read(
    server: StartServer, engine: Engine, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "_CHECK_AFTER", 5)
    monkeypatch.setattr(cleanup, "IN_REQUEST", cleanup.WorkLimit(pages=0, seconds=0))
    one = server()
    fill_study(engine, PAGE * 7, (SERIES, OTHER_SERIES))
    assert len(one.clinic.get(f"{path}/instances?limit=200").get_json(force=True)) >= PAGE * 7
    one.clinic.delete(path)
    for suffix in ("", "/metadata", "/instances"):
        one.faults.forget_reads()
        assert one.clinic.get(path + suffix).status_code in (204, 404)
        assert one.faults.items_queried <= 5


def test_a_small_deletion_is_complete_with_its_answer(server: StartServer, engine: Engine) -> None:
    one = server()
    written = fill_study(engine, PAGE * 3)
    assert one.clinic.delete(PATHS["study"]).status_code == 204
    assert left(engine, written) == 0
    assert len(deleted_in_feed(one.client)) == PAGE * 3


def test_a_worker_that_is_killed_is_followed_by_another(
    server: StartServer, engine: Engine, advance_clock: AdvanceClock
) -> None:
    """The first worker is killed at its first write, the second one at its second write, and so on."""
    size = PAGE * 7
    written = fill_study(engine, size)
    one = server()
    assert one.clinic.delete(PATHS["study"]).status_code == 204
    assert left(engine, written)
    kills = 0
    while left(engine, written):
        kills += 1
        worker = server()
        worker.faults.add(Rule(kill(), operation="table.write", nth=kills))
        with suppress(Killed):
            work(worker.client)
        advance_clock(sweep_worker.LEASE_SECONDS)
        check_hidden(one.clinic, PATHS["study"])
    assert kills > 2
    advance_clock(sweep.CLEANUP_SECONDS)
    work(one.client)
    assert not deletion_records(engine)
    deleted = deleted_in_feed(one.client)
    assert len(deleted) == size
    assert set(deleted.values()) == {1}


@pytest.mark.parametrize("level", quick({"series"}, PATHS))
def test_a_store_succeeds_at_once_after_a_crash_in_a_deletion(
    server: StartServer, settings: Settings, level: str, advance_clock: AdvanceClock
) -> None:
    """The deletion is killed before each of its writes in turn. No time passes before the store."""
    size = 2 if settings.engine == "aws" else 8
    uids = [(SERIES, f"{SERIES}.{number}") for number in range(size)] + [(OTHER_SERIES, f"{OTHER_SERIES}.1")]
    files = [make_instance(study=STUDY, series=series, instance=instance, pixel=False) for series, instance in uids]
    for number in count(1):
        prefix = f"/v2/partitions/clinic-{number}"
        clinic = PartitionClient(server().client, prefix)
        clinic.stored(*files)
        other = server()
        rule = other.faults.add(Rule(kill(), operation="table.write", nth=number))
        with suppress(Killed):
            assert PartitionClient(other.client, prefix).delete(PATHS[level]).status_code == 204
        response = clinic.store(files[0])
        found = clinic.get(f"/studies/{STUDY}/instances").get_json(force=True)
        if number == 1:
            assert (response.status_code, len(found)) == (409, len(files)), "nothing was deleted yet"
        else:
            assert response.status_code == 200, response.text
            assert len(found) == (1 if level == "study" else 2)
        if not rule.hits:
            break
    assert number > 3


def test_a_store_beside_a_large_deletion_helps_within_limits(
    server: StartServer, engine: Engine, advance_clock: AdvanceClock
) -> None:
    """The store removes rows until none is left, without the worker. It sees no remainder."""
    one = server()
    fill_study(engine, PAGE * 8)
    one.clinic.delete(PATHS["study"])
    one.faults.calls.clear()
    made = make_instance(study=STUDY, series=SERIES, instance=f"{SERIES}.1", pixel=False)
    assert one.clinic.store(made).status_code == 200
    assert one.faults.calls["table.write"] < MAX_WRITES
    (row,) = one.clinic.get("/instances").get_json(force=True)
    assert value(row, "00080018") == f"{SERIES}.1"
    (study,) = one.clinic.get("/studies?includefield=00201208").get_json(force=True)
    assert value(study, "00201208") == 1
    work(one.client)
    advance_clock(sweep.CLEANUP_SECONDS)
    work(one.client)
    assert len(one.clinic.get(f"/studies/{STUDY}/metadata").get_json(force=True)) == 1


def test_a_store_that_cannot_finish_a_deletion_fails_and_stores_nothing(
    server: StartServer, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = server()
    fill_study(engine, PAGE * 7)
    monkeypatch.setattr(cleanup, "IN_REQUEST", cleanup.WorkLimit(pages=0, seconds=0))
    one.clinic.delete(PATHS["study"])
    response = one.clinic.store(make_instance(study=STUDY, series=SERIES, instance=f"{SERIES}.1", pixel=False))
    assert response.status_code == 409
    (failure,) = response.get_json(force=True)["00081198"]["Value"]
    assert value(failure, "00081197") == 272, "processing failure: the client may try again"
    assert one.clinic.get("/instances").status_code == 204
