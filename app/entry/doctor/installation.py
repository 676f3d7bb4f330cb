"""Checks of what is installed: Python, the packages, the extras."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from typing import Final

from packaging.requirements import Requirement

from app import __version__
from app.entry.doctor.findings import FAULT, OK, WARNING, Finding

_EXTRAS: Final = {
    "dimse": ("pynetdicom", "`bulkhead listen`"),
    "otel": ("opentelemetry.sdk", "BULKHEAD_TRACES"),
}
"""A module of each extra, and what needs it."""


def versions() -> Iterator[Finding]:
    """Find what is installed in another version than Bulkhead needs."""
    yield Finding("version", OK, f"Bulkhead {__version__} on Python {platform.python_version()}, {platform.system()}.")
    try:
        required = [Requirement(line) for line in metadata.requires("bulkhead") or ()]
    except metadata.PackageNotFoundError:
        text = "Bulkhead runs from its source folder, so its packages are not known."
        yield Finding("packages", WARNING, text, "Install it: `pip install -e .` in this folder.")
        return
    # An extra has a marker that is false here. Extras are optional.
    needed = [each for each in required if each.marker is None or each.marker.evaluate({"extra": ""})]
    faults = [fault for each in needed if (fault := _fault(each))]
    for fault in faults:
        yield Finding("packages", FAULT, fault, "Install Bulkhead again: `pip install --upgrade bulkhead`.")
    if not faults:
        yield Finding("packages", OK, f"{len(needed)} packages have versions that fit.")


def _fault(required: Requirement) -> str | None:
    try:
        found = metadata.version(required.name)
    except metadata.PackageNotFoundError:
        return f"{required.name} is not installed."
    if required.specifier.contains(found, prereleases=True):
        return None
    return f"{required.name} has version {found}, and Bulkhead needs {required.specifier}."


def extras() -> Iterator[Finding]:
    """Say which extras are installed. None of them is needed to serve."""
    for extra, (module, purpose) in _EXTRAS.items():
        if _is_installed(module):
            yield Finding("extras", OK, f"{extra} is installed, for {purpose}.")
        else:
            text = f"{extra} is not installed. {purpose} needs it: `pip install 'bulkhead[{extra}]'`."
            yield Finding("extras", OK, text)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False
