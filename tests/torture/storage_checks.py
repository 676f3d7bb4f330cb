"""Checks behind the service: the items of the table and the blobs, after sweeping."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from app import bootstrap
from app.services import Services
from app.settings import Settings
from app.storage.index.statistics import stored_size
from app.storage.records import documents, postings
from app.storage.records.leftovers import version_of
from app.storage.records.rows import InstanceRow, StudyRow
from app.storage.table import clock, keys
from app.storage.table.ports import Key
from app.storage.tags.query_tags import QueryTagStore
from app.storage.worklist import workitems
from tests.support.value_pages import page_faults
from tests.torture.engines import EngineUnderTest
from tests.torture.journal import Journal

_DAY: Final = 86_400
_DELAYS: Final = (7200, *(day * _DAY for day in range(1, 8)), 400 * _DAY)
"""How far the clock moves, in seconds, until the sweep has tried all. It repeats a failed removal a day later."""


def sweep_everything(engine: bootstrap.Engine, settings: Settings, journal: Journal) -> None:
    """Do the background work until nothing is left, as if a long time had passed. No other process may run."""
    services: Services = bootstrap.build_services(settings, engine)
    true_clock = clock.now
    delay = 0
    try:
        clock.now = lambda: time.time() + delay
        for delay in _DELAYS:
            for _ in range(10_000):
                found = [step() for step in services.background]
                if not any(found):
                    break
            else:
                journal.violate("the background work ends", "sweep", f"not after {delay} seconds")
        left = [item.key.sk for pk in keys.SWEEPS for item in engine.table.query(pk)]
        if left:
            journal.violate("the sweep ends", "sweep", str(left)[:500])
    finally:
        clock.now = true_clock


class StoredItems:
    """The items of the table that the checks compare: rows, postings, documents, and the versions that rows name."""

    def __init__(self, engine: bootstrap.Engine, partition_keys: Iterable[str]) -> None:
        self.postings: set[Key] = set()
        self.documents: set[Key] = set()
        self.expected_postings: set[Key] = set()
        self.expected_documents: set[Key] = set()
        self.expected_blobs: set[str] = set()
        self.instances: dict[tuple[int, str], set[str]] = {}
        self.studies: dict[int, list[StudyRow]] = {}
        self.statistics: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self.expected_statistics: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self.closing: list[Key] = []
        self._tags = QueryTagStore(engine.table).read().keys
        for pk in partition_keys:
            family = pk.split("/")[1] if pk[:1].isdigit() else ""
            for item in engine.table.query(pk) if family else ():
                if family in {"newest", "value", "word"}:
                    self.postings.add(item.key)
                elif family in {"metadata", "frames"}:
                    self.documents.add(item.key)
                elif family == "statistics":
                    self.statistics[int(pk.split("/")[0])].update(item.fields)
                elif family == "workitem":
                    self.expected_postings |= workitems.entries_of(item)
                elif family == "study" and not item.key.sk.startswith("shard/"):
                    self.expected_postings |= {key for key in postings.entries_of(item) if self._is_kept(key)}
                    if item.fields.get("closing"):
                        self.closing.append(item.key)
                    if item.key.sk == keys.STUDY:
                        row = StudyRow.of(item, int(pk.split("/")[0]), pk.split("/")[2])
                        self.studies.setdefault(row.partition, []).append(row)
                        self.expected_statistics[int(pk.split("/")[0])]["studies"] += 1
                    if item.key.sk.startswith("instance/"):
                        self._add_instance(InstanceRow.of(item, int(pk.split("/")[0]), pk.split("/")[2]))

    def _is_kept(self, entry: Key) -> bool:
        """Return whether a posting of a row must exist. A row keeps the values of a tag that was deleted."""
        attribute = entry.pk.split("/")[3] if keys.is_posting(entry) else ""
        return not keys.is_tag_error(entry) and ("#" not in attribute or attribute in self._tags)

    def _add_instance(self, row: InstanceRow) -> None:
        self.instances.setdefault((row.partition, row.study), set()).add(row.instance)
        self.expected_statistics[row.partition].update(instances=1, bytes=stored_size(row))
        for version in (row.with_file(file) for file in row.files):
            self.expected_blobs.add(version_of(version).blob)
            # An instance without encapsulated frames has no frame table.
            self.expected_documents.add(documents.keys_of(version)[0])


def check_storage(engine: bootstrap.Engine, under_test: EngineUnderTest, journal: Journal) -> StoredItems:
    """Compare rows, postings, documents and blobs. No process may write meanwhile."""
    stored = StoredItems(engine, under_test.partition_keys())
    blobs = {blob for blob in under_test.blobs() if not blob.startswith(keys.PARTITION_OBJECTS)}
    compared: tuple[tuple[str, str, set[Key] | set[str], set[Key] | set[str]], ...] = (
        ("posting", "row", stored.postings, stored.expected_postings),
        ("document", "row", stored.documents, stored.expected_documents),
        ("blob", "row", blobs, stored.expected_blobs),
    )
    for what, owner, found, expected in compared:
        for each in sorted(found - expected)[:10]:
            journal.violate(f"no {what} without a {owner}", str(each), f"{len(found - expected)} of them")
        for each in sorted(expected - found)[:10]:
            journal.violate(f"no {owner} without its {what}", str(each), f"{len(expected - found)} of them")
    for partition in stored.statistics.keys() | stored.expected_statistics.keys():
        counted, exist = stored.statistics[partition], stored.expected_statistics[partition]
        if counted != exist:
            journal.violate("the statistics have the numbers of the rows", str(partition), f"{counted}, not {exist}")
    for partition in stored.statistics.keys() | stored.studies.keys():
        for fault in page_faults(engine.table, partition, stored.studies.get(partition, [])):
            journal.violate("pages have the values of each study without a mark", str(partition), fault)
    for key in stored.closing:
        journal.violate("no deletion stays unfinished", str(key), "the row is closing")
    return stored
