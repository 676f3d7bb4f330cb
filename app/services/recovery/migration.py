"""Migration of an archive to another engine, or to another place: all items of its table and all files of instances.

`copy` runs while the source is in use. `finish` copies the difference when nobody writes to the source any more,
removes from the target what the source does not have, compares both, and opens the target.

An item under `keys.MIGRATION` marks the target until then, and no process opens it. It names the source, so no other
migration goes on with it. At the end such an item in the source says where the archive is from then on. After a kill -9
the same call goes on: `copy` after the last items that it noted, `finish` with whatever differs.

These items are not copied:
* messages of the queue: the worker finds operations without them;
* committed records of the log: the source moves them into its change feed before `finish`.

Open records of the log and records of the sweep come into the first shard, which every engine has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

from app.errors import BlobMissing, RecoveryError
from app.services.parallel import prefetch
from app.services.recovery.migration_check import MigrationCheck
from app.services.recovery.migration_parts import (
    Store,
    batches,
    blob_pairs,
    copied_key,
    is_copied,
    is_resharded,
    names_partition,
    patiently,
)
from app.services.recovery.migration_report import MigrationReport
from app.services.recovery.verification import ShowProgress
from app.storage.table import keys
from app.storage.table.ports import Absent, Delete, Item, Key, Present, Put, StoredBlob

_AT_ONCE: Final = 8
_NOTED_BATCHES: Final = 50
"""Batches of items between two notes of the position."""

_FIRST_PARTITION: Final = 1
_SEEDED: Final = frozenset(
    {
        *(keys.LAYOUT.pk, keys.PARTITIONS, keys.PARTITION_COUNTER.pk, keys.QUEUE, keys.QUEUE_CHECK.pk),
        *(keys.FEED_HEAD.pk, keys.PAGE_WALK.pk, keys.page_list(_FIRST_PARTITION).pk, keys.SESSION_KEY.pk),
    }
)
"""The partition keys of the items of an archive that was created, and whose service perhaps ran, and that has nothing
stored."""
_MOST_SEEDED: Final = 20


class _State(NamedTuple):
    """The item that marks the target. `after` is the last item that `copy` has copied, None before the first.

    `is_copied` says that `copy` has reached the end once.
    """

    source: str
    after: Key | None = None
    is_copied: bool = False

    @property
    def item(self) -> Item:
        fields = {"source": self.source, "after": list(self.after or ()), "copied": self.is_copied}
        return Item(keys.MIGRATION, fields)

    @staticmethod
    def of(item: Item) -> _State:
        fields = item.fields
        return _State(fields["source"], Key(*fields["after"]) if fields["after"] else None, fields["copied"])


class Migration:
    """Copies the archive of one store to another one. `sequence` moves committed records of the source to its feed."""

    def __init__(
        self,
        source: Store,
        target: Store,
        *,
        sequence: Callable[[], object],
        show: ShowProgress,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._target = target
        self._sequence = sequence
        self._show = show
        self._sleep = sleep
        self._report = MigrationReport(source=source.name, target=target.name)
        self._check = MigrationCheck(source, target, self._report, show)

    def copy(self) -> MigrationReport:
        """Copy files and items while the source is in use. Return what was copied.

        Raises `RecoveryError` if the target has something else, `StorageUnavailable` if a store does not answer for
        some minutes.
        """
        state = self._claim()
        self._copy_files()
        self._copy_items(state)
        return self._report

    def finish(self, *, digests: bool) -> MigrationReport:
        """Make the target equal to the source, compare them, close the source, and open the target.

        Returns what was done. With `digests` every file of the target is read, and compared with the digest in its row.
        Raises `RecoveryError` if the two differ after the copy, because the source is in use: then the target stays
        closed.
        """
        state = self._claim()
        self._sequence()
        self._remove_items()
        self._copy_files()
        self._copy_items(state._replace(after=None, is_copied=True))
        self._remove_files()
        self._check.run(digests=digests)
        # A kill -9 after this write leaves two closed archives. `reopen` opens the source, and this call ends the rest.
        self._source.table.write(Put(Item(keys.MIGRATION, {"moved_to": self._target.name})))
        self._open()
        self._report.is_finished = True
        return self._report

    # --- the mark of the target ---

    def _claim(self) -> _State:
        """Mark the target. A kill -9 leaves an empty target, or a marked one."""
        if self._source.name == self._target.name:
            raise RecoveryError(f"{self._source.name} is the source. Name another target.")
        item = self._target.table.get(keys.MIGRATION)
        if item is None:
            self._require_empty()
            state = _State(self._source.name)
            self._target.table.write(Put(state.item, Absent()))
            return state
        if "moved_to" in item.fields:
            raise RecoveryError(f"{self._target.name} is not empty. Name an empty target.")
        state = _State.of(item)
        if state.source != self._source.name:
            raise RecoveryError(f"{self._target.name} has a part of {state.source}. Name an empty target.")
        return state

    def _require_empty(self) -> None:
        items = list(islice(self._target.table.items(), _MOST_SEEDED))
        partitions = [item for item in items if item.key.pk == keys.PARTITIONS]
        if (
            len(items) == _MOST_SEEDED
            or len(partitions) > 1
            or any(item.key.pk not in _SEEDED for item in items)
            or any(keys.blob_name(blob.key) for blob in self._target.blobs.listed())
        ):
            raise RecoveryError(f"{self._target.name} is not empty. Name an empty target.")

    def _open(self) -> None:
        """Let processes open the target. A kill -9 leaves it marked or open."""
        layout = self._source.table.get(keys.LAYOUT)
        assert layout is not None  # noqa: S101 - the source was opened
        self._target.table.write(Put(layout), Delete(keys.MIGRATION, Present()))

    # --- files ---

    def _copy_files(self) -> None:
        missing = (
            source
            for source, target in blob_pairs(self._source.blobs, self._target.blobs)
            if source and (target is None or target.size != source.size or names_partition(source.key))
        )
        for done, size in enumerate(prefetch(self._copy_file, missing, ahead=_AT_ONCE), 1):
            if size is not None:
                self._report.copied_files += 1
                self._report.copied_size += size
            self._show("Copying files", done, None)

    def _copy_file(self, blob: StoredBlob) -> int | None:
        """Copy a file. Return its size, None if it was deleted meanwhile."""

        def attempt() -> int | None:
            try:
                with self._source.blobs.open(blob.key) as stream:
                    return self._target.blobs.put(blob.key, stream)
            except BlobMissing:
                return None

        return patiently(attempt, self._sleep)

    def _remove_files(self) -> None:
        extra = (
            target.key
            for source, target in blob_pairs(self._source.blobs, self._target.blobs)
            if target and source is None
        )
        while some := list(islice(extra, 1000)):
            self._target.blobs.delete(some)
            self._report.removed_files += len(some)

    # --- items ---

    def _copy_items(self, state: _State) -> None:
        """Copy the items after the noted position. Compare before, if a copy has reached the end already."""

        def copy(batch: Sequence[Item]) -> tuple[Key, int]:
            changed = self._different(batch) if state.is_copied else self._copies(batch)
            patiently(lambda: self._target.table.write_each(map(Put, changed), durable=False), self._sleep)
            return batch[-1].key, len(changed)

        done = 0
        for number, (last, changed) in enumerate(
            prefetch(copy, batches(self._source.table, state.after), ahead=_AT_ONCE), 1
        ):
            done += changed
            self._report.copied_items += changed
            self._show("Copying items", done, None)
            if number % _NOTED_BATCHES == 0 and not state.is_copied:
                self._note(state._replace(after=last))
        self._note(state._replace(after=None, is_copied=True))

    def _note(self, state: _State) -> None:
        """Note the position durably, and with it the items before. A kill -9 leaves the position of the last note."""
        patiently(lambda: self._target.table.write(Put(state.item, Present())), self._sleep)

    def _copies(self, batch: Sequence[Item]) -> list[Item]:
        return [item._replace(key=copied_key(item.key)) for item in batch if is_copied(item)]

    def _different(self, batch: Sequence[Item]) -> list[Item]:
        """Return the copies of those items that the target does not have in this form."""
        copies = self._copies(batch)
        found = patiently(lambda: self._target.table.get_many([item.key for item in copies]), self._sleep)
        return [item for item, other in zip(copies, found, strict=True) if item != other]

    def _remove_items(self) -> None:
        """Remove items that the source does not have, and all records that are copied under another key."""
        for seen, batch in enumerate(batches(self._target.table), 1):
            others = [item.key for item in batch if item.key != keys.MIGRATION]
            found = self._source.table.get_many(others)
            extra = [
                Delete(key)
                for key, item in zip(others, found, strict=True)
                if item is None or not is_copied(item) or is_resharded(key)
            ]
            patiently(partial(self._target.table.write_each, extra), self._sleep)
            self._report.removed_items += len(extra)
            self._show("Removing items that the source does not have, batches", seen, None)


def reopen(store: Store) -> None:
    """Let processes open an archive again that was moved. Raises `RecoveryError` if it was not."""
    item = store.table.get(keys.MIGRATION)
    if item is None or "moved_to" not in item.fields:
        raise RecoveryError(f"{store.name} was not moved.")
    store.table.write(Delete(keys.MIGRATION, Present()))
