"""The wiring: settings -> engine -> services. The only package that imports an engine.

`engines` makes the engine that the settings name, `archive` the data model on it, `background` the work of the worker,
and `build_services` the use cases. May import everything in `app` but `entry`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from app.bootstrap.access import Access, build_access
from app.bootstrap.archive import build_archive, is_remote, read_ahead
from app.bootstrap.audit import build_audit
from app.bootstrap.background import maintenance, tasks
from app.bootstrap.engines import Engine, build_engine, create_stores
from app.bootstrap.imaging import build_decoder
from app.bootstrap.measured import measured
from app.bootstrap.rendering import build_rendering, thumbnail_steps
from app.dicom.json.model import Inline
from app.errors import BlobMissing, ConfigurationError
from app.services import Services, parallel
from app.services.audit.operations import OperationAudit
from app.services.backlog import Backlog
from app.services.backlog_report import BacklogReport
from app.services.bounded_cache import BoundedCache
from app.services.change_feed import ChangeFeed
from app.services.export.service import Export
from app.services.health import Health
from app.services.operations.directory import OperationDirectory
from app.services.operations.runner import OperationRunner
from app.services.parallel import ParallelMap
from app.services.partitions import PartitionDirectory
from app.services.retrieve.bulk_data import BulkDataReader
from app.services.retrieve.frames import FrameReader
from app.services.retrieve.image_headers import ImageHeaders
from app.services.retrieve.service import Retrieve
from app.services.retrieve.transcoding import Transcoder
from app.services.search.latest import LatestStudies
from app.services.search.newest import NewestInstances
from app.services.search.service import Search
from app.services.store.service import Store
from app.services.tags.service import ExtendedQueryTags
from app.services.update.service import BulkUpdate
from app.services.worklist import Worklist
from app.settings import Settings, variable
from app.storage.feed.latest_entries import LatestEntries
from app.storage.feed.old_entries import close_old_feed
from app.storage.feed.visible_entries import VisibleEntries
from app.storage.index.counts import InstanceCounts
from app.storage.index.statistics import PartitionStatistics
from app.storage.records.spread_lists import open_shards
from app.storage.search.planner import SearchPlanner
from app.storage.search.unposted import last_undated, last_unposted, record_last_undated, record_last_unposted
from app.storage.table import keys, layout
from app.storage.table.ports import BlobStore
from app.storage.worklist.search import WorklistSearch
from app.storage.worklist.workitems import Workitems

__all__ = [
    "Access",
    "Engine",
    "build_access",
    "build_engine",
    "build_services",
    "initialise",
    "open_access",
    "open_layout",
]

_MIGRATIONS: Final[Mapping[int, layout.Migration]] = {
    2: record_last_unposted,
    3: record_last_undated,
    4: close_old_feed,
}
"""The steps from an older layout to the next one (`storage/table/layout.py`)."""

_PROBE: Final = "health/probe"
_PACKED_COLUMNS: Final = 32 * 1024 * 1024
"""Bytes of pages of values that a process keeps, where each read costs units. All names of 8 million studies fit."""
_REST_RATIO: Final = 1.0
"""Seconds of rest after each second of work, for a worker that shares a machine with the server."""


def initialise(settings: Settings) -> None:
    """Create what the engine needs and lacks, and seed the partition table. Safe to repeat."""
    create_stores(settings)
    build_services(settings, build_engine(settings))


def open_access(settings: Settings) -> Access:
    """Return the access control of the archive, for a command. Raises as `build_engine`, and `NewerLayout`."""
    engine = build_engine(settings)
    open_layout(engine)
    return build_access(settings, engine.table)


def _require_answer(blobs: BlobStore) -> None:
    """Raise `StorageUnavailable` if the blob store does not answer. The blob that is asked for need not exist."""
    with suppress(BlobMissing):
        blobs.open(_PROBE).close()


def open_layout(engine: Engine) -> None:
    """Bring the data of an engine to the current layout. Raises `NewerLayout`."""
    layout.open_table(engine.table, _MIGRATIONS)
    engine.record_layout(layout.CURRENT)


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
    audit = build_audit(settings)
    open_layout(engine)
    engine = measured(engine) if settings.metrics or settings.traces else engine
    archive = build_archive(settings, engine)
    access = build_access(settings, archive.table)
    table, blobs, queue, operations = archive.table, archive.blobs, engine.queue, archive.operations
    instances, documents, files = archive.instances, archive.documents, archive.files
    parallel_reads: ParallelMap = parallel.parallel_map if is_remote(settings) else map
    newest, counts = NewestInstances(instances, documents, parallel_reads), InstanceCounts(table)
    frames = FrameReader(documents, files, archive.lost)
    headers, decoder = ImageHeaders(files, frames), build_decoder(settings)
    rendering = build_rendering(settings, archive, frames=frames, headers=headers, decoder=decoder)
    planner = SearchPlanner(
        table=table,
        instances=instances,
        counts=counts,
        newest_metadata=newest.metadata,
        map_studies=parallel_reads,
        last_unposted=last_unposted(table),
        last_undated=last_undated(table),
        shards=open_shards(table, engine.row_shards),
        packed_columns=BoundedCache(_PACKED_COLUMNS, "value_pages") if is_remote(settings) else None,
    )
    backlog = Backlog(table, archive.feed)
    runner = OperationRunner(
        operations,
        queue,
        tasks(settings, engine, archive),
        wait=listening,
        rest_ratio=0 if is_remote(settings) else _REST_RATIO,
        observer=OperationAudit(audit),
    )
    return Services(
        authentication=access.authentication,
        sessions=access.sessions,
        open_id=access.open_id,
        tokens=access.tokens,
        grants=access.grants,
        audit=audit,
        partitions=PartitionDirectory(
            archive.partitions,
            PartitionStatistics(archive.table, archive.feed),
            enabled=settings.enable_data_partitions,
        ),
        store=Store(
            index_writer=archive.index_writer,
            blobs=blobs,
            extended=archive.query_tags.extended,
            parallel=parallel.parallel_map,
            max_instance=settings.max_instance_bytes,
            spool=settings.spool_dir or engine.spool,
            direct_spool=engine.direct_spool and settings.spool_dir is None,
            full_validation=settings.enable_full_validation,
            identical_is_success=settings.identical_store == "success",
            inline=Inline(settings.inline_binary_bytes, settings.inline_value_bytes),
        ),
        retrieve=Retrieve(
            instances=instances,
            documents=documents,
            files=files,
            frames=frames,
            transcoder=Transcoder(files=files, frames=frames, headers=headers, decoder=decoder),
            prefetch=read_ahead(settings),
        ),
        rendering=rendering,
        bulk_data=BulkDataReader(documents, files, frames),
        search=Search(
            planner=planner,
            counts=counts,
            newest=newest,
            query_tags=archive.query_tags,
            parallel=parallel_reads,
            max_offset=settings.max_offset,
        ),
        latest_studies=LatestStudies(planner, counts, parallel_reads),
        delete=archive.removal.delete,
        bulk_update=BulkUpdate(operations, queue),
        change_feed=ChangeFeed(
            log=archive.feed,
            visible_entries=VisibleEntries(archive.feed),
            latest_entries=LatestEntries(archive.feed),
            instances=instances,
            documents=documents,
            file_path=engine.file_path if settings.feed_file_path else None,
        ),
        export=Export(
            operations=operations,
            queue=queue,
            manifest=archive.export_manifest,
            openers=engine.openers,
            endpoints=settings.export_allow_endpoint_url,
        ),
        operations=OperationDirectory(operations),
        query_tags=ExtendedQueryTags(archive.query_tags, operations, queue),
        worklist=Worklist(Workitems(table), WorklistSearch(table), settings.max_offset),
        backlog=backlog,
        health=Health(
            required={"table": lambda: table.get(keys.WATERMARK_COUNTER), "bucket": lambda: _require_answer(blobs)},
            optional={"queue": queue.check, "audit": audit.check},
            lost_objects=lambda: archive.lost.count,
        ),
        frame_decoder=decoder,
        background=(
            runner.run_once,
            *maintenance(settings, engine, archive),
            *thumbnail_steps(settings, archive, rendering),
            *((BacklogReport(backlog).run_once,) if is_remote(settings) else ()),
        ),
        release_leases=runner.release_leases,
    )
