"""The wiring: settings -> engine -> services. The only package that names an engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from app.bootstrap.engines import Engine, build_engine, create_stores
from app.errors import ConfigurationError
from app.services import Services
from app.services.change_feed import ChangeFeed
from app.services.export.service import TYPE as EXPORT
from app.services.export.service import Export
from app.services.export.source import ExportSource
from app.services.export.task import ExportTask
from app.services.health import Health
from app.services.instance_files import InstanceFiles
from app.services.operations.directory import OperationDirectory
from app.services.operations.purge import Purge
from app.services.operations.runner import OperationRunner, Task
from app.services.parallel import ParallelMap, parallel_map, prefetch
from app.services.partitions import PartitionDirectory
from app.services.retrieve.frames import FrameReader
from app.services.retrieve.service import Retrieve
from app.services.search.service import Search
from app.services.store.service import Store
from app.services.tags.service import REINDEX, REMOVAL, ExtendedQueryTags
from app.services.tags.tasks import Reindex, TagRemoval
from app.services.update.new_versions import NewVersions
from app.services.update.service import TYPE as UPDATE
from app.services.update.service import BulkUpdate
from app.services.update.task import BulkUpdateTask
from app.services.worklist import Worklist
from app.settings import Settings, variable
from app.storage.feed.change_feed import FeedLog
from app.storage.index.confirmation import Confirmation
from app.storage.index.instances import Instances
from app.storage.index.pages import InstancePages
from app.storage.index.removal import InstanceRemoval
from app.storage.index.removal_writer import RemovalWriter
from app.storage.index.sweep import InstanceVersion
from app.storage.index.sweep_worker import Sweep
from app.storage.index.writer import IndexWriter
from app.storage.operations.export_manifest import ExportManifest
from app.storage.operations.operations import Operations
from app.storage.records import postings
from app.storage.records.documents import Documents
from app.storage.records.losses import LostObjects
from app.storage.search.planner import SearchPlanner
from app.storage.table import clock, keys, layout
from app.storage.table.counters import SequenceCounter
from app.storage.table.partitions import Partitions
from app.storage.table.ports import BlobStore, Table
from app.storage.tags.query_tags import QueryTagStore
from app.storage.tags.tag_backfill import TagBackfill
from app.storage.updates.study_versions import StudyVersions
from app.storage.worklist import workitems
from app.storage.worklist.search import WorklistSearch
from app.storage.worklist.workitems import Workitems

__all__ = ["Engine", "build_engine", "build_services", "initialise"]

_MIGRATIONS: Final[Mapping[int, layout.Migration]] = {}
"""The steps from an older layout to the next one (`storage/table/layout.py`)."""

_PROBE: Final = "health/probe"
_REST_RATIO: Final = 1.0
"""Seconds of rest after each second of work, for a worker that shares a machine with the server."""


def initialise(settings: Settings) -> None:
    """Create what the engine needs and lacks, and seed the partition table. Safe to repeat."""
    create_stores(settings)
    build_services(settings, build_engine(settings))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Archive:
    """What several topics share: the data model of the archive on one engine."""

    table: Table
    blobs: BlobStore
    numbers: SequenceCounter
    feed: FeedLog
    instances: Instances
    lost: LostObjects
    documents: Documents
    files: InstanceFiles
    partitions: Partitions
    query_tags: QueryTagStore
    removal: InstanceRemoval
    index_writer: IndexWriter
    operations: Operations
    export_manifest: ExportManifest


def build_services(settings: Settings, engine: Engine, *, listening: float = 0) -> Services:
    """Return the use cases on an engine. An idle worker listens to the queue for `listening` seconds at a time.

    Seeds the default partition. Raises `DataPartitionsFeatureCannotBeDisabledException` where partitions cannot be
    switched off (conformance §2.3), `ConfigurationError` when bodies cannot be spooled or a newer release wrote the
    data.
    """
    if settings.spool_dir and not os.access(settings.spool_dir, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"{variable('spool_dir')}='{settings.spool_dir}': There is no such folder to write to."
        )
    layout.open_table(engine.table, _MIGRATIONS)
    engine.record_layout(layout.CURRENT)
    archive = _archive(settings, engine)
    table, blobs, queue, operations = archive.table, archive.blobs, engine.queue, archive.operations
    instances, documents, files = archive.instances, archive.documents, archive.files
    parallel_reads: ParallelMap = parallel_map if _is_remote(settings) else map
    runner = OperationRunner(
        operations,
        queue,
        _tasks(settings, engine, archive),
        wait=listening,
        rest_ratio=0 if _is_remote(settings) else _REST_RATIO,
    )
    return Services(
        partitions=PartitionDirectory(archive.partitions, enabled=settings.enable_data_partitions),
        store=Store(
            index_writer=archive.index_writer,
            blobs=blobs,
            extended=archive.query_tags.extended,
            parallel=parallel_map,
            max_instance=settings.max_instance_bytes,
            spool=settings.spool_dir,
            full_validation=settings.enable_full_validation,
        ),
        retrieve=Retrieve(
            instances=instances,
            documents=documents,
            files=files,
            frames=FrameReader(documents, files, archive.lost),
            prefetch=_read_ahead(settings),
        ),
        search=Search(
            planner=SearchPlanner(table, instances, parallel_reads),
            instances=instances,
            documents=documents,
            query_tags=archive.query_tags,
            parallel=parallel_reads,
        ),
        delete=archive.removal.delete,
        bulk_update=BulkUpdate(operations, queue),
        change_feed=ChangeFeed(archive.feed, instances, documents),
        export=Export(
            operations=operations,
            queue=queue,
            manifest=archive.export_manifest,
            openers=engine.openers,
            endpoints=settings.export_allow_endpoint_url,
        ),
        operations=OperationDirectory(operations),
        query_tags=ExtendedQueryTags(archive.query_tags, operations, queue),
        worklist=Worklist(Workitems(table), WorklistSearch(table)),
        health=Health(
            required={"table": lambda: table.get(keys.SEQUENCE_COUNTER), "bucket": lambda: blobs.delete([_PROBE])},
            optional={"queue": queue.check},
            lost_objects=lambda: archive.lost.count,
        ),
        background=(runner.run_once, *_maintenance(settings, archive)),
        release_leases=runner.release_leases,
    )


def _is_remote(settings: Settings) -> bool:
    """Return whether each read is a round trip to AWS. Then reads are made in parallel.

    On one machine threads cost more time than they save.
    """
    return settings.engine == "aws"


def _read_ahead(settings: Settings) -> ParallelMap:
    return prefetch if _is_remote(settings) else map


def _archive(settings: Settings, engine: Engine) -> _Archive:
    table = engine.table
    lost = LostObjects(table)
    numbers = SequenceCounter(table)
    feed = FeedLog(table, numbers)
    query_tags = QueryTagStore(table)
    removal_writer = RemovalWriter(table, numbers=numbers, feed=feed, delay=settings.delete_delay_seconds)
    removal = InstanceRemoval(table, removal_writer)
    return _Archive(
        table=table,
        blobs=engine.blobs,
        numbers=numbers,
        feed=feed,
        instances=Instances(table),
        lost=lost,
        documents=Documents(table, engine.blobs, lost, read_ahead=_read_ahead(settings)),
        files=InstanceFiles(engine.blobs, lost, spool=settings.spool_dir),
        partitions=Partitions(table),
        query_tags=query_tags,
        removal=removal,
        index_writer=IndexWriter(
            table,
            numbers=numbers,
            feed=feed,
            read_tags=query_tags.read,
            confirmation=Confirmation(table, removal.take_back),
            help_cleanup=removal.help_cleanup,
        ),
        operations=Operations(table),
        export_manifest=ExportManifest(table),
    )


def _tasks(settings: Settings, engine: Engine, archive: _Archive) -> dict[str, Task]:
    """Return what the worker does for an operation, by the type of operation."""
    table, numbers, feed, query_tags = archive.table, archive.numbers, archive.feed, archive.query_tags
    backfill = TagBackfill(table, query_tags, archive.documents)
    export_source = ExportSource(archive.export_manifest, archive.instances, InstancePages(table))
    return {
        REINDEX: Reindex(numbers=numbers, feed=feed, tags=query_tags, backfill=backfill),
        REMOVAL: TagRemoval(table=table, numbers=numbers, feed=feed, partitions=archive.partitions),
        EXPORT: ExportTask(
            source=export_source,
            manifest=archive.export_manifest,
            openers=engine.openers,
            lost=archive.lost,
            parallel=parallel_map,
        ),
        UPDATE: BulkUpdateTask(
            StudyVersions(table=table, numbers=numbers, feed=feed, extended=query_tags.extended),
            NewVersions(
                documents=archive.documents,
                blobs=archive.blobs,
                files=archive.files,
                lost=archive.lost,
                record_intents=archive.index_writer.record_intents,
                parallel=parallel_map,
            ),
        ),
    }


def _maintenance(settings: Settings, archive: _Archive) -> tuple[Callable[[], bool], ...]:
    """Return the steps of the worker that belong to no operation. Each says whether there was anything to do."""

    def referenced(version: InstanceVersion) -> Iterable[str]:
        return archive.instances.referenced_versions(version.partition, version.study, version.series, version.instance)

    # Index: files and rows that deletions and crashes left behind.
    entries_of = {"study": postings.entries_of, "workitem": workitems.entries_of}
    sweep = Sweep(
        archive.table,
        archive.blobs,
        referenced=referenced,
        clean_up=archive.removal.clean_up,
        entries_of=entries_of,
    )

    def sweep_step() -> bool:
        return sweep.run_once(clock.now()) > 0

    # Operations: those that ended long ago.
    purge = Purge(
        archive.operations, succeeded_days=settings.keep_succeeded_days, failed_days=settings.keep_failed_days
    )
    # Feed: the place up to which readers can read without looking for gaps.
    return sweep_step, purge.run_once, archive.feed.advance_complete
