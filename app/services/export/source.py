"""What an export reads: the instances that its identifiers name, in order, beginning at any checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from app.storage.index.instances import Instances
from app.storage.index.pages import InstancePages, PagePosition
from app.storage.operations.export_manifest import ExportIdentifier, ExportManifest
from app.storage.records.instance_row import InstanceRow
from app.storage.records.snapshot import Uids

_LEVELS: Final = ("study", "series", "instance")
_PAGE: Final = 100


class Position(NamedTuple):
    """Where to continue: a page of identifiers, the number of an identifier in it, the last instance read of that one.

    Numbers count from 0. `found` is true once the identifier had an instance.
    """

    page: int = 0
    number: int = 0
    after: PagePosition | None = None
    found: bool = False


class SourceEntry(NamedTuple):
    """An instance to export, or an identifier that needs no copy; `next` is the position after it.

    `path` has the UIDs. `row` is None for an identifier that names nothing in the partition, and for a covered
    identifier (`ExportIdentifier`) that names something.
    """

    path: tuple[str, ...]
    row: InstanceRow | None
    next: Position
    covered: bool = False

    @property
    def level(self) -> str:
        """What the path names: study, series or instance."""
        return _LEVELS[len(self.path) - 1]


class ExportSource:
    """Reads the entries of exports. It holds one page of identifiers and one page of rows."""

    def __init__(self, manifest: ExportManifest, instances: Instances, pages: InstancePages) -> None:
        self._manifest = manifest
        self._instances = instances
        self._pages = pages

    def entries(self, operation: str, partition: int, start: Position) -> Iterator[SourceEntry]:
        """Yield what remains to be exported, in the order of the identifiers, then of the UIDs."""
        while identifiers := self._manifest.identifiers(operation, start.page):
            rows = self._rows(partition, identifiers[start.number :])
            for number in range(start.number, len(identifiers)):
                here = start if number == start.number else Position(start.page, number)
                path, covered = identifiers[number]
                following = Position(start.page, number + 1)
                if covered:
                    exists = _uids(path) in rows if len(path) == len(_LEVELS) else self._exists(partition, path)
                    yield SourceEntry(path, None, following, covered=exists)
                elif len(path) == len(_LEVELS):
                    yield SourceEntry(path, rows.get(_uids(path)), following)
                else:
                    yield from self._inside(partition, path, here, following)
            start = Position(start.page + 1)

    def _rows(self, partition: int, identifiers: Sequence[ExportIdentifier]) -> dict[Uids, InstanceRow]:
        """Return the rows of those identifiers that name instances: one batched read."""
        wanted = (_uids(each.path) for each in identifiers if len(each.path) == len(_LEVELS))
        return self._instances.find_many(partition, wanted)

    def _exists(self, partition: int, path: tuple[str, ...]) -> bool:
        return self._pages.exists(partition, path[0], path[1] if len(path) > 1 else None)

    def _inside(
        self, partition: int, path: tuple[str, ...], here: Position, following: Position
    ) -> Iterator[SourceEntry]:
        """Yield the instances of a study or series, or the identifier itself if there are none."""
        study, series = path[0], path[1] if len(path) > 1 else None
        found, last = here.found, here.after
        more = found or self._exists(partition, path)
        while more:
            rows, last = self._pages.page(partition, study, series, last, _PAGE)
            for row in rows:
                found = True
                position = (row.series, row.instance)
                yield SourceEntry((study, *position), row, here._replace(after=position, found=True))
            more = last is not None
        if not found:
            yield SourceEntry(path, None, following)


def _uids(path: tuple[str, ...]) -> Uids:
    study, series, instance = path
    return study, series, instance
