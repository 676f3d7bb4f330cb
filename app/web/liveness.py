"""The answer to `GET /health/live` (conformance §1.10). Nothing is asked for it, so it is always the same bytes.

The route answers with `BODY`. The HTTP server may answer with `whole_answer` itself, without a request thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

PATH: Final = "/health/live"
BODY: Final = b'{"status":"Healthy"}'
CONTENT_TYPE: Final = "application/json"


def is_live_path(path: str) -> bool:
    """Return whether a request path is that of the liveness route, in any letter case."""
    return path.lower() == PATH


def whole_answer(headers: Sequence[tuple[str, str]], *, with_body: bool = True) -> bytes:
    """Return the status line, the headers and the body. `headers` are those that every answer has.

    An answer to HEAD has no body and the same headers.
    """
    lines = [
        "HTTP/1.1 200 OK",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(BODY)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + (BODY if with_body else b"")
