"""The header that asks for the first stored version of each file (conformance §4.9)."""

from __future__ import annotations

from flask import Request


def is_original_wanted(request: Request) -> bool:
    """Return whether the caller asks for the original version. The first value of the header counts."""
    first = request.headers.get("msdicom-request-original", "").partition(",")[0]
    return first.strip().lower() == "true"
