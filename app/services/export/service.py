"""Export files of a partition to a place that the client names (conformance §11.3): the checks, then an operation."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.dicom.encoding.uids import PADDING, is_uid
from app.errors import InvalidField, InvalidRequest
from app.services.export import destinations
from app.services.export.destinations import FileSettings, S3Settings
from app.services.operations.runner import announce
from app.storage.operations.destinations import TYPES, Opener, Target, document
from app.storage.operations.export_manifest import ExportIdentifier, ExportManifest
from app.storage.operations.operations import Operations, new_id
from app.storage.table.partitions import Partition
from app.storage.table.ports import Queue

TYPE: Final = "export"
LOG_TYPE: Final = "application/x-ndjson"

MAX_IDENTIFIERS: Final = 100_000
"""Identifiers in one request; a whole study counts as one."""

_LEVELS: Final = ("study", "series", "instance")


def log_key(operation: str) -> str:
    """Return the key of the error log, below the destination's prefix."""
    return f"{operation}/errors.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What a client wants to export: paths of UIDs such as `1.2/3.4`, and where to.

    `settings` are of the kind that `destination_type` names, and None for a type that no schema knows.
    """

    identifiers: Sequence[str]
    destination_type: str
    settings: S3Settings | FileSettings | None


class Export:
    """Starts exports.

    `openers` are by the type of destination that a request may name; `endpoints` lets it name other stores than AWS.
    """

    def __init__(
        self,
        operations: Operations,
        queue: Queue,
        manifest: ExportManifest,
        openers: Mapping[str, Opener],
        *,
        endpoints: bool,
    ) -> None:
        self._operations = operations
        self._queue = queue
        self._manifest = manifest
        self._openers = openers
        self._endpoints = endpoints

    def start(self, partition: Partition, request: ExportRequest) -> str:
        """Return the id of the operation that exports the requested files; raises `InvalidRequest`.

        Checked in this order: the identifiers, the destination's settings, and that an empty error log can be written
        there. A crash before the operation exists leaves that log, and pages that nobody reads.
        """
        paths = _paths(request.identifiers)
        target = self._target(request)
        operation = new_id()
        destination = self._openers[target.type](target, operation)
        destination.write(log_key(operation), io.BytesIO(), LOG_TYPE)
        self._manifest.write_identifiers(operation, _identifiers(paths))
        log = destination.url(log_key(operation))
        asked = {"partition": partition.key, "destination": document(target), "log": log}
        self._operations.start(TYPE, asked, named=operation)
        announce(self._queue, operation)
        return operation

    def _target(self, request: ExportRequest) -> Target:
        if request.destination_type not in self._openers or request.settings is None:
            known = ", ".join(kind for kind in TYPES if kind in self._openers)
            raise InvalidField("destination.type", f"It must be one of: {known}.")
        if isinstance(request.settings, S3Settings):
            return destinations.s3(request.settings, endpoints=self._endpoints)
        return destinations.file(request.settings)


def _paths(identifiers: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the paths of one to three UIDs, in the order of the request, each once."""
    if len(identifiers) > MAX_IDENTIFIERS:
        raise InvalidField("source.settings.values", f"It has more than {MAX_IDENTIFIERS} entries.")
    return list(dict.fromkeys(map(_path, identifiers)))


def _identifiers(paths: Sequence[tuple[str, ...]]) -> list[ExportIdentifier]:
    """Return the paths as identifiers. One below another path is covered by it, so that its files are exported once."""
    named = set(paths)
    return [ExportIdentifier(path, any(path[:length] in named for length in range(1, len(path)))) for path in paths]


def _path(value: str) -> tuple[str, ...]:
    parts = value.split("/", len(_LEVELS))
    if len(parts) > len(_LEVELS) or not all(map(is_uid, parts)):
        raise InvalidRequest(f"The string '{value}' was not recognized as a valid DICOM identifier.")
    return tuple(part.rstrip(PADDING) for part in parts)
