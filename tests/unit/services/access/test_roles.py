"""Roles: the shipped ones, and those of a file in Microsoft's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.errors import ConfigurationError
from app.services.access.rights import ALL_RIGHTS, DATA_ACTIONS, Action, Rights
from app.services.access.roles import SHIPPED, RoleDirectory, parse_roles

MICROSOFT = {
    "$schema": "../schemas/roles.schema.json",
    "roles": [
        {"name": "globalReader", "dataActions": ["read"], "notDataActions": [], "scopes": ["/"]},
        {"name": "globalAdmin", "dataActions": ["*"], "notDataActions": [], "scopes": ["/"]},
    ],
}


def parsed(*roles: Any) -> Any:
    return parse_roles(json.dumps(roles).encode())


def role(**changes: Any) -> dict[str, Any]:
    return {"name": "one", "dataActions": ["read"]} | changes


def test_the_shipped_roles() -> None:
    assert {each.name: {action.value for action in each.actions} for each in SHIPPED} == {
        "reader": {"read"},
        "writer": {"write"},
        "editor": {"read", "write", "delete", "export"},
        "auditor": {"readAudit", "read"},
        "globalReader": {"read"},
        "DICOM Data Reader": {"read"},
        "globalAdmin": {"*"},
        "DICOM Data Owner": {"*"},
    }


@pytest.mark.parametrize("name", ["globaladmin", "GLOBALADMIN", " globalAdmin ", "dicom data OWNER"])
def test_letter_case_does_not_matter(name: str) -> None:
    found = RoleDirectory().find(name)
    assert found
    assert Rights((found.granted(),)) == ALL_RIGHTS


def test_an_unknown_name_is_no_role() -> None:
    for name in ("", "admin", "reader,writer", "\N{KELVIN SIGN}"):
        assert RoleDirectory().find(name) is None


def test_the_file_of_microsoft_changes_nothing() -> None:
    assert parse_roles(json.dumps(MICROSOFT).encode()) == ()
    assert parse_roles(json.dumps(MICROSOFT["roles"]).encode()) == ()


@pytest.mark.parametrize(
    ("allowed", "denied", "effective"),
    [
        (["read", "write"], ["write"], {"read"}),
        (["*"], [], {"*"}),
        (["*"], ["delete", "manageAccess"], {each.value for each in Action} - {"*", "delete", "manageAccess"}),
        (["*"], ["*"], set()),
        (["read"], ["*"], set()),
        ([], [], set()),
        (["manageExtendedQueryTags", "export"], [], {"manageExtendedQueryTags", "export"}),
    ],
)
def test_a_role_has_its_actions_without_those_that_are_denied(
    allowed: list[str], denied: list[str], effective: set[str]
) -> None:
    (found,) = parsed(role(dataActions=allowed, notDataActions=denied))
    assert {action.value for action in found.actions} == effective


def test_a_role_of_all_but_one_action_does_not_have_it() -> None:
    (found,) = parsed(role(dataActions=["*"], notDataActions=["delete"]))
    rights = Rights((found.granted(),))
    assert [action for action in DATA_ACTIONS if not rights.allows(action, "a")] == [Action.DELETE]
    assert not rights.allows_everywhere(Action.DELETE)


def test_a_scope_limits_the_partitions() -> None:
    (found,) = parsed(role(scopes=["/partitions/ct", "/partitions/mr-1"]))
    rights = Rights((found.granted(),))
    assert [rights.allows(Action.READ, name) for name in ("CT", "mr-1", "us")] == [True, True, False]
    assert not rights.allows_everywhere(Action.READ)
    narrower = Rights((found.granted(("mr-*", "us")),))
    assert [narrower.allows(Action.READ, name) for name in ("ct", "mr-1", "us")] == [False, True, False]
    (everywhere,) = parsed(role(scopes=["/", "/partitions/ct"]))
    assert everywhere.partitions is None


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (role(name=" "), "empty"),
        (role(name="a,b"), "comma: 'a,b'"),
        (role(dataActions=["look"]), "unknown action 'look'"),
        (role(notDataActions=["Read"]), "unknown action 'Read'"),
        (role(scopes=[]), "no scope"),
        (role(scopes=["/studies"]), "unknown scope '/studies'"),
        (role(scopes=["/partitions/"]), "unknown scope '/partitions/'"),
        (role(scopes=["/partitions/a/b"]), "unknown scope '/partitions/a/b'"),
        (role(scopes=["/partitions/.."]), "unknown scope"),
        (role(dataAction=["read"]), "unknown field `dataAction`"),
        ({"dataActions": ["read"]}, "missing required field `name`"),
        (role(dataActions="read"), "Expected `array`"),
        (role(dataActions=[5]), "Expected `str`"),
        (role(name="GlobalAdmin"), "'GlobalAdmin' is a shipped one"),
        (role(name="reader", scopes=["/partitions/a"]), "shipped one"),
        (5, "Expected `object`"),
    ],
)
def test_a_fault_of_the_file_is_named(fault: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        parsed(role(name="good"), fault)


def test_two_roles_with_one_name() -> None:
    with pytest.raises(ValueError, match="two roles with the name 'ONE'"):
        parsed(role(), role(name="ONE"))


@pytest.mark.parametrize("document", [b"", b"{", b"5", b'{"role": []}', b'[{"name": "a", "dataActions": ["look"]}]'])
def test_the_service_does_not_start_with_such_a_file(tmp_path: Path, document: bytes) -> None:
    file = tmp_path / "roles.json"
    with pytest.raises(ConfigurationError, match=r"roles\.json"):
        RoleDirectory.read(file)
    file.write_bytes(document)
    with pytest.raises(ConfigurationError, match=r"roles\.json"):
        RoleDirectory.read(file)
