"""Where exported files go (conformance §11.2): what names a place, and the port that engines implement to write there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Final, Protocol


@dataclass(frozen=True, slots=True)
class S3Target:
    """A place in a bucket. `prefix` is empty or ends with a slash; other empty fields mean the service's own choice.

    Nothing here is a secret: credentials are the service's own, or those of `role`, asked for when they are needed.
    """

    bucket: str
    prefix: str = ""
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
    """A place below the folder that the operator set aside for exports; `prefix` as in `S3Target`."""

    prefix: str = ""

    @property
    def type(self) -> str:
        return "file"


Target = S3Target | FileTarget

TYPES: Final[Mapping[str, type[Target]]] = {"s3": S3Target, "file": FileTarget}


def document(target: Target) -> dict[str, Any]:
    """Return the target as JSON; `target_of` reads it."""
    return {"type": target.type} | {name: value for name, value in asdict(target).items() if value}


def target_of(document: Mapping[str, Any]) -> Target:
    """Return the target that `document` was made of."""
    return TYPES[document["type"]](**{name: value for name, value in document.items() if name != "type"})


class Destination(Protocol):
    """Takes the files of one export, under keys below the target's prefix; any number of threads may write.

    Both writes replace what is there, whole or not at all, so repeating one after a crash changes nothing. They raise
    `DestinationRefused` and `DestinationUnavailable`, and pass on what their source raises.
    """

    def write(self, key: str, body: BinaryIO, content_type: str) -> None:
        """Write the rest of `body`, holding a bounded part of it in memory."""
        ...

    def copy(self, blob: str, size: int, key: str, content_type: str) -> None:
        """Write a stored blob of `size` bytes, without passing it through this process where that can be.

        Raises `BlobMissing` and `StorageUnavailable` too.
        """
        ...

    def url(self, key: str) -> str:
        """Return where a client finds the object."""
        ...


Opener = Callable[[Any, str], Destination]
"""Opens the place that a target names for the operation of that id; refusals come with this or with the first write."""
