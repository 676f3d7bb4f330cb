"""The use cases, one in a file; `Services` is what the wiring hands to the web and to the worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.services.change_feed import ChangeFeed
from app.services.export.service import Export
from app.services.health import Health
from app.services.operations.directory import OperationDirectory
from app.services.partitions import PartitionDirectory
from app.services.retrieve.service import Retrieve
from app.services.search.service import Search
from app.services.store.service import Store
from app.services.tags.service import ExtendedQueryTags
from app.services.update.service import BulkUpdate
from app.services.worklist import Worklist


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that the service can do, wired to one engine."""

    partitions: PartitionDirectory
    store: Store
    retrieve: Retrieve
    search: Search
    delete: Callable[..., None]
    """`storage.removal.InstanceRemoval.delete`: (partition, study, series=None, instance=None), raises `NotFound`."""
    bulk_update: BulkUpdate
    change_feed: ChangeFeed
    export: Export
    operations: OperationDirectory
    query_tags: ExtendedQueryTags
    worklist: Worklist
    health: Health
    background: tuple[Callable[[], bool], ...]
    """Steps of the worker; each does a little and tells whether there was anything to do."""
    release_leases: Callable[[], None]
    """Gives up what the worker has in hand, once no step is taken any more."""
