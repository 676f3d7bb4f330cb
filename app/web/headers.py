"""Headers that every answer carries, errors included (conformance §1.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.web.routing.versions import SUPPORTED

_FRAMES: Final = "frame-src 'self';"

ALWAYS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Content-Security-Policy", _FRAMES),
    ("api-supported-versions", SUPPORTED),
)


def headers_for(origins: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the headers of a service whose answers may be framed by pages of these origins (`*` is any).

    `X-Frame-Options` cannot name an origin. A browser that knows `frame-ancestors` ignores it, and an older one would
    obey it. So the header is absent if there are origins.
    """
    if not origins:
        return ALWAYS
    ancestors = "*" if "*" in origins else " ".join(("'self'", *origins))
    policy = f"{_FRAMES} frame-ancestors {ancestors};"
    kept = tuple((name, value) for name, value in ALWAYS if name not in ("X-Frame-Options", "Content-Security-Policy"))
    return (*kept, ("Content-Security-Policy", policy))
