"""The packages of a lock: a file of `infra/locked` that `make lock` writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER: Final = Path(__file__).parent / "locked"
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NAME: Final = re.compile(r"#\s+(?:via\s+)?([A-Za-z0-9][\w.-]*)(?:\s|\[|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPackage:
    """A version of a package, with the SHA-256 digests of its files in hexadecimal digits."""

    requirement: Requirement
    """The name, the version as `==`, and the environments for which this version is."""
    digests: tuple[str, ...]
    needed_by: frozenset[str]
    """The names of the packages that need this one. `bulkhead` is one of them."""

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        (specifier,) = self.requirement.specifier
        return specifier.version

    def is_for(self, environment: dict[str, str]) -> bool:
        """Return whether this version is for an environment. It may name some markers; this process gives the rest."""
        marker = self.requirement.marker
        return marker is None or marker.evaluate(environment)


def locked_packages(file: Path) -> list[LockedPackage]:
    """Return the packages of a lock, in its order. Raises ValueError for an entry that is no pinned version."""
    return [_package(entry) for entry in _entries(file.read_text())]


def _entries(text: str) -> Iterator[list[str]]:
    """Yield the lines of each entry: the requirement, its digests, and the comments that say who needs it."""
    entry: list[str] = []
    for line in text.splitlines():
        if line and line[0] not in " #":
            if entry:
                yield entry
            entry = []
        if entry or not line.startswith("#"):
            entry.append(line)
    if entry:
        yield entry


def _package(lines: list[str]) -> LockedPackage:
    requirement = Requirement(lines[0].rstrip(" \\"))
    if [each.operator for each in requirement.specifier] != ["=="]:
        raise ValueError(f"{requirement} is no pinned version.")
    return LockedPackage(
        requirement=requirement,
        digests=tuple(digest for line in lines for digest in _HASH.findall(line)),
        needed_by=frozenset(
            canonicalize_name(name) for line in lines if " # " in line for name in _NAME.findall(line) if name != "via"
        ),
    )
