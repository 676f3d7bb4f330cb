"""Finds the audit lines in a file, also between lines of other programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from app.services.audit.trail import BEGINNING

LONGEST_LINE: Final = 1024 * 1024
"""Bytes that are read as one line at most. No audit line is as long."""


class Place(NamedTuple):
    """Where a line is: the name of the file, and the number of the line in it."""

    file: str
    number: int

    def __str__(self) -> str:
        return f"{self.file}:{self.number}"


def audit_lines(path: Path) -> Iterator[tuple[Place, bytes]]:
    """Yield the audit lines of a file without their ends. A line that was cut is one too. Raises `OSError`.

    Another program may have written something before a line, and a line that was cut may be before it.
    """
    with path.open("rb") as file:
        for number, text in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), start=1):
            begin = text.rfind(BEGINNING)
            if begin >= 0:
                yield Place(str(path), number), text[begin:].rstrip(b"\r\n")
