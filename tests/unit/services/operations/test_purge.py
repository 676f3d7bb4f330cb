"""Ended operations are deleted after the days that the settings name."""

from __future__ import annotations

from msgspec.structs import replace

from app.services.operations.purge import Purge
from app.storage.operations.operations import FAILED
from tests.support.clock import ManualClock
from tests.unit.services.operations.bench import Bench, run_until_idle


def test_ended_operations_are_purged_after_their_time(bench: Bench) -> None:
    succeeded = bench.start()
    run_until_idle(bench.worker())
    failed = bench.start()
    claimed = bench.operations.claim(failed, "x", 60)
    assert claimed
    bench.operations.save(replace(claimed, status=FAILED), "x", 60)
    bench.clock.now += 1
    open_operation = bench.start()
    purge = Purge(bench.operations, succeeded_days=30, failed_days=90, monotonic=bench.clock)
    for days, kept in ((29.9, {succeeded, failed}), (30.1, {failed}), (89.9, {failed}), (90.1, set())):
        bench.clock.now = ManualClock().now + days * 86_400
        while purge.run_once():
            pass
        assert {each for each in (succeeded, failed) if bench.operations.get(each)} == kept
    assert bench.operations.get(open_operation)
    assert not list(bench.table.query("operations/ended/succeeded"))
    assert not list(bench.table.query("operations/ended/failed"))
