"""The times of the last use of tokens: coarse, and outside the requests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app import bootstrap
from app.services.access import token_uses
from app.services.access.token_uses import TokenUses
from app.storage.access.tokens import Token, TokenStore
from tests.support.clock import ManualClock
from tests.support.faults import Rule, fail
from tests.support.faulty_engine import Faults
from tests.unit.storage.access.test_access_records import a_token

ONE_ENGINE = pytest.mark.parametrize("settings", ["embedded"], indirect=True)


@pytest.fixture
def store(engine: bootstrap.Engine) -> TokenStore:
    return TokenStore(engine.table)


def added(store: TokenStore, secret: str) -> Token:
    token = a_token(secret)
    store.add(token)
    return token


def last_uses(store: TokenStore) -> list[int | None]:
    return [each.last_used for each in store.listed()]


@ONE_ENGINE
def test_a_use_is_written_once_an_hour(store: TokenStore, faults: Faults) -> None:
    clock = ManualClock()
    uses, token, begin = TokenUses(store, clock), added(store, "1"), int(clock.now)
    faults.calls.clear()
    for minute, written in ((0, 0), (1, 0), (59, 0), (60, 60), (119, 60), (120, 120)):
        clock.now = begin + 60 * minute
        uses.note(token)
        assert last_uses(store) == [begin + 60 * written]
    assert faults.calls["table.write"] == 3


@ONE_ENGINE
def test_a_failing_table_fails_no_request_and_the_next_use_writes(store: TokenStore, faults: Faults) -> None:
    clock = ManualClock()
    uses, token = TokenUses(store, clock), added(store, "1")
    faults.add(Rule(fail(), operation="table.write", key="access/tokens*"))
    uses.note(token)
    assert last_uses(store) == [None]
    clock.now += 30
    uses.note(token)
    assert last_uses(store) == [int(clock.now)]


@ONE_ENGINE
def test_a_revoked_token_stays_revoked(store: TokenStore) -> None:
    uses, token = TokenUses(store), added(store, "1")
    store.remove(token.id)
    uses.note(token)
    assert last_uses(store) == []


@ONE_ENGINE
def test_one_thread_writes_all_uses_that_wait(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Callable[[], None]] = []

    def start_later(_name: str, act: Callable[[], None]) -> bool:
        started.append(act)
        return True

    monkeypatch.setattr(token_uses, "start_thread", start_later)
    clock = ManualClock()
    uses, tokens = TokenUses(store, clock), [added(store, str(number)) for number in range(3)]
    for token in tokens:
        uses.note(token)
    assert (len(started), last_uses(store)) == (1, [None] * 3)  # no request has written
    started[0]()
    assert last_uses(store) == [int(clock.now)] * 3
    clock.now += 3600
    uses.note(tokens[0])
    assert len(started) == 2


@ONE_ENGINE
def test_the_memory_of_a_process_is_bounded(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_uses, "_REMEMBERED", 2)
    uses = TokenUses(store)
    for number in range(7):
        uses.note(added(store, str(number)))
    assert len(uses._written) <= 2


@ONE_ENGINE
def test_a_system_without_threads_fails_no_request_and_a_later_use_writes_all(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    uses, tokens = TokenUses(store, clock), [added(store, str(number)) for number in range(2)]
    with monkeypatch.context() as patched:
        patched.setattr(token_uses, "start_thread", lambda _name, _act: False)
        uses.note(tokens[0])
    assert last_uses(store) == [None] * 2
    uses.note(tokens[1])
    assert last_uses(store) == [int(clock.now)] * 2
