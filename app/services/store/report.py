"""The report of a store: the outcome of each instance, and the response dataset (conformance §3.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from app.services.links import Link
from app.services.policy import Policy

# Failure and warning reasons (conformance §3.4).
FAILED: Final = 272
INVALID: Final = 43264
EXISTS: Final = 45070
DATASET_MISMATCH: Final = 45063
INVALID_ATTRIBUTES: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """An instance that is now in the archive. `comments` has one warning for each tag."""

    study: str
    series: str
    instance: str
    sop_class: str
    warning: int | None = None
    comments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedInstance:
    """An instance that was refused. A UID is None if it could not be read; it may be invalid."""

    reason: int
    sop_class: str | None = None
    instance: str | None = None
    comments: tuple[str, ...] = ()


@dataclass(slots=True)
class StoreReport:
    """The outcomes of the instances of one request, in their order. `study` is the UID in its URL, if there is one."""

    study: str | None
    policy: Policy
    stored: list[StoredInstance] = field(default_factory=list)
    failed: list[FailedInstance] = field(default_factory=list)
    multiple_values: bool = False
    """An indexed attribute had several values. Only the first one can be searched for."""
    unavailable: bool = False
    """The data store failed for one of the instances at least."""

    def fail(self, failed: Iterable[FailedInstance]) -> None:
        """Add instances that were not stored, or perhaps not, because the data store failed."""
        self.failed += failed
        self.unavailable = True

    @property
    def empty(self) -> bool:
        return not self.stored and not self.failed

    @property
    def status(self) -> int:
        """The HTTP status of the answer (conformance §3.2)."""
        if self.empty:
            return 204
        if not self.stored:
            return 409
        if self.failed:
            return 202
        return self.policy.warning_status if any(each.warning is not None for each in self.stored) else 200

    def dataset(self, link: Link) -> dict[str, Any]:
        """Return the response dataset as DICOM JSON."""
        dataset: dict[str, Any] = {}
        if self.study and self.stored:
            dataset["00081190"] = _element("UR", link(self.study))
        if self.failed:
            dataset["00081198"] = {"vr": "SQ", "Value": [_failed_item(each) for each in self.failed]}
        if self.stored:
            dataset["00081199"] = {"vr": "SQ", "Value": [_stored_item(each, link, self.policy) for each in self.stored]}
        return dataset


def _stored_item(each: StoredInstance, link: Link, policy: Policy) -> dict[str, Any]:
    item = {
        "00081150": _element("UI", each.sop_class),
        "00081155": _element("UI", each.instance),
        "00081190": _element("UR", link(each.study, each.series, each.instance)),
    }
    if each.warning is not None:
        item["00081196"] = _element("US", each.warning)
    if policy.lists_warnings:
        item["00741048"] = _comments(each.comments)
    return item


def _failed_item(each: FailedInstance) -> dict[str, Any]:
    item: dict[str, Any] = {}
    if each.sop_class is not None:
        item["00081150"] = _element("UI", each.sop_class)
    if each.instance is not None:
        item["00081155"] = _element("UI", each.instance)
    item["00081197"] = _element("US", each.reason)
    if each.comments:
        item["00741048"] = _comments(each.comments)
    return item


def _comments(comments: tuple[str, ...]) -> dict[str, Any]:
    if not comments:
        return {"vr": "SQ"}
    return {"vr": "SQ", "Value": [{"00000902": _element("LO", comment)} for comment in comments]}


def _element(vr: str, value: str | int) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]}
