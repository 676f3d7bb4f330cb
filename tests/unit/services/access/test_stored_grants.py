"""The grants in memory: what is read when, and what races do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app import bootstrap
from app.errors import StorageUnavailable
from app.services.access.rights import Action, Rights
from app.services.access.roles import RoleDirectory
from app.services.access.stored_grants import StoredGrantIndex
from app.storage.access.grants import GrantStore, StoredGrant
from app.storage.access.ids import new_id
from app.storage.table.deadline import Deadline, DeadlinePassed, within
from tests.support.clock import ManualClock
from tests.support.faults import Rule, fail
from tests.support.faulty_engine import Faults

pytestmark = pytest.mark.parametrize("settings", ["embedded"], indirect=True)

ISSUER = "https://issuer.test"


@pytest.fixture
def store(engine: bootstrap.Engine) -> GrantStore:
    return GrantStore(engine.table)


def add(store: GrantStore, value: str, role: str = "reader", actions: tuple[str, ...] = ()) -> StoredGrant:
    grant = StoredGrant(
        id=new_id(0), issuer=ISSUER, claim="sub", value=value, role="" if actions else role, actions=actions,
        partitions=("*",), created=0, created_by="",
    )  # fmt: skip
    store.add(grant)
    return grant


def reads(rights: Rights) -> bool:
    return rights.allows(Action.READ, "clinic-a")


def test_a_change_counts_after_five_seconds(store: GrantStore) -> None:
    clock = ManualClock()
    index = StoredGrantIndex(store, RoleDirectory(), monotonic=clock)
    assert not reads(index.of(ISSUER, {"sub": "jane"}))
    grant = add(store, "jane")
    clock.now += 4.9
    assert not reads(index.of(ISSUER, {"sub": "jane"}))
    clock.now += 0.1
    assert reads(index.of(ISSUER, {"sub": "jane"}))
    store.remove(grant.id)
    clock.now += 5
    assert not reads(index.of(ISSUER, {"sub": "jane"}))


def test_unchanged_grants_are_not_read_again(store: GrantStore, faults: Faults) -> None:
    add(store, "jane")
    clock = ManualClock()
    index = StoredGrantIndex(store, RoleDirectory(), monotonic=clock)
    index.of(ISSUER, {})
    faults.calls.clear()
    for _ in range(4):
        clock.now += 5
        for _ in range(10):
            assert reads(index.of(ISSUER, {"sub": "jane"}))
    assert dict(faults.calls) == {"table.get": 4}


def test_a_grant_that_is_written_while_grants_are_read_counts_after_the_next_read(
    store: GrantStore, faults: Faults
) -> None:
    """The revision is read first. So an index with only a part of a change has an old revision, and is read again."""
    clock = ManualClock()
    index = StoredGrantIndex(store, RoleDirectory(), monotonic=clock)
    add(store, "john")

    def write(stage: str) -> None:
        if stage == "table.query done":
            faults.hook = None
            add(store, "jane")

    faults.hook = write
    assert not reads(index.of(ISSUER, {"sub": "jane"}))
    assert reads(index.of(ISSUER, {"sub": "john"}))
    clock.now += 5
    assert reads(index.of(ISSUER, {"sub": "jane"}))


def test_an_outage_in_the_middle_of_a_read_keeps_no_half_index(store: GrantStore, faults: Faults) -> None:
    clock = ManualClock()
    index = StoredGrantIndex(store, RoleDirectory(), monotonic=clock)
    add(store, "jane")
    for operation in ("table.get", "table.query"):
        faults.add(Rule(fail(), operation=operation, key="access/*"))
        with pytest.raises(StorageUnavailable):
            index.of(ISSUER, {"sub": "jane"})
    assert reads(index.of(ISSUER, {"sub": "jane"}))


def test_roles_and_actions_that_do_not_exist_grant_nothing(store: GrantStore) -> None:
    add(store, "jane", role="surgeon")
    add(store, "john", actions=("fly", "write"))
    index = StoredGrantIndex(store, RoleDirectory())
    assert index.of(ISSUER, {"sub": "jane"}).grants == ()
    rights = index.of(ISSUER, {"sub": "john"})
    assert (reads(rights), rights.allows(Action.WRITE, "clinic-a")) == (False, True)


def test_a_token_id_is_no_claim(store: GrantStore) -> None:
    grant = StoredGrant(id=new_id(0), token="t", role="reader", partitions=("*",), created=0, created_by="")
    store.add(grant)
    index = StoredGrantIndex(store, RoleDirectory())
    assert reads(index.of_token("t"))
    assert not reads(index.of_token(""))
    for claims in ({"": ""}, {"": "t"}, {"token": "t"}, {"sub": ""}):
        for issuer in ("", ISSUER):
            assert index.of(issuer, claims).grants == ()


def test_a_request_waits_for_the_reading_of_another_one_until_its_deadline(engine: bootstrap.Engine) -> None:
    class SlowStore(GrantStore):
        def listed(self) -> Iterator[StoredGrant]:
            with within(Deadline(0)), pytest.raises(DeadlinePassed):
                index.of(ISSUER, {"sub": "john"})
            return super().listed()

    store = SlowStore(engine.table)
    add(store, "jane")
    index = StoredGrantIndex(store, RoleDirectory())
    assert reads(index.of(ISSUER, {"sub": "jane"}))
