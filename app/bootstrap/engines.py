"""Makes the engine that the settings name: implementations of the ports of `storage`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Final

from app.errors import ConfigurationError
from app.services.recovery.backup_folder import UNFINISHED
from app.settings import Settings
from app.storage.operations.destinations import Destination, Opener, S3Target
from app.storage.table import keys, layout
from app.storage.table.ports import BlobStore, Queue, Table

INDEX: Final = "index.sqlite"
"""The file of the table in a data folder."""

ROW_SHARDS: Final = 8
"""The parts of frequent posting lists on DynamoDB. So the lists of a partition take 5,000 instances a second."""

# The engines are imported when they are used: a machine without S3 does not load boto3, which takes 30 MB.


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The ports of one engine."""

    table: Table
    blobs: BlobStore
    queue: Queue
    sweep_shards: int = 1
    """The partition keys of the records of deletions (`storage/index/sweep.py`)."""
    log_shards: int = 1
    """The partition keys of the log of commits (`storage/feed/log.py`)."""
    openers: Mapping[str, Opener] = field(default_factory=dict)
    """What opens a destination of an export, by the type of destination that a request names."""
    record_layout: Callable[[int], None] = lambda _: None
    """Writes the layout version to a second place outside of the table, if the engine has one."""
    row_shards: int = 1
    """The parts of the posting lists that every new object writes into (`storage/records/spread_lists.py`)."""
    writes_at_once: bool = False
    """Whether a write of the table makes also its `before` all or nothing, so that it never leaves a part of it."""
    spool: Path | None = None
    """The folder for large bodies while they are received, if the settings name none. None: the one of the system."""
    direct_spool: bool = False
    """Whether bodies in `spool` are written past the page cache. They become objects there, so few bytes are read."""
    file_path: Callable[[str], str] = lambda key: key
    """Returns where an operator finds a blob: its key in the bucket, or its path below the data folder."""


def build_engine(settings: Settings) -> Engine:
    """Return the engine that the settings name. The embedded engine creates its data folder; nothing else is created.

    Raises `ConfigurationError` when a client cannot be made, the export folder cannot be used, or a newer release wrote
    the data folder.
    """
    return _aws(settings) if settings.engine == "aws" else _embedded(settings)


def log_shards(settings: Settings) -> int:
    """Return the number of partition keys of the log of commits. On DynamoDB one takes 1,000 write units a second."""
    return 64 if settings.engine == "aws" else 1


def create_stores(settings: Settings) -> None:
    """Create the table and the bucket of the aws engine if they are missing. Safe to repeat."""
    if settings.engine == "aws":
        from app.engines.aws import clients, provision

        provision.create_table(clients.dynamodb(settings.pool_size), settings.table)
        provision.create_bucket(clients.s3(settings.pool_size), settings.bucket)


def _aws(settings: Settings) -> Engine:
    from app.engines.aws import clients
    from app.engines.aws.dynamodb import DynamoTable
    from app.engines.aws.export import S3Exports
    from app.engines.aws.s3 import S3Blobs
    from app.engines.aws.sqs import SqsQueue
    from app.engines.table_queue import TableQueue

    table = DynamoTable(clients.dynamodb(settings.pool_size), settings.table)
    s3 = clients.s3(settings.pool_size)
    blobs = S3Blobs(s3, settings.bucket)
    queue: Queue = TableQueue(table)
    if settings.queue_url:
        queue = SqsQueue(clients.sqs(settings.pool_size), settings.queue_url)
    exports = S3Exports(lambda: s3, settings.bucket, blobs)
    return Engine(
        table=table,
        blobs=blobs,
        queue=queue,
        openers={"s3": exports.open},
        row_shards=ROW_SHARDS,
        log_shards=log_shards(settings),
        sweep_shards=keys.SWEEP_SHARDS,
    )


def _embedded(settings: Settings) -> Engine:
    from app.engines.embedded import layout_file
    from app.engines.embedded.blobs import EmbeddedBlobs
    from app.engines.embedded.export import FileExports
    from app.engines.embedded.sqlite import SqliteTable
    from app.engines.table_queue import TableQueue

    if (settings.data_dir / UNFINISHED).exists():
        raise ConfigurationError(f"The restore into {settings.data_dir} has not ended. Run `bulkhead restore` again.")
    layout.check(layout_file.read(settings.data_dir) or layout.FIRST)
    # A consumer of the feed that opens the file of each instance needs a file for each.
    small = 0 if settings.feed_file_path else settings.small_file_bytes
    blobs = EmbeddedBlobs(settings.data_dir / "blobs", small, direct=settings.direct_writes)
    table = SqliteTable(settings.data_dir / INDEX, sync_first=blobs.sync)
    openers = {"s3": _opener_to_s3(settings.pool_size, blobs)}
    if settings.export_folder:
        openers["file"] = FileExports(settings.export_folder, blobs).open
    return Engine(
        table=table,
        blobs=blobs,
        queue=TableQueue(table),
        openers=openers,
        writes_at_once=True,
        spool=blobs.incoming,
        direct_spool=settings.direct_writes,
        record_layout=partial(layout_file.write, settings.data_dir),
        file_path=lambda key: str(blobs.path(key).relative_to(settings.data_dir)),
    )


def _opener_to_s3(connections: int, blobs: BlobStore) -> Opener:
    """Return an opener of destinations in S3 that makes its client when it is first called."""

    @cache
    def exports() -> Opener:
        from app.engines.aws import clients
        from app.engines.aws.export import S3Exports

        return S3Exports(cache(lambda: clients.s3(connections)), "", blobs).open

    def open_destination(target: S3Target, operation: str) -> Destination:
        return exports()(target, operation)

    return open_destination
