"""The differences between the API versions, as values (conformance §1.1). No other code asks for a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.dicom.validation.attributes import V1_DEFAULTS, V2_DEFAULTS, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of one API version."""

    name: str
    strict: bool
    """A store refuses an instance whose searchable attributes break a rule; otherwise it warns (conformance §3.5)."""
    defaults: Mapping[Level, frozenset[str]]
    """The attributes that a search returns by default, at each level (conformance §5.7)."""
    from_index: bool
    """A search returns values from the index row; otherwise from the metadata of the newest instance."""
    computed_links: bool
    """A search adds RetrieveURL and InstanceAvailability."""
    feed_by_time: bool
    """The change feed is read by time; otherwise by sequence (conformance §10.2)."""
    lists_warnings: bool
    """The answer of a store lists the warnings of each stored instance, also if there are none (conformance §3.3)."""
    names_bulk_data: bool
    """Metadata has the URLs of bulk data and short binary values, unless a setting differs (conformance §4.14)."""
    warning_status: int
    """The status of a store that stored all instances, some with warnings (conformance §3.2)."""
    succeeded: str
    """The status word of an operation that succeeded (conformance §9.2)."""


V1: Final = Policy(
    name="v1",
    strict=True,
    defaults=V1_DEFAULTS,
    from_index=False,
    computed_links=False,
    feed_by_time=False,
    lists_warnings=False,
    names_bulk_data=False,
    warning_status=200,
    succeeded="completed",
)
V2: Final = Policy(
    name="v2",
    strict=False,
    defaults=V2_DEFAULTS,
    from_index=True,
    computed_links=True,
    feed_by_time=True,
    lists_warnings=True,
    names_bulk_data=True,
    warning_status=202,
    succeeded="succeeded",
)
