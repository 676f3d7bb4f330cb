"""Reads an archive for `bulkhead doctor`. Nothing is created or written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import NamedTuple

from app.bootstrap.engines import INDEX, build_engine, log_shards
from app.services.backlog import Backlog, Waiting
from app.settings import Settings
from app.storage.feed.change_feed import FeedLog
from app.storage.feed.log import CommitLog
from app.storage.table import keys, layout
from app.storage.table.codec import decode
from app.storage.table.ports import Table


class Answer(NamedTuple):
    """What a part of AWS answers: the time of its clock, and what is wrong if it refuses."""

    date: datetime | None = None
    fault: str = ""
    advice: str = ""


Probe = Callable[[], Answer]
"""Asks a part of AWS."""


def open_table(settings: Settings) -> Table | None:
    """Return the table of the archive for reads. None: the data folder has none yet."""
    if settings.engine == "aws":
        return build_engine(settings).table
    from app.engines.embedded.existing import ExistingTable

    file = settings.data_dir / INDEX
    return ExistingTable(file) if file.exists() else None


def recorded_layout(settings: Settings, table: Table) -> int:
    """Return the layout version of an archive. Raises `StorageUnavailable`."""
    recorded = layout.FIRST
    if settings.engine == "embedded":
        from app.engines.embedded import layout_file

        recorded = layout_file.read(settings.data_dir) or recorded
    item = table.get(keys.LAYOUT)
    return max(recorded, decode(layout.Layout, item.fields).version if item else 0)


def waiting_work(settings: Settings, table: Table) -> Waiting | None:
    """Return what waits for the worker. None if the table does not answer."""
    return Backlog(table, FeedLog(table, CommitLog(table, log_shards(settings)))).current()


def aws_probes(settings: Settings) -> Mapping[str, Probe]:
    """Return what asks each part of AWS that the settings name. Raises `ConfigurationError` if a client cannot be
    made."""
    from app.engines.aws import clients, inspection

    probes: dict[str, Callable[[], datetime | None]] = {
        "table": partial(inspection.read_table, clients.dynamodb(settings.pool_size), settings.table),
        "bucket": partial(inspection.read_bucket, clients.s3(settings.pool_size), settings.bucket),
    }
    if settings.queue_url:
        probes["queue"] = partial(inspection.read_queue, clients.sqs(settings.pool_size), settings.queue_url)
    return {name: partial(_answer, probe) for name, probe in probes.items()}


def _answer(probe: Callable[[], datetime | None]) -> Answer:
    from app.engines.aws.inspection import NoAnswer

    try:
        return Answer(probe())
    except NoAnswer as error:
        return Answer(error.date, str(error), error.advice)


def reserved_bytes() -> int:
    """Return how much of the disk of the data folder must be free before it takes files."""
    from app.engines.embedded.files import RESERVED_BYTES

    return RESERVED_BYTES
