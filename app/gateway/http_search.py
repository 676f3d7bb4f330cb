"""Searches a Bulkhead server: pages of QIDO-RS (conformance §5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from app.client.connection import ArchiveClient
from app.client.errors import Refused
from app.client.pages import next_cursor

_PAGE: Final = 200
_BAD_REQUEST: Final = 400
_NO_PARTITION: Final = "doesn't exist."
"""The end of the text for a partition that was never stored into (conformance §2.4). Nothing matches there."""


class HttpSearch:
    """Searches over HTTP. Threads may share it. Each call makes one attempt."""

    def __init__(self, client: ArchiveClient) -> None:
        self._client = client.with_one_attempt()

    def matches(self, partition: str, path: str, parameters: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
        """Yield the matches of a search as DICOM JSON. A page is read when it is needed. Raises `ClientError`."""
        prefix = self._client.prefix_of(partition)
        given = [*parameters, ("limit", str(_PAGE))]
        page, cursor = self._page(f"{prefix}{path}", given)
        yield from page
        while cursor:
            page, cursor = self._page(f"{prefix}{path}", [*given, ("cursor", cursor)])
            yield from page

    def _page(self, path: str, parameters: list[tuple[str, str]]) -> tuple[list[dict[str, Any]], str]:
        """Return the matches of a page, and the cursor of the next one."""
        try:
            answer = self._client.request(
                "GET", path, at_base=True, params=parameters, headers={"Accept": "application/dicom+json"}
            )
        except Refused as error:
            if error.status == _BAD_REQUEST and error.text.endswith(_NO_PARTITION):
                return [], ""
            raise
        return (list(self._client.decoded(answer)) if answer.content else []), next_cursor(answer)
