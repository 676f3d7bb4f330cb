"""What an export reads: the instances that its identifiers lead to, one after another, from any checkpoint on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from app.storage.index.instances import Instances
from app.storage.index.pages import InstancePages, PagePosition
from app.storage.operations.export_manifest import ExportManifest
from app.storage.records.instance_row import InstanceRow

_LEVELS: Final = ("study", "series", "instance")
_PAGE: Final = 100


class Position(NamedTuple):
    """Where to read on: in which page of identifiers, at which of them, after which of its instances; `found` once
    it had one."""

    page: int = 0
    at: int = 0
    after: PagePosition | None = None
    found: bool = False


class SourceEntry(NamedTuple):
    """An instance to export, or an identifier that leads to none; `path` its UIDs, `onwards` the position after it."""

    path: tuple[str, ...]
    row: InstanceRow | None
    onwards: Position

    @property
    def level(self) -> str:
        """What the path names: study, series or instance."""
        return _LEVELS[len(self.path) - 1]


class ExportSource:
    """Reads the entries of exports, holding a page of identifiers and one of rows at a time."""

    def __init__(self, manifest: ExportManifest, instances: Instances, walk: InstancePages) -> None:
        self._manifest = manifest
        self._instances = instances
        self._walk = walk

    def entries(self, operation: str, partition: int, start: Position) -> Iterator[SourceEntry]:
        """Yield what is still to be exported, in the order of the identifiers, then of the UIDs."""
        while identifiers := self._manifest.page(operation, start.page):
            paths = [tuple(each.split("/")) for each in identifiers]
            wanted = [(study, series, instance) for study, series, instance in _whole(paths[start.at :])]
            rows = self._instances.many(partition, wanted)
            for index in range(start.at, len(paths)):
                here = start if index == start.at else Position(start.page, index)
                onwards, path = Position(start.page, index + 1), paths[index]
                if len(path) == len(_LEVELS):
                    yield SourceEntry(path, rows.get((path[0], path[1], path[2])), onwards)
                else:
                    yield from self._inside(partition, path, here, onwards)
            start = Position(start.page + 1)

    def again(self, row: InstanceRow) -> InstanceRow | None:
        """Return an instance as it is now."""
        return self._instances.one(row.partition, row.study, row.series, row.instance)

    def _inside(
        self, partition: int, path: tuple[str, ...], here: Position, onwards: Position
    ) -> Iterator[SourceEntry]:
        study, series = path[0], path[1] if len(path) > 1 else None
        found, last = here.found, here.after
        more = found or self._walk.exists(partition, study, series)
        while more:
            rows, last = self._walk.page(partition, study, series, last, _PAGE)
            for row in rows:
                found = True
                place = (row.series, row.instance)
                yield SourceEntry((study, *place), row, here._replace(after=place, found=True))
            more = last is not None
        if not found:
            yield SourceEntry(path, None, onwards)


def _whole(paths: list[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    return (path for path in paths if len(path) == len(_LEVELS))
