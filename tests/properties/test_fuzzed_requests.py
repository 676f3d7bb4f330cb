"""A short form of the fuzzing (`tests/fuzz`): no answer is a 500, with and without faults of the data store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.campaign import Campaign
from tests.support.selection import thorough


@thorough  # tests/api/test_hostile.py and tests/api/test_outages.py find most of its faults
@pytest.mark.parametrize(("faults", "callers"), [(False, False), (True, True)], ids=["plain", "faults, callers"])
def test_fuzzed_requests_get_no_500(tmp_path: Path, faults: bool, callers: bool) -> None:
    found = Campaign(tmp_path, seed=9, faults=faults, callers=callers).run(1200)
    assert not found.failures, "\n".join(f"{kind}: {request}" for kind, request in found.failures.items())
    assert {200, 400, 404, 406} <= found.statuses.keys()
    assert (503 in found.statuses) is faults
    assert ({401, 403} <= found.statuses.keys()) is callers
