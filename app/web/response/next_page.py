"""The header `Link` of a page of a search: the URL of the next page (RFC 8288, conformance §5.6)."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from flask import Request, Response

_POSITION: Final = frozenset(("offset", "cursor"))
"""Parameters that say where a page begins, in lower case."""


def add_next_page(response: Response, request: Request, address: str, cursor: str) -> None:
    """Add `Link: <{url}>; rel="next"`: the URL of the request, with the cursor in place of its offset or cursor.

    `address` has scheme, host and base path.
    """
    given = parse_qsl(request.environ.get("QUERY_STRING", ""), keep_blank_values=True)
    query = urlencode([*((name, value) for name, value in given if name.lower() not in _POSITION), ("cursor", cursor)])
    response.headers.add("Link", f'<{address}{quote(request.path)}?{query}>; rel="next"')
