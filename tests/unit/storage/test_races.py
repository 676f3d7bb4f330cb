"""Real threads at once, as many as can be: one wins, all others are told, nothing is left of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pytest

from app import bootstrap
from app.errors import NotFound
from app.services import Services
from app.services.policy import V2
from app.services.store.report import EXISTS
from app.settings import Settings
from app.storage.table import keys
from app.storage.table.partitions import Partition
from tests.support.archive import Archive, file
from tests.support.clock import AdvanceClock

CLIENTS = 16
A = ("2.25.1", "2.25.11", "2.25.111")
A2 = ("2.25.1", "2.25.11", "2.25.112")


@pytest.fixture(params=["embedded", "moto"])
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> list[Services]:
    """Two processes on one archive: each with its own services."""
    chosen = Settings(data_dir=tmp_path, log_level="error")
    if request.param == "moto":
        request.getfixturevalue("aws")
        chosen = Settings(engine="aws", table="archive", bucket="archive", log_level="error")
    bootstrap.initialise(chosen)
    engines = [bootstrap.build_engine(chosen) for _ in range(2)]
    return [bootstrap.build_services(chosen, engine) for engine in engines]


def at_once(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """Make all calls at the same moment; what each returned."""
    calls = list(calls)
    barrier = threading.Barrier(len(calls))

    def wait_and(call: Callable[[], Any]) -> Any:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(wait_and, calls))


def store(services: Services, partition: Partition, *files: bytes) -> list[int]:
    report = services.store(partition, map(BytesIO, files), None, V2)
    return [0] * len(report.stored) + [each.reason for each in report.failed]


def test_first_stores_make_one_partition(processes: list[Services]) -> None:
    found = at_once(lambda s=s: s.partitions.resolve("Clinic", create=True) for s in processes * 10)  # type: ignore[misc]
    assert len(set(found)) == 1
    assert [each.name for each in processes[0].partitions.listed()] == ["Microsoft.Default", "Clinic"]


def test_one_instance_from_many_clients(processes: list[Services], advance_clock: AdvanceClock) -> None:
    partition = processes[0].partitions.resolve("clinic", create=True)
    store(processes[0], partition, file(*A2))  # so that nothing above the instance is written with it
    services = processes * (CLIENTS // 2)
    reasons = at_once(lambda s=s: store(s, partition, file(*A)) for s in services)  # type: ignore[misc]
    assert sorted(reason for (reason,) in reasons) == [0] + [EXISTS] * (CLIENTS - 1)
    one = processes[0]
    (row,) = one.retrieve.instances(partition, *A)
    with one.retrieve.open(row) as stream:
        assert stream.read() == file(*A)
    advance_clock()
    for step in one.background:
        while step():
            pass
    assert [each.action for each in one.change_feed.by_sequence(0, 1000, metadata=False)] == ["Create"] * 2


def test_nothing_is_left_of_those_who_lost(tmp_path: Path, advance_clock: AdvanceClock) -> None:
    archive = Archive(tmp_path)
    at_once(lambda: archive.store(file(*A)) for _ in range(CLIENTS))
    advance_clock()
    archive.work()
    archive.check_clean()
    assert archive.visible() == {A}
    assert len(archive.blobs()) == 1
    assert not [key for key in archive.items() if key.pk == keys.SWEEP]


def test_many_clients_fill_one_series(processes: list[Services], request: pytest.FixtureRequest) -> None:
    """Nobody loses, though all write below one new study; the counts are those of what was stored."""
    partition = processes[0].partitions.resolve("clinic", create=True)
    clients, each = (CLIENTS, 10) if "embedded" in request.node.name else (4, 3)
    series = [(A[0], A[1], f"2.25.111.{i}") for i in range(clients * each)]
    calls = [
        lambda c=c: [store(processes[c % 2], partition, file(*uids)) for uids in series[c::clients]]
        for c in range(clients)
    ]
    found = at_once(calls)
    assert Counter(reason for some in found for one in some for reason in one) == {0: len(series)}
    query = [("includefield", "00201208,00201206")]
    (document,) = processes[1].search(partition, "study", None, None, query, V2, lambda *_: "").documents
    row = orjson.loads(document)
    assert (row["00201208"]["Value"], row["00201206"]["Value"]) == ([len(series)], [1])


def test_stores_and_deletions_all_at_once(tmp_path: Path, advance_clock: AdvanceClock) -> None:
    """What each was told holds: an instance is there if its last acknowledged change was a store."""
    archive, other = Archive(tmp_path), Archive(tmp_path)
    uids = [("2.25.1", f"2.25.1{i % 2}", f"2.25.1{i % 2}{i}") for i in range(8)]

    def churn(which: int) -> bool:
        """Store and delete one's own instance, many times; return whether it was stored at last."""
        mine = (archive, other)[which % 2]
        there = False
        for turn in range(8):
            if turn % 3 == 2 and there:
                mine.delete(*uids[which])
                there = False
            elif not there:
                there = mine.store(file(*uids[which])) == [0]
        return there

    stored = at_once(lambda i=i: churn(i) for i in range(8))  # type: ignore[misc]
    advance_clock(10)
    assert archive.visible() == {uids[i] for i in range(8) if stored[i]}
    at_once([lambda: tried(archive), lambda: tried(other)])
    advance_clock()
    archive.work()
    advance_clock(10)
    archive.check_clean()
    assert not archive.visible()


def tried(archive: Archive) -> bool:
    """Delete the study; tell whether this was the one that did."""
    try:
        archive.delete("2.25.1")
    except NotFound:
        return False
    return True


def test_of_two_deletions_one_is_told_that_it_did(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    for _ in range(5):
        archive.store(file(*A))
        told = at_once([lambda: tried(archive)] * 4)
        assert told.count(True) == 1
        assert not archive.visible()
