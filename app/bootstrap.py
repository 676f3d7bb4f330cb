"""The wiring: settings -> engine -> services. The only module that names an engine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from app.errors import ConfigurationError
from app.services import Services
from app.services.change_feed import ChangeFeed
from app.services.export.service import TYPE as EXPORT
from app.services.export.service import Export
from app.services.export.source import ExportSource
from app.services.export.task import ExportTask
from app.services.health import Health
from app.services.operations.directory import OperationDirectory
from app.services.operations.purge import Purge
from app.services.operations.runner import OperationRunner, Task
from app.services.parallel import ParallelMap, parallel_map, prefetch
from app.services.partitions import PartitionDirectory
from app.services.retrieve import Retrieve
from app.services.search import Search
from app.services.store.service import Store
from app.services.tags.service import REINDEX, REMOVAL, ExtendedQueryTags
from app.services.tags.tasks import Reindex, TagRemoval
from app.services.update.new_versions import NewVersions
from app.services.update.service import TYPE as UPDATE
from app.services.update.service import BulkUpdate
from app.services.update.task import BulkUpdateTask
from app.services.worklist import Worklist
from app.settings import Settings, variable
from app.storage.feed import change_feed
from app.storage.index.instances import Instances
from app.storage.index.pages import InstancePages
from app.storage.index.removal import InstanceRemoval
from app.storage.index.sweep import InstanceVersion, Sweep
from app.storage.index.writer import IndexWriter
from app.storage.operations.destinations import Destination, Opener, S3Target
from app.storage.operations.export_manifest import ExportManifest
from app.storage.operations.operations import Operations
from app.storage.records import postings
from app.storage.records.documents import Documents
from app.storage.search.planner import SearchPlanner
from app.storage.table import clock, keys
from app.storage.table.counters import SequenceCounter
from app.storage.table.partitions import Partitions
from app.storage.table.ports import BlobStore, Queue, Table
from app.storage.tags.query_tags import QueryTagStore
from app.storage.updates.study_versions import StudyVersions
from app.storage.updates.tag_backfill import TagBackfill
from app.storage.worklist import workitems
from app.storage.worklist.search import WorklistSearch
from app.storage.worklist.workitems import Workitems

_PROBE: Final = "health/probe"
_REST_RATIO: Final = 1.0
"""Seconds of rest after each second of work, for a worker that shares a machine with the server."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The ports made real."""

    table: Table
    blobs: BlobStore
    queue: Queue
    openers: Mapping[str, Opener] = field(default_factory=dict)
    """By the type of destination that an export may name."""


def build_engine(settings: Settings) -> Engine:
    """Return the engine that the settings name; nothing is created but, for the embedded one, its data folder."""
    from app.engines.embedded.queue import TableQueue

    if settings.engine == "aws":
        from app.engines.aws import clients
        from app.engines.aws.dynamodb import DynamoTable
        from app.engines.aws.export import S3Exports
        from app.engines.aws.s3 import S3Blobs
        from app.engines.aws.sqs import SqsQueue

        table = DynamoTable(clients.dynamodb(settings.pool_size), settings.table)
        s3 = clients.s3(settings.pool_size)
        blobs = S3Blobs(s3, settings.bucket)
        return Engine(
            table,
            blobs,
            SqsQueue(clients.sqs(settings.pool_size), settings.queue_url) if settings.queue_url else TableQueue(table),
            {"s3": S3Exports(lambda: s3, settings.bucket, blobs).open},
        )
    from app.engines.embedded.export import FileExports
    from app.engines.embedded.files import FileBlobs
    from app.engines.embedded.sqlite import SqliteTable

    embedded = SqliteTable(settings.data_dir / "index.sqlite")
    files = FileBlobs(settings.data_dir / "blobs")
    openers: dict[str, Opener] = {"s3": _s3_on_demand(settings.pool_size, files)}
    if settings.export_folder:
        openers["file"] = FileExports(settings.export_folder, files).open
    return Engine(embedded, files, TableQueue(embedded), openers)


def _s3_on_demand(connections: int, blobs: BlobStore) -> Opener:
    """Return an opener that loads boto3 with its first use: one machine without S3 does without its 30 MB."""

    @cache
    def opener() -> Opener:
        from app.engines.aws import clients
        from app.engines.aws.export import S3Exports

        return S3Exports(cache(lambda: clients.s3(connections)), "", blobs).open

    def opened(target: S3Target, operation: str) -> Destination:
        return opener()(target, operation)

    return opened


