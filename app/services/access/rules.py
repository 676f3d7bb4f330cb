"""The rules for what an administrator writes into a token or a stored grant (conformance §13.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.errors import InvalidField
from app.services.access.documents import time_text
from app.services.access.rights import Action, is_pattern
from app.services.access.roles import RoleDirectory

MAX_TEXT: Final = 1024
"""Characters of an issuer, a claim name or a claim value."""
MAX_NAME: Final = 64
"""Characters of the name of a token."""
MAX_ROLES: Final = 20
MAX_PARTITIONS: Final = 100

_QUOTED: Final = 80


def check_partitions(patterns: Sequence[str]) -> None:
    """Raise `InvalidField` unless the partitions of a grant are one to `MAX_PARTITIONS` patterns."""
    check_length("partitions", patterns, MAX_PARTITIONS)
    for at, pattern in enumerate(patterns):
        if not is_pattern(pattern):
            rule = "is neither the name of a partition, nor the beginning of names and a star, nor '*'."
            raise InvalidField(f"partitions[{at}]", f"{quoted(pattern)} {rule}")


def check_length(field: str, values: Sequence[str], most: int) -> None:
    """Raise `InvalidField` unless a list has one to `most` values."""
    if not 1 <= len(values) <= most:
        raise InvalidField(field, f"It must have 1 to {most} values, and it has {len(values)}.")


def check_text(field: str, text: str, most: int = MAX_TEXT) -> None:
    """Raise `InvalidField` unless a text has one to `most` characters, all of them printable."""
    if not 1 <= len(text) <= most:
        raise InvalidField(field, f"It must have 1 to {most} characters, and it has {len(text)}.")
    if not text.isprintable() or text != text.strip():
        raise InvalidField(field, f"{quoted(text)} has control characters, or blanks at its beginning or its end.")


def check_expiry(expires: int | None, now: float) -> None:
    """Raise `InvalidField` if a time of expiry is not in the future. Both are in seconds since 1970."""
    if expires is not None and expires <= now:
        raise InvalidField("expires", f"{time_text(expires)} is not in the future.")


def check_actions(names: Sequence[str]) -> None:
    """Raise `InvalidField` unless each text is the name of an action."""
    known = [action.value for action in Action]
    check_length("actions", names, len(known))
    for at, name in enumerate(names):
        if name not in known:
            raise InvalidField(f"actions[{at}]", f"There is no action {quoted(name)}. Actions: {', '.join(known)}.")


def check_role(field: str, name: str, roles: RoleDirectory) -> None:
    """Raise `InvalidField` unless there is a role with this name."""
    if roles.find(name) is None:
        raise InvalidField(field, f"There is no role {quoted(name)}.")


def quoted(text: str) -> str:
    """Return a text of the caller for a message, shortened and with its control characters escaped."""
    return repr(text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…")
