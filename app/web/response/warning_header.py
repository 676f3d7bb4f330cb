"""The header `Warning` of answers (RFC 7234 §5.5, conformance §1.3)."""

from __future__ import annotations

import re
from typing import Final

from flask import Request, Response

MORE_RESULTS: Final = "There are additional results that can be requested."
"""The text of the warning on a full page of a search (PS3.18 §10.6.3.2)."""

_PORT: Final = re.compile(r":[0-9]*\Z", re.ASCII)
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e\xa0-\xff]")


def add_warning(response: Response, request: Request, text: str) -> None:
    """Add `Warning: 299 {host}: "{text}"` to an answer. `{host}` has no port; it is `-` if the request names no host.

    Microsoft's .NET client ignores a warning whose host has a port. A character that no header can hold becomes `?`.
    """
    host = _PORT.sub("", request.environ.get("HTTP_HOST", "")) or "-"
    quoted = _UNPRINTABLE.sub("?", text).replace("\\", "\\\\").replace('"', '\\"')
    response.headers.add("Warning", f'299 {host}: "{quoted}"')
