"""The ids of tokens and of stored grants."""

from __future__ import annotations

import re
import secrets
from typing import Final

_ID: Final = re.compile(r"[0-9a-f]{14}")


def new_id(now: float) -> str:
    """Return 14 hex digits. The first eight are the time of creation in seconds, so ids sort the oldest first."""
    return f"{int(now):08x}{secrets.token_hex(3)}"


def is_id(text: str) -> bool:
    """Return whether a text has the form of an id. Only such a text may become part of a key."""
    return bool(_ID.fullmatch(text))
