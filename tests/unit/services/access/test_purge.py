"""The removal of tokens and grants that expired long ago."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from app import bootstrap
from app.services.access.purge import KEPT_SECONDS, ExpiredAccess
from app.storage.access.grants import GrantStore
from app.storage.access.tokens import TokenStore
from tests.support.clock import ManualClock
from tests.support.faults import Rule, fail
from tests.support.faulty_engine import Faults
from tests.unit.storage.access.test_access_records import NOW, a_grant, a_token

pytestmark = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
DAY = 86_400


def work(purge: ExpiredAccess) -> int:
    """Do the work that is due. Return the number of steps."""
    steps = 0
    while purge.run_once():
        steps += 1
    return steps


def test_what_expired_long_ago_is_removed_and_nothing_else(engine: bootstrap.Engine, faults: Faults) -> None:
    tokens, grants = TokenStore(engine.table), GrantStore(engine.table)
    kept = []
    for number, expires in enumerate((None, NOW + DAY, NOW - DAY, NOW - KEPT_SECONDS, NOW - KEPT_SECONDS - 1, 1)):
        token, grant = replace(a_token(str(number)), expires=expires), replace(a_grant(), expires=expires)
        tokens.add(token)
        grants.add(grant)
        if number < 4:
            kept += [token.id, grant.id]
    clock, days = ManualClock(NOW), ManualClock(0)
    purge = ExpiredAccess(tokens, grants, now=clock, monotonic=days)
    assert work(purge) == 1
    assert {each.token.id for each in tokens.listed()} | {each.id for each in grants.listed()} == set(kept)
    faults.calls.clear()
    days.now = DAY - 1
    assert work(purge) == 0
    assert faults.calls.total() == 0
    days.now, clock.now = DAY, NOW + DAY
    assert work(purge) == 1
    assert (tokens.count(), grants.count()) == (3, 3)


def test_a_grant_of_a_revoked_token_is_removed(engine: bootstrap.Engine) -> None:
    tokens, grants = TokenStore(engine.table), GrantStore(engine.table)
    made = [a_token("1"), a_token("2")]
    for token in made:
        tokens.add(token)
        grants.add(replace(a_grant(), issuer="", claim="", value="", token=token.id))
    tokens.remove(made[0].id)
    work(ExpiredAccess(tokens, grants, now=ManualClock(NOW), monotonic=ManualClock(0)))
    assert [each.token for each in grants.listed()] == [made[1].id]


def test_a_step_looks_at_a_hundred_records(engine: bootstrap.Engine, faults: Faults) -> None:
    tokens, grants = TokenStore(engine.table), GrantStore(engine.table)
    for number in range(250):
        tokens.add(replace(a_token(str(number)), expires=1))
    faults.calls.clear()
    purge = ExpiredAccess(tokens, grants, now=ManualClock(NOW), monotonic=ManualClock(0))
    assert purge.run_once()
    assert faults.calls["table.write"] == 100
    assert work(purge) == 2
    assert tokens.count() == 0


def test_a_failing_table_ends_the_walk_until_the_next_day(engine: bootstrap.Engine, faults: Faults) -> None:
    tokens, grants = TokenStore(engine.table), GrantStore(engine.table)
    tokens.add(replace(a_token(), expires=1))
    days = ManualClock(0)
    purge = ExpiredAccess(tokens, grants, now=ManualClock(NOW), monotonic=days)
    faults.add(Rule(fail(), operation="table.query"))
    with pytest.raises(Exception, match="data store"):
        purge.run_once()
    assert work(purge) == 0
    days.now += DAY
    work(purge)
    assert tokens.count() == 0
