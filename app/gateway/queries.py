"""C-FIND of the Patient Root and Study Root models, answered by searches of the server (PS3.4 §C.4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import structlog
from pydicom.dataset import Dataset
from pynetdicom.events import EVT_C_FIND, Event, EventHandlerType

from app.client.errors import ClientError, CredentialsRefused, Refused, RightMissing, ServerFailed
from app.gateway.associations import session_of
from app.gateway.query_keys import InvalidIdentifier, Level, identifier_of, query_of
from app.gateway.statuses import FindStatus

_LOG: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)

MATCH_LIMIT: Final = 20_000
"""The matches of one query. The patients that were found are kept in memory."""
_PATIENT_ID: Final = "00100020"

Answer = tuple[int, Dataset | None]


class Search(Protocol):
    """Searches a server."""

    def matches(self, partition: str, path: str, parameters: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
        """Yield the matches as DICOM JSON. Raises `ClientError`."""
        ...


class Queries:
    """Answers C-FIND requests in the partition of their association."""

    def __init__(self, search: Search) -> None:
        self._search = search

    @property
    def handlers(self) -> list[EventHandlerType]:
        """The handlers for pynetdicom."""
        return [(EVT_C_FIND, self._find)]

    def _find(self, event: Event) -> Iterator[Answer]:
        """Yield a pending response for each match, and then a status if the query fails."""
        session = session_of(event.assoc)
        if session.partition is None:
            yield FindStatus.NOT_AUTHORIZED, None
            return
        try:
            yield from self._matches(event, session.partition, session.called)
        except InvalidIdentifier:
            yield FindStatus.IDENTIFIER_DOES_NOT_MATCH, None
        except ClientError as error:
            status = _status(error)
            _LOG.warning("A query failed", calling=session.calling, status=f"0x{status:04X}")
            yield status, None
        except Exception as error:  # noqa: BLE001 - the identifier is from the network, and reading it may fail anywhere
            _LOG.warning("A query cannot be read", calling=session.calling, error=type(error).__name__)
            yield FindStatus.UNABLE_TO_PROCESS, None

    def _matches(self, event: Event, partition: str, title: str) -> Iterator[Answer]:
        asked = event.identifier
        query = query_of(asked, str(event.context.abstract_syntax))
        pending = FindStatus.PENDING if query.complete else FindStatus.PENDING_WITHOUT_SOME_KEYS
        patients: set[str] = set()
        for number, match in enumerate(self._search.matches(partition, query.level.path, query.parameters)):
            if event.is_cancelled:
                yield FindStatus.CANCELLED, None
                return
            if number >= MATCH_LIMIT:
                yield FindStatus.OUT_OF_RESOURCES, None
                return
            if query.level is Level.PATIENT:
                patient = str(match.get(_PATIENT_ID, {}).get("Value", [""])[0])
                if patient in patients:
                    continue
                patients.add(patient)
            yield pending, identifier_of(match, asked, query.level, title)


def _status(error: ClientError) -> FindStatus:
    if isinstance(error, (CredentialsRefused, RightMissing)):
        return FindStatus.NOT_AUTHORIZED
    if isinstance(error, Refused) and not isinstance(error, ServerFailed):
        return FindStatus.UNABLE_TO_PROCESS
    return FindStatus.OUT_OF_RESOURCES
