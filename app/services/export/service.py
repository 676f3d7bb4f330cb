"""The start of an export: the checks of the request, then an operation (conformance §11.3)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.dicom.encoding.uids import PADDING, is_uid
from app.errors import InvalidField, InvalidRequest
from app.services.access.caller import Caller
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
"""Identifiers in one request. A study counts as one."""

_LEVELS: Final = ("study", "series", "instance")


def log_key(operation: str) -> str:
    """Return the key of the error log below the prefix of the destination."""
    return f"{operation}/errors.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """The identifiers to export, such as `1.2/3.4`, and the destination.

    `settings` belong to `destination_type`. They are None for a type that no schema knows.
    """

    identifiers: Sequence[str]
    destination_type: str
    settings: S3Settings | FileSettings | None


class Export:
    """Starts exports.

    `openers` are by the type of destination that a request may name. `endpoints` allows other stores than AWS.
    """

    def __init__(
        self,
        *,
        operations: Operations,
        queue: Queue,
        manifest: ExportManifest,
        openers: Mapping[str, Opener],
        endpoints: bool,
    ) -> None:
        self._operations = operations
        self._queue = queue
        self._manifest = manifest
        self._openers = openers
        self._endpoints = endpoints

    def start(self, caller: Caller, partition: Partition, request: ExportRequest) -> str:
        """Start an operation that exports the requested files, and return its id. Raises `InvalidRequest`.

        The order of the checks is: the identifiers, the settings of the destination, and whether the destination takes
        an empty error log. A kill -9 before the operation exists leaves that log, and a manifest that nobody reads.
        """
        paths = _paths(request.identifiers)
        target = self._target(request)
        operation = new_id()
        destination = self._openers[target.type](target, operation)
        destination.write(log_key(operation), io.BytesIO(), LOG_TYPE)
        self._manifest.write_identifiers(operation, _identifiers(paths))
        log = destination.url(log_key(operation))
        requested = {"partition": partition.key, "destination": document(target), "log": log}
        self._operations.start(TYPE, requested, named=operation, started_by=caller.identity, partition=partition.name)
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
