"""Destinations of exports (conformance §11.2): the targets that name them, and the port through which engines write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any, BinaryIO, Final, Protocol


@dataclass(frozen=True, slots=True)
class S3Target:
    """A prefix in a bucket. `prefix` is empty or ends with a slash. Other empty fields leave the choice to the service.

    No field is a secret. The service writes with its own credentials, or with those of `role`, which it requests when
    it needs them.
    """

    bucket: str
    prefix: str = ""
    _: KW_ONLY
    region: str = ""
    endpoint: str = ""
    role: str = ""
    external_id: str = ""
    sse: str = ""
    kms_key: str = ""

    @property
    def type(self) -> str:
        return "s3"


@dataclass(frozen=True, slots=True)
class FileTarget:
    """A folder below the export folder of the operator; `prefix` as in `S3Target`."""

    prefix: str = ""

    @property
    def type(self) -> str:
        return "file"


Target = S3Target | FileTarget

TYPES: Final[Mapping[str, type[Target]]] = {"s3": S3Target, "file": FileTarget}


def document(target: Target) -> dict[str, Any]:
    """Return the target as JSON, which `target_of` reads."""
    return {"type": target.type} | {name: value for name, value in asdict(target).items() if value}


def target_of(document: Mapping[str, Any]) -> Target:
    """Return the target from the JSON that `document` returned."""
    return TYPES[document["type"]](**{name: value for name, value in document.items() if name != "type"})


class Destination(Protocol):
    """Takes the files of one export, under keys below the prefix of the target. Any number of threads may write.

    A write replaces the whole object or nothing, so a repetition after a kill -9 changes nothing. Both writes raise
    `DestinationRefused` and `DestinationUnavailable`, and every error of their source.
    """

    def write(self, key: str, body: BinaryIO, content_type: str) -> None:
        """Write the rest of `body`. A bounded part of it is in memory at a time."""
        ...

    def copy(self, blob: str, size: int, key: str, content_type: str) -> None:
        """Write a stored blob of `size` bytes. If possible, the stores copy it without this process.

        Raises `BlobMissing` and `StorageUnavailable` too.
        """
        ...

    def url(self, key: str) -> str:
        """Return the URL or the path at which a client finds the object."""
        ...


Opener = Callable[[Any, str], Destination]
"""Opens the destination of a target for the operation with that id. It refuses here or at the first write."""
