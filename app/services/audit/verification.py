"""Finds audit lines that are missing, changed, doubled or at another place (conformance §13.5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec

from app.services.audit.digests import digest_of, unseal
from app.services.audit.reading import Place, audit_lines
from app.services.audit.trail import STOP

MAX_RUNS: Final = 10_000
"""Runs of lines that are checked of a process. An unchanged trail has one in each file. More are a fault."""

_WHOLE: Final = re.compile(rb'.*"digest":"[^"]*"\}', re.DOTALL)


class Fault(NamedTuple):
    """Something that an unchanged trail never has. `line` is the number of the line in its process."""

    process: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"process {self.process}, line {self.line}: {self.text}" if self.process else self.text


class LineNumber(msgspec.Struct, frozen=True):
    """What connects a line with the others of its process."""

    process: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
    line: Annotated[int, msgspec.Meta(ge=1)]
    previous: str = ""
    event: str = ""


@dataclass(slots=True, kw_only=True)
class Verification:
    """The result. `faults` has the first fault of each process."""

    files: int = 0
    lines: int = 0
    processes: int = 0
    faults: list[Fault] = field(default_factory=list)
    running: dict[str, Place] = field(default_factory=dict)
    """Processes without a line `stop`, with the place of their last line. Nothing shows whether more lines followed."""
    cut: list[Place] = field(default_factory=list)
    """Lines that end in the middle. A loss of power and a full disk leave such lines."""


def verify(files: Iterable[Path], *, key: bytes | None = None, is_part: bool = False) -> Verification:
    """Check the lines of all files together. The order of the files does not matter.

    Lines of other programs are ignored. `key` is the secret of the digests. `is_part` accepts that the first lines of
    a process are not there. Raises `OSError` for a file that cannot be read. One line at a time is in memory.
    """
    found = Verification()
    processes: dict[str, _Process] = {}
    for path in files:
        found.files += 1
        _read(path, key, found, processes)
    found.processes = len(processes)
    for name, process in processes.items():
        fault = min(process.faults(is_part=is_part), key=lambda fault: fault.line, default=None)
        if fault:
            found.faults.append(fault)
        elif not process.is_stopped:
            found.running[name] = max(process.runs, key=lambda run: run.last).end
    return found


def _read(path: Path, key: bytes | None, found: Verification, processes: dict[str, _Process]) -> None:
    in_file: set[str] = set()
    for place, line in audit_lines(path):
        sealed = unseal(line)
        try:
            numbered = msgspec.json.decode(line, type=LineNumber)
        except (msgspec.MsgspecError, RecursionError):
            sealed = None
        if sealed is None:
            _note_unreadable(line, place, found)
            continue
        found.lines += 1
        process = processes.setdefault(numbered.process, _Process(numbered.process))
        process.add(numbered, sealed.digest, place, begins_file=numbered.process not in in_file)
        if digest_of(sealed.content, key) != sealed.digest:
            process.note_change(numbered.line, place, has_key=key is not None)
        in_file.add(numbered.process)


def _note_unreadable(line: bytes, place: Place, found: Verification) -> None:
    """Record a line without a digest or without a number. One that has its end was not cut."""
    if not _WHOLE.fullmatch(line):
        found.cut.append(place)
    elif not found.faults:
        found.faults.append(Fault("", 0, f"{place} was changed: it has no digest or no number."))


@dataclass(slots=True, kw_only=True)
class _Run:
    """Lines of a process that follow each other in one file. `previous` is what the first of them states."""

    first: int
    last: int
    previous: str
    digest: str
    start: Place
    end: Place


class _Process:
    """The runs of the lines of one process, in the order of reading."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.runs: list[_Run] = []
        self.changed: Fault | None = None
        self.unchecked: Fault | None = None
        self.is_stopped = False

    def add(self, numbered: LineNumber, digest: str, place: Place, *, begins_file: bool) -> None:
        """Add a line to the run that it follows, or begin another run."""
        self.is_stopped |= numbered.event == STOP
        run = None if begins_file else self.runs[-1]
        if run and numbered.line == run.last + 1 and numbered.previous == run.digest:
            run.last, run.digest, run.end = numbered.line, digest, place
        elif len(self.runs) < MAX_RUNS:
            self.runs.append(
                _Run(
                    first=numbered.line,
                    last=numbered.line,
                    previous=numbered.previous,
                    digest=digest,
                    start=place,
                    end=place,
                )
            )
        elif self.unchecked is None:
            self.unchecked = self._fault(
                numbered.line, f"{place} is not checked: its process has more than {MAX_RUNS} runs. Check fewer files."
            )

    def note_change(self, line: int, place: Place, *, has_key: bool) -> None:
        """Record that the digest of a line is not that of its bytes. Only the first such line counts."""
        if self.changed is None or line < self.changed.line:
            reason = "or its digest has another key" if has_key else "or its digest has a key"
            self.changed = self._fault(line, f"{place} was changed, {reason}.")

    def faults(self, *, is_part: bool) -> Iterator[Fault]:
        """Yield the faults. `is_part` accepts that the first lines are not there."""
        if self.changed:
            yield self.changed
        if self.unchecked:
            yield self.unchecked
        runs = sorted(self.runs, key=lambda run: run.first)
        yield from self._gaps(runs, is_part=is_part)
        yield from self._moved(runs)

    def _gaps(self, runs: list[_Run], *, is_part: bool) -> Iterator[Fault]:
        """Yield lines that are missing, doubled, or not the ones that the next line follows."""
        last, digest = 0, ""
        for run in runs:
            if run.first <= last:
                yield self._fault(run.first, f"{run.start} has it again.")
            elif run.first > last + 1:
                if last or not is_part:
                    yield self._fault(last + 1, f"it is missing before {run.start}.")
            elif run.previous != digest:
                yield self._fault(
                    run.first, f"{run.start} does not follow the line before it: one of them was replaced."
                )
            if run.last > last:
                last, digest = run.last, run.digest

    def _moved(self, runs: list[_Run]) -> Iterator[Fault]:
        """Yield lines at another place: before an earlier line of their file, or between lines of another file."""
        ends: dict[str, int] = {}
        file = ""
        for run in runs:
            end = ends.get(run.start.file, 0)
            if end and (run.start.file != file or run.start.number < end):
                yield self._fault(run.first, f"{run.start} is at another place.")
            file = run.start.file
            ends[file] = max(end, run.end.number)

    def _fault(self, line: int, text: str) -> Fault:
        return Fault(self.name, line, text)
