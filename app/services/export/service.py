"""Export files of a partition to a place that the client names (conformance §11.3): the checks, then an operation."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, Final

from app.dicom.encoding.uids import PADDING, is_uid
from app.errors import InvalidField, InvalidRequest
from app.services.export import destinations
from app.services.operations.runner import announce
from app.storage.operations.destinations import Opener, Target, document
from app.storage.operations.export_manifest import ExportManifest
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

    def start(self, partition: Partition, body: object) -> str:
        """Return the id of the operation that exports what the JSON body names; raises `InvalidRequest`.

        Checked in this order: the body's shape, the destination's settings, and that an empty error log can be written
        there. A crash before the operation exists leaves that log, and pages that nobody reads.
        """
        request = _object(body, "")
        paths = _identifiers(_section(request, "source", "sources"))
        target = self._target(_section(request, "destination"))
        operation = new_id()
        destination = self._openers[target.type](target, operation)
        destination.write(log_key(operation), io.BytesIO(), LOG_TYPE)
        self._manifest.file(operation, ["/".join(path) for path in paths])
        log = destination.url(log_key(operation))
        asked = {"partition": partition.key, "destination": document(target), "log": log}
        self._operations.start(TYPE, asked, named=operation)
        announce(self._queue, operation)
        return operation

    def _target(self, stated: Mapping[str, Any]) -> Target:
        readers: dict[str, Callable[[Mapping[str, Any]], Target]] = {
            "s3": lambda settings: destinations.s3(settings, endpoints=self._endpoints),
            "file": destinations.file,
        }
        kind = _kind(stated, "destination", [each for each in readers if each in self._openers])
        return readers[kind](_object(stated.get("settings"), "destination.settings"))


def _identifiers(source: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the paths of one to three UIDs that a source names, in its order, none within or equal to another."""
    _kind(source, "source", ["identifiers"])
    settings = _object(source.get("settings"), "source.settings")
    values = settings.get("values")
    if values is None or values == []:
        raise InvalidRequest("Missing value for property 'Values'.")
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidField("source.settings.values", "It must be an array of strings.")
    if len(values) > MAX_IDENTIFIERS:
        raise InvalidField("source.settings.values", f"It has more than {MAX_IDENTIFIERS} entries.")
    paths = dict.fromkeys(map(_path, values))
    return [path for path in paths if not any(path[:above] in paths for above in range(1, len(path)))]


def _path(value: str) -> tuple[str, ...]:
    parts = value.split("/", len(_LEVELS))
    if len(parts) > len(_LEVELS) or not all(map(is_uid, parts)):
        raise InvalidRequest(f"The string '{value}' was not recognized as a valid DICOM identifier.")
    return tuple(part.rstrip(PADDING) for part in parts)


def _section(request: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found = next((request[name] for name in names if request.get(name) is not None), None)
    if found is None:
        raise InvalidField(names[0], f"The {names[0]} field is required.")
    return _object(found, names[0])


def _object(value: object, path: str) -> Mapping[str, Any]:
    """Return an object's members by their names in lower case; raises `InvalidField`."""
    if value is None:
        raise InvalidField(path, "It is required.")
    if not isinstance(value, dict):
        raise InvalidField(path, "It must be an object.")
    return {name.lower(): member for name, member in value.items()}


def _kind(section: Mapping[str, Any], path: str, known: list[str]) -> str:
    kind = section.get("type")
    if not isinstance(kind, str) or kind.lower() not in known:
        raise InvalidField(f"{path}.type", f"It must be one of: {', '.join(known)}.")
    return kind.lower()
