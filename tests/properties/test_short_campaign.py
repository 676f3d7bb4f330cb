"""The fault campaign in a short form, within one process. `make torture` runs it long, with processes of its own."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from app.settings import Settings
from app.storage.table import clock
from tests.torture.campaign import Campaign, Plan
from tests.torture.engines import engine
from tests.torture.in_process import InProcessFleet, shifted_clock
from tests.torture.journal import ACKNOWLEDGED, Journal

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize("seed", [1])
def test_no_acknowledged_change_is_lost_or_doubled(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.time()
    monkeypatch.setattr(clock, "now", lambda: shifted_clock(started))
    journal = Journal(seed)

    def has_done_enough() -> bool:
        counts = dict(journal.counts)
        return (
            counts.get(ACKNOWLEDGED, 0) > 0
            and counts.get("processes killed", 0) > 0
            and any(name.startswith("fault: ") for name in counts)
        )

    plan = Plan(
        engine="embedded",
        seed=seed,
        seconds=1.0,
        clients=2,
        rate=0.02,
        kill_seconds=0.1,
        has_done_enough=has_done_enough,
    )
    with engine("embedded", tmp_path) as under_test:
        fleet = InProcessFleet(
            settings=Settings.from_environment(dict(under_test.environment)),
            journal=journal,
            chance=random.Random(seed),
            rate=plan.rate,
            skew=plan.skew,
        )
        Campaign(plan, journal, fleet, under_test).run()
    assert journal.violations == []
    assert has_done_enough()
