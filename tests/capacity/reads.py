"""What searches cost in archives of several sizes: read units on DynamoDB, and milliseconds on the embedded engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final, NamedTuple

import orjson

from app.engines.embedded.sqlite import SqliteTable
from app.services.policy import V2
from app.storage.records.packed_documents import whole
from app.storage.table.partitions import Partition
from tests.capacity.archive import ModelArchive
from tests.capacity.metered_table import Meter, MeteredTable
from tests.capacity.synthetic import fill, synthetic_study

REPEATS: Final = 7


class ReadCost(NamedTuple):
    """What one page of a search costs. `milliseconds` is the median on the embedded engine, after one read."""

    name: str
    found: int
    read_units: int
    calls: int
    milliseconds: float


class FilledArchive:
    """An archive of synthetic studies of one instance in a folder."""

    def __init__(self, folder: Path, studies: int) -> None:
        self.studies = studies
        self._sqlite = SqliteTable(folder / "index.sqlite")
        self.table = MeteredTable(self._sqlite)
        self._embedded = ModelArchive(self._sqlite, row_shards=1)
        self.partition: Partition = self._embedded.partition("clinic")
        fill(self._sqlite, self.partition.key, studies)
        self._embedded.work()
        self._metered = ModelArchive(self.table)

    def close(self) -> None:
        self._sqlite.close()

    def cost(self, name: str, parameters: Mapping[str, str], repeats: int) -> ReadCost:
        """Return what a page of the studies costs that match these parameters. Its time is measured `repeats` times."""
        self.table.meter = Meter()
        found = self._search(self._metered, parameters)
        meter = self.table.meter
        milliseconds = _milliseconds(lambda: self._search(self._embedded, parameters), repeats)
        return ReadCost(name, found, meter.read_units, meter.calls.total(), milliseconds)

    def _search(self, archive: ModelArchive, parameters: Mapping[str, str]) -> int:
        report = archive.services.search(
            self.partition, "study", None, None, list(parameters.items()), V2, lambda *uids: "/".join(uids)
        )
        return len([orjson.loads(whole(each)) for each in report.documents])

    def all_costs(self, *, limit: int = 100, repeats: int = REPEATS) -> Iterator[ReadCost]:
        """Yield the cost of a page of `limit` studies of each kind of search."""
        oldest = synthetic_study(0, self.studies)
        middle = synthetic_study(self.studies // 2, self.studies)
        year = oldest.values["StudyDate"][:4]
        for name, parameters in {
            "no filter": {},
            "PatientID": {"PatientID": middle.values["PatientID"]},
            "AccessionNumber": {"AccessionNumber": middle.values["AccessionNumber"]},
            "oldest day": {"StudyDate": oldest.values["StudyDate"]},
            "oldest year, first page": {"StudyDate": f"{year}0101-{year}1231"},
            "all dates": {"StudyDate": "19000101-"},
            "dates without a study": {"StudyDate": "19000101-19991231"},
            "modality and oldest year": {"ModalitiesInStudy": "MR", "StudyDate": f"{year}0101-{year}1231"},
            "PatientName=Smith*": {"PatientName": "Smith*"},
            "PatientName=*zzq*": {"PatientName": "*zzq*"},
            "PatientName=*mith*": {"PatientName": "*mith*"},
            "offset 5,000": {"offset": "5000"},
        }.items():
            yield self.cost(name, {"limit": str(limit), **parameters}, repeats)


@contextmanager
def filled_archive(folder: Path, studies: int) -> Iterator[FilledArchive]:
    """Make an archive in a folder and close it at the end."""
    archive = FilledArchive(folder, studies)
    try:
        yield archive
    finally:
        archive.close()


def _milliseconds(act: Callable[[], int], repeats: int) -> float:
    times = [0.0] if repeats == 0 else []
    for _ in range(repeats):
        start = perf_counter()
        act()
        times.append(1000 * (perf_counter() - start))
    return median(times)
