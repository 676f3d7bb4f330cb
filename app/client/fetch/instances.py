"""The instances to retrieve: those of a study or a series, or those that a search finds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from app.client.connection import ArchiveClient
from app.client.identifiers import Identifier
from app.client.pages import pages
from app.dicom.encoding.uids import is_uid

_STUDY: Final = "0020000D"
_SERIES: Final = "0020000E"
_INSTANCE: Final = "00080018"


def named_instances(client: ArchiveClient, identifier: Identifier) -> Iterator[Identifier]:
    """Yield the instances of a study, a series or an instance. There is none if it does not exist."""
    if len(identifier.uids) == 3:
        yield identifier
        return
    yield from _found(client, f"{identifier.path}/instances", (), identifier.uids)


def found_instances(client: ArchiveClient, filters: Sequence[tuple[str, str]]) -> Iterator[Identifier]:
    """Yield the instances that a search finds. A filter of a study or a series finds all its instances."""
    yield from _found(client, "/instances", filters, ())


def _found(
    client: ArchiveClient, path: str, filters: Sequence[tuple[str, str]], known: tuple[str, ...]
) -> Iterator[Identifier]:
    def uids(dataset: Any) -> tuple[str, ...]:
        return (*known, *(_value(dataset, tag) for tag in (_STUDY, _SERIES, _INSTANCE)[len(known) :]))

    for page in pages(client, path, filters, identity=uids):
        # A UID becomes the name of a file, so what is none is not asked for.
        yield from (Identifier(each) for each in map(uids, page) if all(map(is_uid, each)))


def _value(dataset: Any, tag: str) -> str:
    values = dataset.get(tag, {}).get("Value") or [""]
    return str(values[0])
