"""The header `Link` of a page of a search: the URL of the next page (RFC 8288, conformance §5.6)."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from flask import Request, Response

_KEPT: Final = "*:/@"
"""Legal characters of a query (RFC 3986 §3.4) that are not encoded, so that the URL of a long pattern does not become
three times as long. Comma and semicolon are encoded: simple clients split the header there."""

_POSITION: Final = frozenset(("offset", "cursor"))
"""Parameters that say where a page begins, in lower case."""


def add_next_page(response: Response, request: Request, address: str, position: str, name: str = "cursor") -> None:
    """Add `Link: <{url}>; rel="next"`: the URL of the request, with the cursor in place of its offset or cursor.

    `address` has scheme, host and base path. `name` is that of the parameter that takes the position.
    """
    given = parse_qsl(request.environ.get("QUERY_STRING", ""), keep_blank_values=True)
    kept = [(each, value) for each, value in given if each.lower() not in {*_POSITION, name}]
    query = urlencode([*kept, (name, position)], safe=_KEPT)
    response.headers.add("Link", f'<{address}{quote(request.path)}?{query}>; rel="next"')
