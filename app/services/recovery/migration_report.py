"""What a migration did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

_LISTED: Final = 100


@dataclass(kw_only=True)
class MigrationReport:
    """What a migration did. Sizes are in bytes.

    `damaged` are the first keys of files that were lost or damaged in the source already, `damaged_files` is their
    number.
    """

    source: str
    target: str
    copied_files: int = 0
    copied_size: int = 0
    copied_items: int = 0
    removed_files: int = 0
    removed_items: int = 0
    compared_files: int = 0
    compared_items: int = 0
    compared_digests: int = 0
    damaged_files: int = 0
    damaged: list[str] = field(default_factory=list)
    is_finished: bool = False

    def add_damaged(self, blob: str) -> None:
        self.damaged_files += 1
        if len(self.damaged) < _LISTED:
            self.damaged.append(blob)

    def lines(self) -> Iterator[str]:
        """Yield the report for people."""
        yield f"from       {self.source}"
        yield f"to         {self.target}"
        yield f"copied     {self.copied_files:,} files, {self.copied_size / 1e6:,.1f} MB, {self.copied_items:,} items"
        if not self.is_finished:
            yield "not open   Stop all processes of the source, and give the same command with --final."
            return
        yield f"removed    {self.removed_files:,} files, {self.removed_items:,} items"
        compared = f"{self.compared_files:,} files, {self.compared_items:,} items, {self.compared_digests:,} digests"
        yield f"compared   {compared}"
        yield "open       The target is complete. No process opens the source any more."
        if self.damaged_files:
            yield f"damaged    {self.damaged_files:,} files are lost or damaged in the source too:"
            yield from (f"  {each}" for each in self.damaged)

    def document(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return asdict(self)
