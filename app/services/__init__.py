"""The use cases, one package or module each. `Services` gives them to the web and to the worker.

May import `storage`, `imaging`, `dicom` and `errors`. Nothing here knows HTTP or an engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.imaging.decoding.decoder import FrameDecoder
from app.services.access.authentication import Authentication
from app.services.access.grants import Grants
from app.services.access.open_id import OpenIdSignIn
from app.services.access.sessions import Sessions
from app.services.access.tokens import Tokens
from app.services.audit.trail import AuditTrail
from app.services.backlog import Backlog
from app.services.change_feed import ChangeFeed
from app.services.export.service import Export
from app.services.health import Health
from app.services.operations.directory import OperationDirectory
from app.services.partitions import PartitionDirectory
from app.services.retrieve.bulk_data import BulkDataReader
from app.services.retrieve.rendering import Rendering
from app.services.retrieve.service import Retrieve
from app.services.search.latest import LatestStudies
from app.services.search.service import Search
from app.services.store.service import Store
from app.services.tags.service import ExtendedQueryTags
from app.services.update.service import BulkUpdate
from app.services.worklist import Worklist
from app.storage.table.partitions import Partition


class DeleteInstances(Protocol):
    """Deletes a study, a series or an instance. Raises `NotFound` with the level."""

    def __call__(
        self, partition: Partition, study: str, series: str | None = None, instance: str | None = None
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """All use cases on one engine."""

    authentication: Authentication | None
    """Checks the credentials of callers. None: every caller may make every call."""
    sessions: Sessions
    """The sessions of people in browsers."""
    open_id: OpenIdSignIn | None
    """The sign-in with OpenID Connect. None: people sign in with tokens alone."""
    tokens: Tokens
    grants: Grants
    audit: AuditTrail
    partitions: PartitionDirectory
    store: Store
    retrieve: Retrieve
    rendering: Rendering
    bulk_data: BulkDataReader
    search: Search
    latest_studies: LatestStudies
    delete: DeleteInstances
    bulk_update: BulkUpdate
    change_feed: ChangeFeed
    export: Export
    operations: OperationDirectory
    query_tags: ExtendedQueryTags
    worklist: Worklist
    health: Health
    backlog: Backlog
    frame_decoder: FrameDecoder
    """Decodes the frames of all services. Its processes end with this process."""
    background: tuple[Callable[[], bool], ...]
    """The steps of the worker. Each does a small piece of work and returns whether there was any."""
    release_leases: Callable[[], None]
    """Releases the leases of the worker, so that another worker can continue at once. Call it after the last step."""
