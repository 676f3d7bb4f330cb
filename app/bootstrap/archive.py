"""Builds what several topics share: the data model of the archive on one engine."""

from __future__ import annotations

from dataclasses import dataclass

from app.bootstrap.engines import Engine
from app.services import parallel
from app.services.instance_files import InstanceFiles
from app.services.parallel import ParallelMap
from app.settings import Settings
from app.storage.feed.change_feed import FeedLog
from app.storage.feed.log import CommitLog
from app.storage.index.confirmation import Confirmation
from app.storage.index.instances import Instances
from app.storage.index.removal import InstanceRemoval
from app.storage.index.removal_writer import RemovalWriter
from app.storage.index.writer import IndexWriter
from app.storage.operations.export_manifest import ExportManifest
from app.storage.operations.operations import Operations
from app.storage.records.documents import Documents
from app.storage.records.losses import LostObjects
from app.storage.records.partition_objects import PartitionObjects
from app.storage.table.counters import WatermarkCounter
from app.storage.table.partitions import Partitions
from app.storage.table.ports import BlobStore, Table
from app.storage.tags.query_tags import QueryTagStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What several topics share: the data model of the archive on one engine."""

    table: Table
    blobs: BlobStore
    numbers: WatermarkCounter
    log: CommitLog
    sweep_shards: int
    feed: FeedLog
    instances: Instances
    lost: LostObjects
    documents: Documents
    files: InstanceFiles
    partitions: Partitions
    partition_objects: PartitionObjects
    query_tags: QueryTagStore
    removal: InstanceRemoval
    index_writer: IndexWriter
    operations: Operations
    export_manifest: ExportManifest


def is_remote(settings: Settings) -> bool:
    """Return whether each read is a round trip to AWS. Then reads are made in parallel.

    On one machine threads cost more time than they save.
    """
    return settings.engine == "aws"


def read_ahead(settings: Settings) -> ParallelMap:
    """Return `map`, or a function like it that reads the next objects while the caller uses one."""
    return parallel.prefetch if is_remote(settings) else map


def build_archive(settings: Settings, engine: Engine) -> Archive:
    """Return the data model on an engine. Nothing is read or written."""
    table = engine.table
    lost = LostObjects(table)
    numbers = WatermarkCounter(table)
    log = CommitLog(table, engine.log_shards, parallel.parallel_map if is_remote(settings) else map)
    query_tags = QueryTagStore(table)
    partition_objects = PartitionObjects(engine.blobs)
    removal_writer = RemovalWriter(table, log, delay=settings.delete_delay_seconds, sweep_shards=engine.sweep_shards)
    removal = InstanceRemoval(table, removal_writer)
    return Archive(
        table=table,
        blobs=engine.blobs,
        numbers=numbers,
        log=log,
        sweep_shards=engine.sweep_shards,
        feed=FeedLog(table, log),
        instances=Instances(table),
        lost=lost,
        documents=Documents(table, engine.blobs, lost, read_ahead=read_ahead(settings)),
        files=InstanceFiles(engine.blobs, lost, spool=settings.spool_dir),
        partitions=Partitions(table, created=partition_objects.write_soon, has_files=partition_objects.has_files),
        partition_objects=partition_objects,
        query_tags=query_tags,
        removal=removal,
        index_writer=IndexWriter(
            table,
            numbers=numbers,
            log=log,
            tags=query_tags,
            confirmation=Confirmation(table, removal.take_back),
            help_cleanup=removal.help_cleanup,
            remove=removal.take_back,
            shards=engine.row_shards,
            writes_at_once=engine.writes_at_once,
        ),
        operations=Operations(table),
        export_manifest=ExportManifest(table),
    )