def initialise(settings: Settings) -> None:
    """Create what the engine needs and lacks, and seed the partition table; safe to repeat."""
    if settings.engine == "aws":
        from app.engines.aws import clients, provision

        provision.create_table(clients.dynamodb(settings.pool_size), settings.table)
        provision.create_bucket(clients.s3(settings.pool_size), settings.bucket)
    build_services(settings, build_engine(settings))


def build_services(settings: Settings, engine: Engine, *, listening: float = 0) -> Services:
    """Wire the use cases to an engine. `listening` is for how many seconds an idle worker listens to the queue.

    Seeds the default partition; raises `DataPartitionsFeatureCannotBeDisabledException` where conformance §2.3 refuses to start,
    `ConfigurationError` when bodies cannot be spooled.
    """
    if settings.spool_dir and not os.access(settings.spool_dir, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"{variable('spool_dir')}='{settings.spool_dir}': There is no such folder to write to."
        )
    table, blobs = engine.table, engine.blobs
    numbers = SequenceCounter(table)
    instances = Instances(table)
    documents = Documents(table, blobs)
    feed = change_feed.FeedLog(table, numbers)
    query_tags = QueryTagStore(table)
    removal = InstanceRemoval(table, numbers, feed, settings.delete_delay_seconds)
    index_writer = IndexWriter(table, numbers, feed, removal.take_back, query_tags.read)

    def current(version: InstanceVersion) -> Iterable[str]:
        return instances.referenced_versions(version.partition, version.study, version.series, version.instance)

    operations = Operations(table)
    manifest = ExportManifest(table)
    export_source = ExportSource(manifest, instances, InstancePages(table))
    partitions = Partitions(table)
    backfill = TagBackfill(table, query_tags, documents)
    tasks: dict[str, Task] = {
        REINDEX: Reindex(numbers, feed, query_tags, backfill),
        REMOVAL: TagRemoval(table, numbers, feed, partitions),
        EXPORT: ExportTask(export_source, manifest, engine.openers, parallel_map),
        UPDATE: BulkUpdateTask(
            StudyVersions(table, numbers, feed, query_tags.extended),
            NewVersions(
                documents=documents,
                blobs=blobs,
                record_intents=index_writer.record_intents,
                parallel=parallel_map,
                spool=settings.spool_dir,
            ),
        ),
    }
    remote = settings.engine == "aws"
    rest_ratio = 0 if remote else _REST_RATIO
    # On one machine threads cost more than what they would save.
    spread_reads: ParallelMap = parallel_map if remote else map
    spread_files: ParallelMap = prefetch if remote else map
    runner = OperationRunner(operations, engine.queue, tasks, wait=listening, rest_ratio=rest_ratio)
    purge = Purge(operations, succeeded_days=settings.keep_succeeded_days, failed_days=settings.keep_failed_days)
    sweep = Sweep(table, blobs, current, removal.tidy, {"study": postings.entries_of, "workitem": workitems.entries_of})
    return Services(
        partitions=PartitionDirectory(partitions, enabled=settings.enable_data_partitions),
        store=Store(
            index_writer,
            blobs,
            query_tags.extended,
            parallel_map,
            max_instance=settings.max_instance_bytes,
            spool=settings.spool_dir,
            full_validation=settings.enable_full_validation,
        ),
        retrieve=Retrieve(instances, documents, blobs, spread_files, spool=settings.spool_dir),
        search=Search(SearchPlanner(table, instances, spread_reads), instances, documents, query_tags, spread_reads),
        delete=removal.delete,
        bulk_update=BulkUpdate(operations, engine.queue, enabled=not settings.disable_operations),
        change_feed=ChangeFeed(feed, instances, documents),
        export=Export(operations, engine.queue, manifest, engine.openers, endpoints=settings.export_allow_endpoint_url),
        operations=OperationDirectory(operations),
        query_tags=ExtendedQueryTags(query_tags, operations, engine.queue, enabled=not settings.disable_operations),
        worklist=Worklist(Workitems(table), WorklistSearch(table)),
        health=Health(
            {"table": lambda: table.get(keys.SEQUENCE_COUNTER), "bucket": lambda: blobs.delete([_PROBE])},
            lesser={"queue": engine.queue.check},
        ),
        background=(runner.run_once, lambda: sweep.run_once(clock.now()) > 0, purge.run_once, feed.keep_up),
        release_leases=runner.release_leases,
    )
