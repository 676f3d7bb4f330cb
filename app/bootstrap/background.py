"""Builds the background work: the task of each type of operation, and the maintenance of the archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from app.bootstrap.archive import Archive
from app.bootstrap.engines import Engine
from app.services import parallel
from app.services.access.purge import ExpiredAccess
from app.services.export.service import TYPE as EXPORT
from app.services.export.source import ExportSource
from app.services.export.task import ExportTask
from app.services.operations.directory import REINDEX
from app.services.operations.purge import Purge
from app.services.operations.runner import Task
from app.services.recovery.partition_names import PartitionNames
from app.services.tags.service import REMOVAL
from app.services.tags.tasks import Reindex, TagRemoval
from app.services.update.new_versions import NewVersions
from app.services.update.service import TYPE as UPDATE
from app.services.update.task import BulkUpdateTask
from app.settings import Settings
from app.storage.access.grants import GrantStore
from app.storage.access.tokens import TokenStore
from app.storage.index.leftovers_removal import EntriesOf, LeftoversRemoval
from app.storage.index.pages import InstancePages
from app.storage.index.sweep_worker import Sweep
from app.storage.records import postings
from app.storage.records.spread_lists import open_shards
from app.storage.search.page_builder import PageBuilder
from app.storage.table import clock
from app.storage.tags.tag_backfill import TagBackfill
from app.storage.updates.study_versions import StudyVersions
from app.storage.worklist import workitems

ENTRIES_OF: Final[Mapping[str, EntriesOf]] = {"study": postings.entries_of, "workitem": workitems.entries_of}
"""What returns the postings of a stored row, by the family of the row."""


def tasks(settings: Settings, engine: Engine, archive: Archive) -> dict[str, Task]:
    """Return what the worker does for an operation, by the type of operation."""
    table, feed, query_tags = archive.table, archive.feed, archive.query_tags
    backfill = TagBackfill(table, query_tags, archive.documents)
    export_source = ExportSource(archive.export_manifest, archive.instances, InstancePages(table))
    study_versions = StudyVersions(table=table, numbers=archive.numbers, log=archive.log, read_tags=query_tags.read)
    return {
        REINDEX: Reindex(feed=feed, tags=query_tags, backfill=backfill),
        REMOVAL: TagRemoval(
            table=table, feed=feed, partitions=archive.partitions, shards=open_shards(table, engine.row_shards)
        ),
        EXPORT: ExportTask(
            source=export_source,
            manifest=archive.export_manifest,
            openers=engine.openers,
            lost=archive.lost,
            parallel=parallel.parallel_map,
            spool=settings.spool_dir,
        ),
        UPDATE: BulkUpdateTask(
            study_versions,
            NewVersions(
                documents=archive.documents,
                blobs=archive.blobs,
                files=archive.files,
                lost=archive.lost,
                name_versions=study_versions.name_versions,
                parallel=parallel.parallel_map,
            ),
        ),
    }


def maintenance(settings: Settings, engine: Engine, archive: Archive) -> tuple[Callable[[], bool], ...]:
    """Return the steps of the worker that belong to no operation. Each says whether there was anything to do."""

    # Index: files and rows that deletions and crashes left behind.
    leftovers = LeftoversRemoval(archive.table, archive.blobs, ENTRIES_OF)
    sweep = Sweep(archive.table, archive.log, leftovers, clean_up=archive.removal.clean_up, shards=archive.sweep_shards)

    def sweep_step() -> bool:
        return sweep.run_once(clock.now()) > 0

    # Operations: those that ended long ago.
    purge = Purge(
        archive.operations, succeeded_days=settings.keep_succeeded_days, failed_days=settings.keep_failed_days
    )
    # Access: tokens and grants that expired long ago.
    expired = ExpiredAccess(TokenStore(archive.table), GrantStore(archive.table))
    # Partitions: the objects with the names of those that were created without one.
    partition_names = PartitionNames(archive.partitions, archive.partition_objects)
    # Search: pages of values.
    pages = PageBuilder(archive.table, archive.partitions, shards=open_shards(archive.table, engine.row_shards))
    # Feed: the commits that no reader has moved into it.
    steps = sweep_step, purge.run_once, expired.run_once, partition_names.run_once, pages.build_pages
    return *steps, archive.feed.advance
