"""What became of the files that were sent, and how the answer of a store tells it (conformance §3.3)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from app.client.store.found import DicomFile

EXISTS: Final = 45070
TRY_AGAIN: Final = 272
_REASONS: Final[Mapping[int, str]] = {
    TRY_AGAIN: "the data store failed",
    43264: "the file is unreadable or breaks a rule",
    EXISTS: "the instance exists",
}
_PLACE: Final = re.compile(r" \(byte [0-9]+\)")
_QUOTED: Final = re.compile(r'^Content ".*" (?=does not validate)', re.DOTALL)


class Result(Enum):
    """What became of a file."""

    STORED = "stored"
    STORED_WITH_WARNING = "storedWithWarning"
    ALREADY_STORED = "alreadyStored"
    NOT_COMPARED = "notCompared"
    """The instance exists, and the server does not say whether it has the same bytes."""
    REFUSED = "refused"


@dataclass(frozen=True)
class Outcome:
    """What became of one file. `reason` groups refusals and has no values of the file."""

    file: DicomFile
    result: Result
    reason: str = ""


@dataclass(frozen=True)
class Failure:
    """An item of the FailedSOPSequence: its reason code and comments. `instance` is empty if it could not be read."""

    instance: str
    code: int
    comments: tuple[str, ...]

    @property
    def reason(self) -> str:
        """The reason in one line."""
        said = _without_values(self.comments[0]) if self.comments else _REASONS.get(self.code, "no reason given")
        return f"{self.code}: {said}"


class StoreAnswer:
    """The response dataset of a store, as DICOM JSON."""

    def __init__(self, dataset: Mapping[str, Any]) -> None:
        self.stored = [(_value(each, "00081155"), "00081196" in each) for each in _items(dataset, "00081199")]
        """The SOP Instance UIDs of the stored instances in the order of the request, and whether each has a warning."""
        self.failed = [
            Failure(
                _value(each, "00081155"),
                int(_value(each, "00081197") or 0),
                tuple(_value(comment, "00000902") for comment in _items(each, "00741048")),
            )
            for each in _items(dataset, "00081198")
        ]

    def of_each(self, instances: Sequence[str | None]) -> Iterator[Result | Failure | None]:
        """Yield what became of each file of the request, from its SOP Instance UID. None: the answer does not tell.

        Two files with one UID cannot be told apart in the answer.
        """
        if not self.failed and len(self.stored) == len(instances):
            yield from (_stored(warned) for _, warned in self.stored)
            return
        sent = Counter(instances)
        answers: dict[str, list[Result | Failure]] = {}
        for instance, warned in self.stored:
            answers.setdefault(instance, []).append(_stored(warned))
        for failure in self.failed:
            answers.setdefault(failure.instance, []).append(failure)
        for each in instances:
            found = answers.get(each, []) if each else []
            yield found[0] if len(found) == 1 and sent[each] == 1 else None


def _stored(warned: bool) -> Result:
    return Result.STORED_WITH_WARNING if warned else Result.STORED


def _items(dataset: Mapping[str, Any], tag: str) -> list[Mapping[str, Any]]:
    return list(dataset.get(tag, {}).get("Value") or ())


def _value(item: Mapping[str, Any], tag: str) -> str:
    values = item.get(tag, {}).get("Value") or [""]
    return str(values[0])


def _without_values(comment: str) -> str:
    """Return a comment without its code, without a quoted value, which may be of a patient, and without a place."""
    text = _PLACE.sub("", comment.partition(" - ")[2] or comment)
    return _QUOTED.sub("Content ", text)
