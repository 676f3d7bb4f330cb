"""The records of tokens and grants: each write happens as a whole, and nothing that was removed comes back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from app import bootstrap
from app.errors import StorageError, StorageUnavailable
from app.services.access.token_secrets import digest
from app.storage.access.grants import GrantStore, StoredGrant
from app.storage.access.ids import is_id, new_id
from app.storage.access.tokens import Token, TokenStore
from app.storage.table import keys
from tests.support.faults import AFTER, Killed, Rule, fail, kill_at
from tests.support.faulty_engine import Faults

NOW = 1_800_000_000


def a_token(secret: str = "secret", created: int = NOW) -> Token:
    return Token(
        id=new_id(created),
        digest=digest(secret),
        name="CT 3",
        roles=("writer",),
        partitions=("clinic-a",),
        created=created,
        created_by="test",
    )


def a_grant() -> StoredGrant:
    return StoredGrant(
        id=new_id(NOW), issuer="i", claim="sub", value="v", role="reader", partitions=("*",), created=NOW, created_by=""
    )


@pytest.fixture
def tokens(engine: bootstrap.Engine) -> TokenStore:
    return TokenStore(engine.table)


@pytest.fixture
def grants(engine: bootstrap.Engine) -> GrantStore:
    return GrantStore(engine.table)


def killed_at_each_stage(faults: Faults, prepare: Callable[[], Callable[[], object]]) -> int:
    """Kill the process before and after each change of the prepared act. Return at how many stages it was killed."""
    for stage in range(1, 20):
        act = prepare()
        rule = faults.add(kill_at(stage))
        with suppress(Killed):
            act()
        hits = rule.hits
        faults.clear()
        if not hits:
            return stage - 1
    raise AssertionError("the act does not end")


def test_a_token_is_whole_or_absent_after_a_kill(tokens: TokenStore, faults: Faults) -> None:
    made: list[Token] = []

    def prepare() -> Callable[[], object]:
        for token in made:
            listed = [each.token for each in tokens.listed() if each.token == token]
            assert (tokens.find(token.digest) == token) == bool(listed)
        made.append(a_token(str(len(made))))
        return lambda: tokens.add(made[-1])

    assert killed_at_each_stage(faults, prepare) == 2
    assert tokens.count() == 2  # the second was killed after its write, the last one was not killed


def test_a_revocation_is_whole_or_absent_after_a_kill(tokens: TokenStore, faults: Faults) -> None:
    token = a_token()

    def prepare() -> Callable[[], object]:
        with suppress(StorageError):
            tokens.remove(token.id)
        assert tokens.find(token.digest) is None
        assert list(tokens.listed()) == []
        tokens.add(token)
        return lambda: tokens.remove(token.id)

    assert killed_at_each_stage(faults, prepare) == 2
    assert (tokens.find(token.digest), tokens.count()) == (None, 0)


def test_a_token_whose_answer_was_lost_can_be_revoked(tokens: TokenStore, faults: Faults) -> None:
    token = a_token()
    faults.add(Rule(fail(), operation="table.write", stage=AFTER))
    with pytest.raises(StorageUnavailable):
        tokens.add(token)
    assert [each.token for each in tokens.page(0, 10)] == [token]
    assert tokens.remove(token.id)
    assert not tokens.remove(token.id)
    assert tokens.find(token.digest) is None


def test_the_time_of_the_last_use_does_not_bring_a_revoked_token_back(
    tokens: TokenStore, engine: bootstrap.Engine
) -> None:
    token = a_token()
    tokens.add(token)
    tokens.record_use(token, NOW + 5)
    assert [each.last_used for each in tokens.listed()] == [NOW + 5]
    tokens.remove(token.id)
    tokens.record_use(token, NOW + 10)
    assert tokens.count() == 0
    assert engine.table.get(keys.token(token.lookup)) is None


def test_a_token_that_is_revoked_between_the_reads_of_a_list_is_left_out(tokens: TokenStore, faults: Faults) -> None:
    first, second = a_token("1"), a_token("2", NOW + 1)
    tokens.add(first)
    tokens.add(second)

    def revoke(stage: str) -> None:
        if stage == "table.get_many":
            faults.hook = None
            tokens.remove(first.id)

    faults.hook = revoke
    assert [each.token for each in tokens.listed()] == [second]


def test_a_grant_and_its_revision_are_written_together(grants: GrantStore, faults: Faults) -> None:
    revisions = [grants.revision()]

    def prepare() -> Callable[[], object]:
        assert grants.count() == grants.revision()  # nothing was removed yet
        revisions.append(grants.revision())
        return lambda: grants.add(a_grant())

    assert killed_at_each_stage(faults, prepare) == 2
    grant = next(iter(grants.listed()))
    before = grants.revision()
    assert grants.remove(grant.id)
    assert grants.revision() == before + 1
    assert not grants.remove(grant.id)
    assert grants.revision() == before + 1


def test_only_an_id_becomes_a_part_of_a_key(tokens: TokenStore, grants: GrantStore, faults: Faults) -> None:
    faults.calls.clear()
    for text in ("", "x" * 14, "0" * 13, "0" * 15, "A" * 14, "é" * 14, "0" * 13 + "\n", "٣" * 14):
        assert not is_id(text)
        assert not tokens.remove(text)
        assert not grants.remove(text)
    assert faults.calls.total() == 0


def test_ids_sort_by_their_time() -> None:
    assert new_id(NOW) < new_id(NOW + 1) < new_id(NOW + 2**24) < new_id(NOW + 2**30)
    assert is_id(new_id(NOW))
    assert len({new_id(NOW) for _ in range(100)}) == 100
