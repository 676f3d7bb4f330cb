"""Files that were refused or failed, grouped by the reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

EXAMPLES: Final = 5
_REASONS: Final = 200
OTHER_REASONS: Final = "other reasons"


@dataclass
class _Group:
    """The files that were refused for one reason: their number, and the names of some."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


class Refusals:
    """The number of refused files and some names for each reason. Its memory is bounded."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}
        self.count = 0

    def add(self, name: str, reason: str) -> None:
        known = reason in self._groups or len(self._groups) < _REASONS
        group = self._groups.setdefault(reason if known else OTHER_REASONS, _Group())
        self.count += 1
        group.count += 1
        if len(group.examples) < EXAMPLES:
            group.examples.append(name)

    def lines(self) -> Iterator[str]:
        """Yield lines for people, the most common reason first."""
        for reason, group in sorted(self._groups.items(), key=lambda each: -each[1].count):
            yield f"  {group.count} x {reason}"
            yield from (f"      {name}" for name in group.examples)
            if group.count > len(group.examples):
                yield f"      and {group.count - len(group.examples)} more"

    def documents(self) -> list[dict[str, Any]]:
        """Return a JSON object for each reason."""
        return [
            {"reason": reason, "count": group.count, "examples": group.examples}
            for reason, group in self._groups.items()
        ]


def file_count(count: int) -> str:
    """Return a number of files for people."""
    return f"{count:,} file" + ("" if count == 1 else "s")
