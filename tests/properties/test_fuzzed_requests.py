"""A short form of the fuzzing (`tests/fuzz`): no answer is a 500, with and without faults of the data store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.campaign import Campaign


@pytest.mark.parametrize("faults", [False, True], ids=["no faults", "faults"])
def test_fuzzed_requests_get_no_500(tmp_path: Path, faults: bool) -> None:
    found = Campaign(tmp_path, seed=9, faults=faults).run(1500)
    assert not found.failures, "\n".join(f"{kind}: {request}" for kind, request in found.failures.items())
    assert {200, 400, 404, 406} <= found.statuses.keys()
    assert (503 in found.statuses) is faults
