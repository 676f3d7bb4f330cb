"""How many calls to DynamoDB and S3 each operation makes. Each call is a round trip and costs money.

`CALLS` documents them. `python -m tests.unit.test_aws_calls` prints the counted calls beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import count
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from app import bootstrap
from app.engines.aws import clients
from app.services import Services
from app.services.access.caller import ANONYMOUS
from app.services.policy import V1, V2
from app.settings import Settings
from app.storage.records import documents
from app.storage.table import counters, keys
from app.storage.table.partitions import Partition
from app.storage.table.ports import Put, Table
from tests.support.aws import mocked_aws
from tests.support.instances import encapsulated, make_instance, multiframe
from tests.support.workitems import state, text, workitem

Calls = dict[str, int]


class Archive(NamedTuple):
    """A service that has run for a while: it has recorded the current hour and knows the partition."""

    services: Services
    clinic: Partition

    def store(self, *files: bytes) -> None:
        report = self.services.store(self.clinic, map(BytesIO, files), None, V2)
        assert len(report.stored) == len(files)

    def search(self, level: str, policy: Any = V2, study: str | None = None, **parameters: str) -> int:
        given = list(parameters.items())
        report = self.services.search(self.clinic, level, study, None, given, policy, lambda *_: "")
        return len(list(report.documents))

    def read(self, *uids: str) -> int:
        found = self.services.retrieve.instances(self.clinic, *uids)
        total = 0
        for each in found:
            with self.services.retrieve.open(each) as stream:
                total += len(stream.read())
        return total

    def metadata(self, *uids: str) -> int:
        return len(list(self.services.retrieve.metadata(self.clinic, *uids).documents))

    def frames(self, study: str, series: str, instance: str, *, number: int) -> int:
        (row,) = self.services.retrieve.instances(self.clinic, study, series, instance)
        found = self.services.retrieve.frames(row, [number], "*")
        return sum(len(chunk) for part in found.parts for chunk in part.chunks)

    def bulk_data(self, study: str, series: str, instance: str, *, path: str) -> int:
        (row,) = self.services.retrieve.instances(self.clinic, study, series, instance)
        found = self.services.bulk_data.find(row, path)
        return sum(len(chunk) for part in found.parts() for chunk in part.read(0, part.length))

    def delete(self, *uids: str) -> None:
        self.services.delete(self.clinic, *uids)

    def workitems(self, *parameters: tuple[str, str]) -> int:
        return len(list(self.services.worklist.search(self.clinic, parameters).documents))


def slices(study: str, first: int, count: int) -> list[bytes]:
    """Instances of one series of a study."""
    return [
        make_instance(study=study, series=f"{study}.1", instance=f"{study}.1.{i}", pixel=False)
        for i in range(first, first + count)
    ]


LARGE, SMALL, FRAMES, PICTURES = "2.25.400", "2.25.1", "2.25.2", "2.25.3"


def _seed(archive: Archive, table: Table) -> None:
    archive.store(*slices(LARGE, 0, 1))
    _multiply(archive, table, 400)
    archive.store(*slices(SMALL, 0, 3))
    archive.store(multiframe(10, rows=4, columns=4, study=FRAMES, series=f"{FRAMES}.1", instance=f"{FRAMES}.1.1"))
    pictures = [[b"ab"], [b"cd", b"ef"]]
    archive.store(encapsulated(pictures, study=PICTURES, series=f"{PICTURES}.1", instance=f"{PICTURES}.1.1"))


def _multiply(archive: Archive, table: Table, count: int) -> None:
    """Copy row and document of the first instance of a study `count` times. Real stores would take minutes in moto."""
    (first,) = archive.services.retrieve.instances(archive.clinic, LARGE)
    item = table.get(keys.metadata(first.partition, LARGE, first.watermark))
    assert item is not None
    for number in range(1, count):
        row = replace(first, instance=f"{LARGE}.1.{number}", watermark=first.watermark + 1_000_000 + number)
        table.write(Put(row.item))
        table.write(Put(documents.metadata_item(row, item.data)))


class Operation(NamedTuple):
    """An operation and the calls that it makes."""

    act: Callable[[Archive], Any]
    calls: Calls


CALLS: dict[str, Operation] = {
    "store 1, a new study": Operation(
        lambda a: a.store(*slices("2.25.10", 0, 1)),
        {
            "GetItem": 2,
            "BatchGetItem": 1,
            "UpdateItem": 1,
            "PutItem": 1,
            "PutObject": 1,
            "BatchWriteItem": 1,
            "TransactWriteItems": 1,
        },
    ),
    "store 1, into a series that is there": Operation(
        lambda a: a.store(*slices(SMALL, 10, 1)),
        {
            "GetItem": 2,
            "BatchGetItem": 2,
            "UpdateItem": 1,
            "PutItem": 1,
            "PutObject": 1,
            "BatchWriteItem": 1,
            "TransactWriteItems": 1,
        },
    ),
    "store 20": Operation(
        lambda a: a.store(*slices("2.25.11", 0, 20)),
        {
            "GetItem": 2,
            "BatchGetItem": 1,
            "UpdateItem": 1,
            "PutItem": 1,
            "PutObject": 20,
            "BatchWriteItem": 3,
            "TransactWriteItems": 1,
        },
    ),
    "refuse 1 that exists": Operation(
        lambda a: a.services.store(a.clinic, map(BytesIO, slices(SMALL, 0, 1)), None, V2),
        {"GetItem": 1, "BatchGetItem": 1},
    ),
    "retrieve an instance": Operation(
        lambda a: a.read(SMALL, f"{SMALL}.1", f"{SMALL}.1.0"), {"BatchGetItem": 1, "GetObject": 1}
    ),
    "retrieve a study of 4": Operation(lambda a: a.read(SMALL), {"Query": 1, "GetObject": 4}),
    "one frame of an uncompressed image": Operation(
        lambda a: a.frames(FRAMES, f"{FRAMES}.1", f"{FRAMES}.1.1", number=7), {"BatchGetItem": 1, "GetObject": 1}
    ),
    "one frame of a compressed image": Operation(
        lambda a: a.frames(PICTURES, f"{PICTURES}.1", f"{PICTURES}.1.1", number=2),
        {"BatchGetItem": 1, "GetItem": 1, "GetObject": 2},
    ),
    "bulk data of an attribute": Operation(
        lambda a: a.bulk_data(FRAMES, f"{FRAMES}.1", f"{FRAMES}.1.1", path="7FE00010"),
        {"BatchGetItem": 1, "GetItem": 1, "GetObject": 1},
    ),
    "metadata of an instance": Operation(
        lambda a: a.metadata(SMALL, f"{SMALL}.1", f"{SMALL}.1.0"), {"BatchGetItem": 2}
    ),
    "metadata of a study of 400": Operation(lambda a: a.metadata(LARGE), {"Query": 2}),
    "search studies, no filter": Operation(lambda a: a.search("study"), {"Query": 9, "BatchGetItem": 1}),
    "search studies by PatientID": Operation(
        lambda a: a.search("study", PatientID="P1"), {"Query": 1, "BatchGetItem": 1}
    ),
    "search studies by a range of dates": Operation(
        lambda a: a.search("study", StudyDate="20240101-20240131"), {"Query": 18, "BatchGetItem": 1}
    ),
    "search studies by the start of a name": Operation(
        lambda a: a.search("study", PatientName="do", fuzzymatching="true"), {"Query": 1, "BatchGetItem": 1}
    ),
    "search studies by what a name holds": Operation(
        lambda a: a.search("study", PatientName="*an*"), {"GetItem": 1, "Query": 1, "BatchGetItem": 1}
    ),
    "search studies by Modality and a name that there is not": Operation(
        lambda a: a.search("study", ModalitiesInStudy="CT,MR", PatientName="*nobody*"), {"GetItem": 1, "Query": 1}
    ),
    "search 6 studies by Modality, which also returns their counts": Operation(
        lambda a: a.search("study", ModalitiesInStudy="CT"), {"Query": 15, "BatchGetItem": 1}
    ),
    "search studies by 100 UIDs": Operation(
        lambda a: a.search("study", StudyInstanceUID=",".join(f"2.25.{i}" for i in range(100))), {"BatchGetItem": 1}
    ),
    "search 100 instances of a study": Operation(lambda a: a.search("instance", study=LARGE), {"Query": 1}),
    "search an instance of a study of 400 by its UID": Operation(
        lambda a: a.search("instance", study=LARGE, SOPInstanceUID=f"{LARGE}.1.0"), {"Query": 9, "BatchGetItem": 1}
    ),
    "search 6 studies in v1, values from their files": Operation(
        lambda a: a.search("study", V1), {"Query": 15, "BatchGetItem": 3}
    ),
    "search 6 studies with their counts": Operation(
        lambda a: a.search("study", includefield="00201208"), {"Query": 15, "BatchGetItem": 1}
    ),
    "delete an instance": Operation(
        lambda a: a.delete(SMALL, f"{SMALL}.1", f"{SMALL}.1.0"),
        {"BatchGetItem": 1, "Query": 1, "TransactWriteItems": 1, "BatchWriteItem": 1},
    ),
    "delete a study of 3": Operation(
        lambda a: a.delete(SMALL),
        {"BatchGetItem": 2, "TransactWriteItems": 4, "Query": 4, "BatchWriteItem": 3, "DeleteItem": 1},
    ),
    "add a workitem": Operation(
        lambda a: a.services.worklist.add(a.clinic, "2.25.1", workitem()), {"UpdateItem": 1, "TransactWriteItems": 1}
    ),
    "claim it": Operation(
        lambda a: a.services.worklist.change_state(a.clinic, "2.25.1", state("IN PROGRESS", "2.25.7")),
        {"GetItem": 1, "TransactWriteItems": 1},
    ),
    "update it": Operation(
        lambda a: a.services.worklist.update(a.clinic, "2.25.1", "2.25.7", {"00741204": text("LO", "x")}),
        {"GetItem": 1, "TransactWriteItems": 1},
    ),
    "retrieve it": Operation(lambda a: a.services.worklist.retrieve(a.clinic, "2.25.1"), {"GetItem": 1}),
    "search workitems in a state": Operation(
        lambda a: a.workitems(("ProcedureStepState", "IN PROGRESS")), {"Query": 1, "BatchGetItem": 1}
    ),
    "search workitems in a state by a range of times": Operation(
        lambda a: a.workitems(
            ("ProcedureStepState", "IN PROGRESS"), ("ScheduledProcedureStepStartDateTime", "20240301-20240302")
        ),
        {"Query": 1, "BatchGetItem": 1},
    ),
    "read 30 entries of the feed, with new ones": Operation(  # it reads the 64 parts of the log twice
        lambda a: list(a.services.change_feed.by_sequence(ANONYMOUS, offset=0, limit=30, metadata=False)),
        {"GetItem": 2, "Query": 129, "TransactWriteItems": 1, "BatchWriteItem": 1, "BatchGetItem": 1},
    ),
    "read 30 entries of the feed, without new ones": Operation(
        lambda a: list(a.services.change_feed.by_sequence(ANONYMOUS, offset=0, limit=30, metadata=False)),
        {"GetItem": 2, "Query": 65, "BatchGetItem": 1},
    ),
}


class Counted:
    """An archive on mocked AWS whose calls are counted."""

    def __init__(self) -> None:
        dynamodb, s3 = clients.dynamodb(), clients.s3()
        settings = Settings(engine="aws", table="archive", bucket="archive", log_level="error")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clients, "dynamodb", lambda *_, **__: dynamodb)
            patch.setattr(clients, "s3", lambda *_, **__: s3)
            bootstrap.initialise(settings)
            engine = bootstrap.build_engine(settings)
            services = bootstrap.build_services(settings, engine)
        self.archive = Archive(services, services.partitions.resolve("clinic", create=True))
        _seed(self.archive, engine.table)
        self.calls: Counter[str] = Counter()
        for client in (dynamodb, s3):
            client.meta.events.register("before-call.*", self._count)

    def _count(self, model: Any, **_: Any) -> None:
        self.calls[model.name] += 1

    def of(self, operation: Operation) -> Calls:
        self.calls.clear()
        operation.act(self.archive)
        return dict(self.calls)


@contextmanager
def seldom_busy() -> Iterator[None]:
    """Let ten seconds pass between two reservations of watermarks. A busy process would use the rest of a block."""
    times = count(1000, 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counters, "time", SimpleNamespace(monotonic=lambda: float(next(times))))
        yield


@pytest.fixture(scope="module")
def counted() -> Iterator[Counted]:
    with mocked_aws(), seldom_busy():
        yield Counted()


def test_the_calls_of_each_operation(counted: Counted) -> None:
    """Run the operations in the order of the table, because some change what later ones find."""
    found = {name: counted.of(operation) for name, operation in CALLS.items()}
    assert found == {name: operation.calls for name, operation in CALLS.items()}


if __name__ == "__main__":
    with mocked_aws(), seldom_busy():
        now = Counted()
        for each, known in CALLS.items():
            counts = now.of(known)
            mark = "" if counts == known.calls else f"   (the table says {known.calls})"
            print(f"{each:48} {sum(counts.values()):4}  {counts}{mark}")  # noqa: T201 - what it is for
