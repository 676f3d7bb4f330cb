"""Lists of a server that come in pages: searches, extended query tags."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import httpx

from app.client.connection import DICOM_JSON, ArchiveClient
from app.client.errors import UnexpectedAnswer

LARGEST_PAGE: Final = 200
"""The largest page that a server gives (conformance §5.2)."""

_REMEMBERED_PAGES: Final = 20
"""An entry comes twice if it moves to the next page, or to a page soon after it while very much is stored."""


def pages(
    client: ArchiveClient,
    path: str,
    parameters: Iterable[tuple[str, str]] = (),
    *,
    limit: int | None = None,
    at_base: bool = False,
    identity: Callable[[Any], object] = repr,
) -> Iterator[list[Any]]:
    """Yield the entries of a list page by page, `limit` in all at most. None: all of them.

    A list with links to the next page (conformance §5.6) has each entry once. In another list, what is stored meanwhile
    moves the pages. So an entry may come twice; `identity` tells which entries are the same, and the second one is left
    out. An entry that is deleted meanwhile may hide another one.
    """
    given = tuple(parameters)
    recent: deque[set[object]] = deque(maxlen=_REMEMBERED_PAGES)
    offset, left = 0, limit
    cursor = ""
    while left is None or left > 0:
        size = LARGEST_PAGE if left is None else min(left, LARGEST_PAGE)
        position = ("cursor", cursor) if cursor else ("offset", str(offset))
        page, following = _page(client, path, [*given, ("limit", str(size)), position], at_base)
        fresh = [entry for entry in page if not any(identity(entry) in earlier for earlier in recent)]
        recent.append(set(map(identity, fresh)))
        if fresh:
            yield fresh
        if not following and (cursor or len(page) < size):
            return
        offset, cursor = offset + len(page), following
        left = None if left is None else left - len(fresh)


def next_cursor(answer: httpx.Response) -> str:
    """Return the cursor of the next page that an answer names in its header `Link`, "" if it names none."""
    query = urlsplit(answer.links.get("next", {}).get("url", "")).query
    return dict(parse_qsl(query)).get("cursor", "")


def _page(client: ArchiveClient, path: str, parameters: list[tuple[str, str]], at_base: bool) -> tuple[list[Any], str]:
    """Return the entries of a page, and the cursor of the next one."""
    accept = "application/json" if at_base else DICOM_JSON
    answer = client.request("GET", path, at_base=at_base, params=parameters, headers={"Accept": accept})
    found = client.decoded(answer) if answer.content else []
    if not isinstance(found, list) or not all(map(_is_entry if at_base else is_dataset, found)):
        raise UnexpectedAnswer(f"The answer of {client.url} is no list of objects: is it a Bulkhead server?")
    return found, next_cursor(answer)


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict)


def is_dataset(entry: Any) -> bool:
    """Return whether this has the form of a dataset in DICOM JSON (PS3.18 §F.2)."""
    return isinstance(entry, dict) and all(
        isinstance(element, dict) and isinstance(element.get("Value", []), list) for element in entry.values()
    )
