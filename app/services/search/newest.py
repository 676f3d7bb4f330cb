"""The newest instance of each match: its metadata gives the attributes that the index rows do not have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from app.dicom.json.dataset import JsonDataset
from app.services.parallel import ParallelMap
from app.storage.index.instances import Instances
from app.storage.records.documents import Documents
from app.storage.records.rows import InstanceRow
from app.storage.search.matches import Match


class NewestInstances:
    """Finds the newest instance of studies and series, and its metadata, with as few reads as possible."""

    def __init__(self, instances: Instances, documents: Documents, parallel: ParallelMap) -> None:
        self._instances = instances
        self._documents = documents
        self._parallel = parallel

    def of(self, partition: int, matches: Sequence[Match]) -> list[InstanceRow | None]:
        """Return the newest instance of each match, the match itself at instance level; None if there is none now."""
        studies = [match.study.study for match in matches if match.series is None]
        by_study = self._by_newest_document(partition, studies)
        known = [
            match.instance or (by_study.get(match.study.study) if match.series is None else None) for match in matches
        ]
        unknown = [match for match, row in zip(matches, known, strict=True) if row is None]
        found = iter(self._parallel(partial(self.read, partition), unknown))
        return [row or next(found) for row in known]

    def metadata(
        self, partition: int, matches: Sequence[Match], wanted: frozenset[str] = frozenset()
    ) -> Iterator[JsonDataset | None]:
        """Yield the metadata of the newest instance of each match, one document at a time; None if there is none now.

        Large elements are left out if their tag is not wanted. If the newest instance was deleted meanwhile, it is the
        metadata of the one that is newest now.
        """
        rows = self.of(partition, matches)
        documents = self._documents.datasets((row for row in rows if row), wanted)
        for match, row in zip(matches, rows, strict=True):
            document = next(documents) if row else None
            if document is None and match.instance is None and (now := self.read(partition, match)):
                document = next(self._documents.datasets([now], wanted))
            yield document

    def read(self, partition: int, match: Match) -> InstanceRow | None:
        """Return the newest instance of a study or series, None if there is none now. All its rows are read."""
        series = match.series.series if match.series else None
        rows = self._instances.view(partition, match.study.study, series).instances
        return max(rows, key=lambda row: row.watermark, default=None)

    def _by_newest_document(self, partition: int, studies: Sequence[str]) -> dict[str, InstanceRow]:
        """Return the newest instances of studies: one query for each study, and one batched read for all.

        A study is left out if its newest document does not belong to a current version, as after a bulk update that
        was not finished.
        """
        newest_documents = self._parallel(partial(self._documents.newest_of, partition), studies)
        newest = {study: found for study, found in zip(studies, newest_documents, strict=True) if found}
        uids = ((study, found.series, found.instance) for study, found in newest.items())
        rows = self._instances.find_many(partition, uids).values()
        return {row.study: row for row in rows if row.watermark == newest[row.study].watermark}
