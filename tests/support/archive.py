"""An embedded archive for tests that interrupt it. Its ports are under the rules of `Faults`, and `Archive.visible` and
`Archive.check_clean` check that what is stored is consistent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson

from app import bootstrap
from app.services.access.caller import ANONYMOUS
from app.services.change_feed import FeedEntryView
from app.services.policy import V2
from app.settings import Settings
from app.storage.index.statistics import stored_size
from app.storage.records.instance_row import InstanceRow
from app.storage.records.packed_documents import whole
from app.storage.records.postings import entries_of
from app.storage.table import keys
from app.storage.table.ports import Item, Key, Table
from tests.support.faulty_engine import Faults, FaultyBlobStore, FaultyTable
from tests.support.instances import make_instance

Uids = tuple[str, str, str]
"""The UIDs of an instance: study, series, instance."""

VARIANTS: tuple[dict[str, str], ...] = ({}, {"modality": "MR"})
"""How the files of one instance may differ."""


@cache
def file(study: str, series: str, instance: str, **attributes: str) -> bytes:
    """Return the Part 10 bytes of a small instance. Its values follow from its UIDs."""
    given = {"patient_id": f"P{study[-1]}", "modality": "CT", "pixel": False, **attributes}
    return make_instance(study=study, series=series, instance=instance, **given)


class Archive:
    """The services on an embedded engine in `folder`, in one of its partitions.

    `settings` may name another engine. Then only what clients do and `visible` are for use.

    Two archives on one folder are two processes. `faults` decides what happens at calls to the table and the blob
    store. The queue is not under its rules. `small` is the setting for the largest instance that is no file.
    `whole_writes` says that a write of the table is one call, as it is without `faults`. By default it is several, and
    faults may come between them.
    """

    def __init__(
        self,
        folder: Path,
        partition: str = "clinic",
        *,
        delay: int = 0,
        small: int = 65_536,
        settings: Settings | None = None,
        whole_writes: bool = False,
    ) -> None:
        self.folder = folder
        self.faults = Faults()
        settings = settings or Settings(
            data_dir=folder, log_level="error", delete_delay_seconds=delay, small_file_bytes=small
        )
        engine = bootstrap.build_engine(settings)
        self.stored_blobs = engine.blobs
        self.table: Table = FaultyTable(engine.table, self.faults, whole_writes=whole_writes)
        blobs = FaultyBlobStore(engine.blobs, self.faults)
        given = replace(engine, table=self.table, blobs=blobs, writes_at_once=whole_writes)
        self.services = bootstrap.build_services(settings, given)
        self.move(partition)

    @property
    def hook(self) -> Callable[[str], None] | None:
        """Called with each call to the table and the blob store: see `Faults.hook`."""
        return self.faults.hook

    @hook.setter
    def hook(self, hook: Callable[[str], None] | None) -> None:
        self.faults.hook = hook

    def move(self, partition: str) -> None:
        """Continue in another partition. The feed is read from this point on."""
        self.partition = self.services.partitions.resolve(partition, create=True)
        latest = self.services.change_feed.latest(ANONYMOUS, by_time=False, metadata=False)
        self._feed_start = latest.sequence if latest else 0

    def read_whole_feed(self) -> None:
        """Read the feed from its first entry, in an archive that was written before this object was made."""
        self._feed_start = 0

    # --- what clients do ---

    def store(self, *files: bytes) -> list[int]:
        """Store in one request. Return a 0 for each stored instance, then the failure reason of each other one."""
        report = self.services.store(self.partition, map(BytesIO, files), None, V2)
        return [0] * len(report.stored) + [each.reason for each in report.failed]

    def delete(self, *uids: str) -> None:
        self.services.delete(self.partition, *uids)

    def search(self, level: str, **parameters: str) -> list[dict[str, Any]]:
        given = {"limit": "200", **parameters}
        report = self.services.search(
            self.partition, level, None, None, list(given.items()), V2, lambda *uids: "/".join(uids)
        )
        return [orjson.loads(whole(document)) for document in report.documents]

    def work(self) -> None:
        """Do the background work that is due, until none is left."""
        for _ in range(1000):
            found = [step() for step in self.services.background]
            if not any(found):
                return
        raise AssertionError("the background work does not end")

    # --- what must hold ---

    def visible(self) -> frozenset[Uids]:
        """The instances that readers see. Asserts that all ways of reading agree, and that the files are unchanged."""
        found = frozenset(
            (_value(row, "0020000D"), _value(row, "0020000E"), _value(row, "00080018"))
            for row in self.search("instance")
        )
        self._check_levels(found)
        for uids in found:
            self._check_instance(uids)
        current = {_uids(each) for each in self.feed() if each.state == "Current"}
        assert current == found, "feed and search differ"
        return found

    def feed(self) -> list[FeedEntryView]:
        """The entries of the feed since the archive was moved to its partition."""
        feed = self.services.change_feed.by_sequence(ANONYMOUS, offset=self._feed_start, limit=100_000, metadata=False)
        return [each for each in feed if each.partition_name == self.partition.name]

    def _check_levels(self, found: frozenset[Uids]) -> None:
        studies = self.search("study", includefield="00201208,00201206,00080061")
        counted = {_value(row, "0020000D"): (_value(row, "00201208"), _value(row, "00201206")) for row in studies}
        of = {study: [uids for uids in found if uids[0] == study] for study, _, _ in found}
        assert counted == {s: (len(of[s]), len({uids[1] for uids in of[s]})) for s in of}, "studies are miscounted"
        series = self.search("series", includefield="00201209")
        inside = {(_value(row, "0020000D"), _value(row, "0020000E")): _value(row, "00201209") for row in series}
        assert inside == {s: sum(uids[:2] == s for uids in found) for s in {uids[:2] for uids in found}}
        for modality in ("CT", "MR"):
            wanted = {
                _value(row, "0020000D") for row in studies if modality in row.get("00080061", {}).get("Value", ())
            }
            assert {_value(row, "0020000D") for row in self.search("study", ModalitiesInStudy=modality)} == wanted

    def _check_instance(self, uids: Uids) -> None:
        (row,) = self.services.retrieve.instances(self.partition, *uids)
        with self.services.retrieve.open(row) as stream:
            stored = stream.read()
        assert stored in [file(*uids, **values) for values in VARIANTS], "the file is not what was stored"
        (document,) = self.services.retrieve.metadata(self.partition, *uids).documents
        metadata = orjson.loads(whole(document))
        assert _value(metadata, "00080018") == uids[2]
        (match,) = self.search("study", PatientID=_value(metadata, "00100020"), StudyInstanceUID=uids[0])
        assert _value(match, "0020000D") == uids[0]
        assert uids[0] in [_value(each, "0020000D") for each in self.search("study", PatientID=f"P{uids[0][-1]}")]

    # --- what is stored ---

    def items(self) -> list[Key]:
        """The keys of every item of the partition, and of all records of the sweep.

        The statistics are left out, because they stay in a partition without studies. Pages of values are left out too:
        they follow a deletion later (`tests/unit/storage/search`).
        """
        first, end = f"{self.partition.key}/", f"{self.partition.key}0"
        with sqlite3.connect(self.folder / "index.sqlite") as connection:
            rows = connection.execute("SELECT pk, sk FROM item WHERE pk BETWEEN ? AND ? OR pk = 'sweep'", (first, end))
            found = [Key(*row) for row in rows]
        statistics, pages = keys.statistics_items(self.partition.key), keys.page_list(self.partition.key).pk
        return [key for key in found if key.pk != statistics and not key.pk.startswith(pages)]

    def blobs(self) -> list[str]:
        """The keys of the objects of the partition."""
        return [blob.key for blob in self.stored_blobs.listed(f"{self.partition.key}/")]

    def check_clean(self) -> None:
        """Assert that nothing is stored but the rows, documents, postings and blobs of the visible instances.

        No record of work is left. The statistics have the numbers of these rows.
        """
        found = self.visible()
        last = {_uids(each): each.action for each in self.feed()}
        assert {uids for uids, action in last.items() if action == "Create"} == found, "the feed does not end in Delete"
        items = self.items()
        rows = [key for key in items if "/study/" in key.pk and key.sk.startswith("instance/")]
        assert len(rows) == len(found), "rows that no reader sees"
        assert len(self.blobs()) == len(rows), "blobs without rows"
        assert len([key for key in items if "/metadata/" in key.pk]) == len(rows), "documents without rows"
        assert not [key for key in items if key.pk == "sweep"], "work is left"
        assert not [item for item in self.table.query(keys.log(0)) if "fence" in item.fields], "a commit is left open"
        expected_postings = {entry for key in items if _is_row(key) for entry in entries_of(self._item(key))}
        families = ({"newest"}, {"value"}, {"word"})
        postings = {key for key in items if set(key.pk.split("/")[1:2]) in families}
        assert postings == expected_postings, "postings without rows, or rows without postings"
        assert rows or not items, f"left behind: {items}"
        studies = [key for key in items if "/study/" in key.pk and key.sk == keys.STUDY]
        stored = [self._row(key) for key in rows]
        counted = self.services.partitions.statistics.of(self.partition)
        expected = len(studies), len(rows), sum(map(stored_size, stored))
        assert counted == (expected if self.partition.counted else None), "statistics differ from the rows"

    def _item(self, key: Key) -> Item:
        item = self.table.get(key)
        assert item is not None
        return item

    def _row(self, key: Key) -> InstanceRow:
        return InstanceRow.of(self._item(key), self.partition.key, key.pk.rpartition("/")[2])


def _is_row(key: Key) -> bool:
    """Return whether an item under this key is the row of a study, a series or an instance."""
    return key.pk.split("/")[1:2] == ["study"] and not key.sk.startswith("shard/")


def _uids(entry: FeedEntryView) -> Uids:
    return entry.study, entry.series, entry.instance


def _value(row: dict[str, Any], tag: str) -> Any:
    return row[tag]["Value"][0]
