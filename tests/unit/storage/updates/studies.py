"""The instances that the tests of bulk updates use: two series in one study, and another study."""

from __future__ import annotations

from typing import Final

from tests.support.archive import Archive, Uids
from tests.support.updates import image

A: Final[Uids] = ("2.25.1", "2.25.11", "2.25.111")
A2: Final[Uids] = ("2.25.1", "2.25.11", "2.25.112")
B: Final[Uids] = ("2.25.1", "2.25.12", "2.25.121")
C: Final[Uids] = ("2.25.2", "2.25.21", "2.25.211")
NEW: Final[Uids] = ("2.25.1", "2.25.11", "2.25.119")
"""An instance that a test stores later."""

STUDY, OTHER_STUDY = A[0], C[0]


def store_study(archive: Archive) -> None:
    """Store the three instances of `STUDY`."""
    assert archive.store(image(A), image(A2, compressed=True), image(B)) == [0] * 3


def store_both_studies(archive: Archive) -> None:
    store_study(archive)
    assert archive.store(image(C)) == [0]
