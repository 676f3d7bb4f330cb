"""The files of a blob store, by instance, in the order in which the instances were stored."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from heapq import merge
from itertools import groupby, islice
from pathlib import Path
from typing import IO, Final, NamedTuple

import orjson

from app.storage.records.leftovers import InstanceVersion
from app.storage.table import keys
from app.storage.table.ports import StoredBlob

_SORTED_IN_MEMORY: Final = 100_000
"""Instances that are sorted in memory. More are sorted in temporary files, so memory does not grow."""


class StoredVersions(NamedTuple):
    """One instance: when its oldest file was stored, and the names of its versions, the oldest first."""

    stored: float
    partition: int
    study: str
    series: str
    instance: str
    versions: tuple[str, ...]

    @property
    def files(self) -> list[InstanceVersion]:
        """The versions, the oldest first."""
        return [
            InstanceVersion(
                partition=self.partition,
                study=self.study,
                series=self.series,
                instance=self.instance,
                version=version,
            )
            for version in self.versions
        ]


def stored_versions(blobs: Iterable[StoredBlob]) -> Iterator[StoredVersions]:
    """Yield each instance that has a file. The blobs come in the order of their keys."""
    named = ((name, blob.modified) for blob in blobs if (name := keys.blob_name(blob.key)) and name.kind == "dcm")
    for uids, found in groupby(named, lambda each: each[0][:4]):
        by_time = sorted((modified, name.version) for name, modified in found)
        partition, study, series, instance = uids
        yield StoredVersions(by_time[0][0], partition, study, series, instance, tuple(name for _, name in by_time))


def in_time_order(instances: Iterable[StoredVersions], folder: Path | None) -> Iterator[StoredVersions]:
    """Yield the instances, those that were stored first first. `folder` is for temporary files, None for the one of
    the system."""
    remaining = iter(instances)
    with ExitStack() as opened:
        parts: list[Iterable[bytes]] = []
        while lines := sorted(map(_line, islice(remaining, _SORTED_IN_MEMORY))):
            if len(lines) < _SORTED_IN_MEMORY and not parts:
                yield from map(_instance, lines)
                return
            file: IO[bytes] = opened.enter_context(tempfile.TemporaryFile(dir=folder))
            file.writelines(lines)
            file.seek(0)
            parts.append(file)
        yield from map(_instance, merge(*parts))


def _line(instance: StoredVersions) -> bytes:
    """Return an instance as a line. Lines sort by time."""
    return b"%020.6f %b\n" % (instance.stored, orjson.dumps(instance[1:]))


def _instance(line: bytes) -> StoredVersions:
    stored, _, text = line.partition(b" ")
    partition, study, series, instance, versions = orjson.loads(text)
    return StoredVersions(float(stored), partition, study, series, instance, tuple(versions))
