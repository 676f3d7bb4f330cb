"""Many threads at the same time: one store of an instance succeeds, the others report that, and they leave nothing."""

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
from app.services.access.caller import ANONYMOUS
from app.services.policy import V2
from app.services.store.report import EXISTS
from app.settings import Settings
from app.storage.table import keys
from app.storage.table.partitions import Partition
from tests.support.archive import Archive, file
from tests.support.clock import AdvanceClock
from tests.support.selection import ENGINES

CLIENTS = 16
A = ("2.25.1", "2.25.11", "2.25.111")
A2 = ("2.25.1", "2.25.11", "2.25.112")


@pytest.fixture(params=ENGINES)
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> list[Services]:
    """The services of two processes on one archive."""
    chosen = Settings(data_dir=tmp_path, log_level="error")
    if request.param == "moto":
        request.getfixturevalue("aws")
        chosen = Settings(engine="aws", table="archive", bucket="archive", log_level="error")
    bootstrap.initialise(chosen)
    engines = [bootstrap.build_engine(chosen) for _ in range(2)]
    return [bootstrap.build_services(chosen, engine) for engine in engines]


def at_once(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """Make all calls at the same moment; the result of each."""
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


def test_concurrent_first_stores_create_one_partition(processes: list[Services]) -> None:
    found = at_once(lambda s=s: s.partitions.resolve("Clinic", create=True) for s in processes * 10)  # type: ignore[misc]
    assert len(set(found)) == 1
    assert [each.name for each in processes[0].partitions.listed(ANONYMOUS)] == ["Microsoft.Default", "Clinic"]


def test_one_of_many_stores_of_an_instance_succeeds(processes: list[Services], advance_clock: AdvanceClock) -> None:
    partition = processes[0].partitions.resolve("clinic", create=True)
    store(processes[0], partition, file(*A2))  # now a store writes neither the study row nor the series row
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
    assert [each.action for each in one.change_feed.by_sequence(ANONYMOUS, offset=0, limit=1000, metadata=False)] == [
        "Create"
    ] * 2


def test_the_stores_that_fail_leave_nothing(tmp_path: Path, advance_clock: AdvanceClock) -> None:
    archive = Archive(tmp_path)
    at_once(lambda: archive.store(file(*A)) for _ in range(CLIENTS))
    advance_clock()
    archive.work()
    archive.check_clean()
    assert archive.visible() == {A}
    assert len(archive.blobs()) == 1
    assert not [key for key in archive.items() if key.pk == keys.SWEEP]


def test_many_clients_store_into_one_series(processes: list[Services], request: pytest.FixtureRequest) -> None:
    """Every store succeeds, although all create the same study, and the counts are exact."""
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


def test_concurrent_stores_and_deletions(tmp_path: Path, advance_clock: AdvanceClock) -> None:
    """An instance exists if its last acknowledged change was a store."""
    archive, other = Archive(tmp_path), Archive(tmp_path)
    uids = [("2.25.1", f"2.25.1{i % 2}", f"2.25.1{i % 2}{i}") for i in range(8)]

    def store_and_delete(which: int) -> bool:
        """Store and delete one instance several times; whether it is stored in the end."""
        mine = (archive, other)[which % 2]
        stored = False
        for turn in range(8):
            if turn % 3 == 2 and stored:
                mine.delete(*uids[which])
                stored = False
            elif not stored:
                stored = mine.store(file(*uids[which])) == [0]
        return stored

    stored = at_once(lambda i=i: store_and_delete(i) for i in range(8))  # type: ignore[misc]
    advance_clock(10)
    assert archive.visible() == {uids[i] for i in range(8) if stored[i]}
    at_once([lambda: delete_study(archive), lambda: delete_study(other)])
    advance_clock()
    archive.work()
    advance_clock(10)
    archive.check_clean()
    assert not archive.visible()


def delete_study(archive: Archive) -> bool:
    """Delete the study; whether this call was the one that deleted it."""
    try:
        archive.delete("2.25.1")
    except NotFound:
        return False
    return True


def test_one_of_several_deletions_succeeds(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    for _ in range(5):
        archive.store(file(*A))
        results = at_once([lambda: delete_study(archive)] * 4)
        assert results.count(True) == 1
        assert not archive.visible()
