"""Headers that every answer carries, errors included (conformance §1.3)."""

from __future__ import annotations

from typing import Final

from app.web.versions import SUPPORTED

ALWAYS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Content-Security-Policy", "frame-src 'self';"),
    ("api-supported-versions", SUPPORTED),
)
