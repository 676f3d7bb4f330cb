"""The rights that the claims of a JWT give, together with the stored grants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from app.errors import StorageUnavailable
from app.services.access import jwt_rights
from app.services.access.jwt_claims import claim_at, claim_values
from app.services.access.jwt_rights import ClaimedRights
from app.services.access.rights import Action, Grant, Rights
from app.services.access.roles import RoleDirectory


class Stored:
    """Stored grants that let every caller delete in one partition. Remembers for whom it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    def of(self, issuer: str, claims: Mapping[str, Any]) -> Rights:
        self.asked.append((issuer, claims))
        return Rights((Grant(actions=frozenset({Action.DELETE}), partitions=("stored",)),))


def claimed(stored: Any = None) -> ClaimedRights:
    return ClaimedRights(roles=RoleDirectory(), roles_claim="roles", grants_claim="grants", stored_grants=stored)


def test_the_three_sources_are_united() -> None:
    stored = Stored()
    claims = {"roles": ["reader"], "grants": [{"role": "writer", "partitions": ["own"]}], "groups": ["x"]}
    rights = claimed(stored).of("issuer", claims)
    assert [rights.allows(action, name) for action, name in (
        (Action.READ, "any"), (Action.WRITE, "own"), (Action.WRITE, "any"), (Action.DELETE, "stored"),
        (Action.DELETE, "own"),
    )] == [True, True, False, True, False]  # fmt: skip
    assert stored.asked == [("issuer", claims)]


def test_stored_grants_that_cannot_be_read_are_an_error_and_not_fewer_rights() -> None:
    class Unreadable:
        def of(self, *_: Any) -> Rights:
            raise StorageUnavailable

    with pytest.raises(StorageUnavailable):
        claimed(Unreadable()).of("issuer", {"roles": ["reader"]})


def test_a_role_that_is_named_twice_is_one_grant() -> None:
    assert len(claimed().of("issuer", {"roles": ["reader", "READER", "Reader"]}).grants) == 1


def test_malformed_grants_make_one_line_for_each_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(jwt_rights._log, "warning", lambda _, **values: lines.append(values), raising=False)
    rights = claimed()
    for issuer in ("a", "b", "a"):
        assert rights.of(issuer, {"grants": ["Doe^Jane", {"role": "Doe^Jane"}]}).grants == ()
    assert lines == [{"issuer": "a", "claim": "grants"}, {"issuer": "b", "claim": "grants"}]


@pytest.mark.parametrize(
    ("name", "value", "texts"),
    [
        ("a", "x", ("x",)),
        ("a.b", "y", ("y",)),
        ("c.d", ["x", 5, None, "y"], ("x", "y")),
        ("c.d.e", None, ()),
        ("c.x", None, ()),
        ("", None, ()),
        ("f", 5, ()),
        ("f.g", None, ()),
    ],
)
def test_claims_by_name_or_path(name: str, value: Any, texts: tuple[str, ...]) -> None:
    claims = {"a": "x", "a.b": "y", "c": {"d": ["x", 5, None, "y"]}, "f": 5}
    assert claim_at(claims, name) == value
    assert claim_values(claims, name) == texts
