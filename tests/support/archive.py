"""An embedded archive for tests that break into it: calls to the ports can be watched, stopped or failed, and
`Archive.check` says whether what is there holds together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from app import bootstrap
from app.services.change_feed import FeedEntryView
from app.services.policy import V2
from app.settings import Settings
from app.storage.table.ports import ALL, BlobStore, Change, Item, Key, Range, Table
from tests.support.instances import make_instance

Uids = tuple[str, str, str]
Hook = Callable[[str], None]
"""Told before and after each call to a port what it is about: `table.write`, then `table.write done`."""


class HookedTable:
    """A table whose calls are announced."""

    def __init__(self, table: Table, hook: Hook) -> None:
        self._table = table
        self._hook = hook

    def _told(self, name: str, *given: Any) -> Any:
        self._hook(f"table.{name}")
        answer = getattr(self._table, name)(*given)
        self._hook(f"table.{name} done")
        return answer

    def get(self, key: Key) -> Item | None:
        found: Item | None = self._told("get", key)
        return found

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        found: list[Item | None] = self._told("get_many", keys)
        return found

    def query(
        self, pk: str, between: Range = ALL, *, reverse: bool = False, limit: int | None = None
    ) -> Iterator[Item]:
        self._hook("table.query")
        yield from self._table.query(pk, between, reverse=reverse, limit=limit)

    def count(self, pk: str, between: Range = ALL) -> int:
        return int(self._told("count", pk, between))

    def write(self, *changes: Change) -> None:
        self._told("write", *changes)

    def add(self, key: Key, counter: str, by: int) -> int:
        return int(self._told("add", key, counter, by))


class HookedBlobs:
    """A blob store whose calls are announced."""

    def __init__(self, blobs: BlobStore, hook: Hook) -> None:
        self._blobs = blobs
        self._hook = hook

    def put(self, key: str, body: BinaryIO) -> int:
        self._hook("blobs.put")
        size = self._blobs.put(key, body)
        self._hook("blobs.put done")
        return size

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        return self._blobs.open(key, start, length)

    def delete(self, keys: Iterable[str]) -> None:
        self._hook("blobs.delete")
        self._blobs.delete(keys)
        self._hook("blobs.delete done")


VARIANTS: tuple[dict[str, str], ...] = ({}, {"modality": "MR"})
"""How the files of one instance may differ."""


@cache
def file(study: str, series: str, instance: str, **attributes: str) -> bytes:
    """The Part 10 bytes of a small instance; its values follow from its UIDs."""
    given = {"patient_id": f"P{study[-1]}", "modality": "CT", "pixel": False, **attributes}
    return make_instance(study=study, series=series, instance=instance, **given)  # type: ignore[arg-type]


class Archive:
    """The services on an embedded engine below `folder`, in one of its partitions. Two on one folder are two processes.

    `hook`, if set, is told of each call to a port.
    """

    def __init__(self, folder: Path, partition: str = "clinic", *, delay: int = 0) -> None:
        self.hook: Hook | None = None
        self.folder = folder
        settings = Settings(data_dir=folder, log_level="error", delete_delay_seconds=delay)
        engine = bootstrap.build_engine(settings)
        self._table = HookedTable(engine.table, self._told)
        self.services = bootstrap.build_services(
            settings, bootstrap.Engine(self._table, HookedBlobs(engine.blobs, self._told), engine.queue)
        )
        self.move(partition)

    def move(self, partition: str) -> None:
        """Go on in another partition."""
        self.partition = self.services.partitions.resolve(partition, create=True)
        latest = self.services.change_feed.latest(by_time=False, metadata=False)
        self._fed = latest.sequence if latest else 0

    def _told(self, call: str) -> None:
        if self.hook:
            self.hook(call)

    # --- what clients do ---

    def store(self, *files: bytes) -> list[int]:
        """Store in one request; the failure reason of each, 0 for success. Stored first, then refused."""
        report = self.services.store(self.partition, map(BytesIO, files), None, V2)
        return [0] * len(report.stored) + [each.reason for each in report.failed]

    def delete(self, *uids: str) -> None:
        self.services.delete(self.partition, *uids)

    def search(self, level: str, **parameters: str) -> list[dict[str, Any]]:
        given = {"limit": "200", **parameters}
        report = self.services.search(
            self.partition, level, None, None, list(given.items()), V2, lambda *uids: "/".join(uids)
        )
        return report.rows

    def work(self) -> None:
        """Do the background work that is due, until there is none."""
        for _ in range(100):
            found = [step() for step in self.services.background]
            if not any(found):
                return
        raise AssertionError("the background work never ends")

    # --- what must hold ---

    def visible(self) -> frozenset[Uids]:
        """The instances that readers see; asserts that all ways of reading agree, down to the last byte."""
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
        """What the feed says since the archive was moved to its partition."""
        feed = self.services.change_feed.by_sequence(self._fed, 100_000, metadata=False)
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
        assert stored in [file(*uids, **values) for values in VARIANTS], "the file is another"
        (document,) = self.services.retrieve.metadata(self.partition, *uids).documents
        metadata = orjson.loads(document)
        assert _value(metadata, "00080018") == uids[2]
        (match,) = self.search("study", PatientID=_value(metadata, "00100020"), StudyInstanceUID=uids[0])
        assert _value(match, "0020000D") == uids[0]
        assert uids[0] in [_value(each, "0020000D") for each in self.search("study", PatientID=f"P{uids[0][-1]}")]

    # --- what lies there ---

    def items(self) -> list[Key]:
        """The keys of every item of the partition, and of what is to be swept."""
        first, end = f"{self.partition.key}/", f"{self.partition.key}0"
        with sqlite3.connect(self.folder / "index.sqlite") as connection:
            rows = connection.execute("SELECT pk, sk FROM item WHERE pk BETWEEN ? AND ? OR pk = 'sweep'", (first, end))
            return [Key(*row) for row in rows]

    def blobs(self) -> list[Path]:
        """The files of the partition."""
        root = self.folder / "blobs" / "objects" / str(self.partition.key)
        return [path for path in root.rglob("*") if path.is_file()]

    def check_clean(self) -> None:
        """Assert that nothing lies there but what the visible instances are made of."""
        found = self.visible()
        last = {_uids(each): each.action for each in self.feed()}
        assert {uids for uids, action in last.items() if action == "Create"} == found, "the feed does not end in Delete"
        items = self.items()
        rows = [key for key in items if "/study/" in key.pk and key.sk.startswith("instance/")]
        assert len(rows) == len(found), "rows that nobody sees"
        assert len(self.blobs()) == len(rows), "blobs without rows"
        assert len([key for key in items if "/metadata/" in key.pk]) == len(rows), "documents without rows"
        assert not [key for key in items if key.pk == "sweep"], "work left undone"
        assert rows or not items, f"left behind: {items}"


def _uids(entry: FeedEntryView) -> Uids:
    return entry.study, entry.series, entry.instance


def _value(row: dict[str, Any], tag: str) -> Any:
    return row[tag]["Value"][0]
