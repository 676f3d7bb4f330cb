"""Instances with more postings than one transaction takes: 120 values of extended query tags.

A process is killed before or after each of its writes. After the sweep, the instance is complete or nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataelem import DataElement

from app.dicom.validation.attributes import Level
from app.services.access.caller import ANONYMOUS
from app.services.policy import V1
from app.services.tags.rules import TagRequest
from tests.support.archive import Archive, Uids
from tests.support.clock import AdvanceClock
from tests.support.faults import ANY, Killed, Rule, kill
from tests.support.instances import make_instance

TAGS = 120
UIDS: Uids = ("2.25.1", "2.25.11", "2.25.111")


def tag(number: int) -> str:
    return f"1205{0x1000 + number:04X}"


def add_tags(archive: Archive, level: str) -> None:
    new = [TagRequest(path=tag(number), level=Level[level.upper()], vr="LO", creator="ACME") for number in range(TAGS)]
    archive.services.query_tags.add(ANONYMOUS, new)
    archive.work()


def instance(text: str = "secret") -> bytes:
    study, series, sop = UIDS
    values = [DataElement(0x12051000 + number, "LO", f"{text} {number}") for number in range(TAGS)]
    creator = DataElement(0x12050010, "LO", "ACME")
    return make_instance(study=study, series=series, instance=sop, pixel=False, extra=[creator, *values])


def store(archive: Archive, text: str = "secret") -> None:
    archive.services.store(archive.partition, [BytesIO(instance(text))], None, V1)


def found(archive: Archive) -> set[int]:
    """The numbers of the tags by which a search finds the instance."""
    values = ((number, {tag(number): f"secret {number}"}) for number in (0, TAGS // 2, TAGS - 1))
    return {number for number, wanted in values if archive.search("instance", **wanted)}


def kill_at_each_write(tmp_path: Path, level: str, act: Callable[[Archive, Archive], None]) -> int:
    """Run `act` in a new partition for each kill, at a later write each time; the number of kills."""
    Archive(tmp_path)
    add_tags(Archive(tmp_path), level)
    call = 0
    while True:
        call += 1
        victim, observer = Archive(tmp_path, f"clinic-{call}"), Archive(tmp_path, f"clinic-{call}")
        rule = victim.faults.add(Rule(kill(), operation="table.write*", stage=ANY, nth=call))
        act(victim, observer)
        if not rule.hits:
            return call - 1


@pytest.mark.parametrize("level", ["Instance", "Series", "Study"])
def test_a_killed_deletion_leaves_nothing(level: str, tmp_path: Path, advance_clock: AdvanceClock) -> None:
    def act(victim: Archive, observer: Archive) -> None:
        store(observer)
        assert found(observer) == {0, TAGS // 2, TAGS - 1}
        with suppress(Killed):
            victim.delete(*UIDS)
        if observer.search("instance"):  # the process was killed before its first transaction
            assert found(observer) == {0, TAGS // 2, TAGS - 1}
            observer.delete(*UIDS)
        advance_clock()
        observer.work()
        assert observer.items() == []

    assert kill_at_each_write(tmp_path, level, act) > 4


@pytest.mark.parametrize("level", ["Instance", "Series", "Study"])
def test_a_killed_store_leaves_nothing_or_the_whole_instance(
    level: str, tmp_path: Path, advance_clock: AdvanceClock
) -> None:
    def act(victim: Archive, observer: Archive) -> None:
        with suppress(Killed):
            store(victim)
        stored = bool(observer.search("instance"))
        assert found(observer) == ({0, TAGS // 2, TAGS - 1} if stored else set())
        advance_clock()
        observer.work()
        assert found(observer) == ({0, TAGS // 2, TAGS - 1} if stored else set())
        if not stored:
            assert observer.items() == []

    assert kill_at_each_write(tmp_path, level, act) > 4
