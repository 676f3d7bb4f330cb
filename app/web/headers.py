"""The headers of every answer, errors included (conformance §1.3)."""

from __future__ import annotations

from typing import Final

SUPPORTED: Final = "v1, v2"

ALWAYS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Content-Security-Policy", "frame-src 'self';"),
    ("api-supported-versions", SUPPORTED),
)
