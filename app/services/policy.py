"""What differs between API versions, as values; no handler or service asks for a version (conformance §1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.dicom.validation.attributes import V1_DEFAULTS, V2_DEFAULTS, Level


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one API version."""

    name: str
    strict: bool
    """Store refuses an instance whose searchable attributes break their rules, instead of warning (conformance §3.5)."""
    defaults: Mapping[Level, frozenset[str]]
    """What a search returns unasked, at each level (conformance §5.7)."""
    from_index: bool
    """Search answers default attributes from the merged index row, instead of the newest instance's metadata."""
    computed_links: bool
    """Search adds RetrieveURL and InstanceAvailability."""
    feed_by_time: bool
    """The change feed is read by time, instead of by sequence (conformance §10.2)."""
    lists_warnings: bool
    """A store's answer lists each stored instance's warnings, if only as an empty sequence (conformance §3.3)."""
    warning_status: int
    """Status of a store when all is stored, but not without warnings (conformance §3.2)."""
    succeeded: str
    """How a finished operation is called (conformance §9.2)."""
    bulk_update: bool
    """Studies can be updated in bulk (conformance §12.1)."""


V1: Final = Policy(
    name="v1",
    strict=True,
    defaults=V1_DEFAULTS,
    from_index=False,
    computed_links=False,
    feed_by_time=False,
    lists_warnings=False,
    warning_status=200,
    succeeded="completed",
    bulk_update=False,
)
V2: Final = Policy(
    name="v2",
    strict=False,
    defaults=V2_DEFAULTS,
    from_index=True,
    computed_links=True,
    feed_by_time=True,
    lists_warnings=True,
    warning_status=202,
    succeeded="succeeded",
    bulk_update=True,
)
