"""Reading of claims of a JWT (RFC 7519 §4, conformance §13.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_SEPARATOR: Final = "."


def claim_at(claims: Mapping[str, Any], name: str) -> Any:
    """Return the value of a claim, None if it is absent.

    A claim with exactly this name comes first, because names may be URLs. Otherwise dots lead into objects:
    `realm_access.roles` is the member `roles` of the claim `realm_access`.
    """
    if name in claims:
        return claims[name]
    value: Any = claims
    for member in name.split(_SEPARATOR):
        if not isinstance(value, Mapping):
            return None
        value = value.get(member)
    return value


def claim_values(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the texts of a claim: its only value, or the members of an array. Values that are no texts are left out.

    `name` is as in `claim_at`.
    """
    value = claim_at(claims, name)
    return tuple(each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str))
