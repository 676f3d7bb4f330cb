"""Roles: names for actions, and the file that defines more of them (conformance §13.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from app.errors import ConfigurationError
from app.services.access.rights import ALL_PARTITIONS, DATA_ACTIONS, Action, Grant, covers
from app.storage.table.partitions import is_name

_PARTITION_SCOPE: Final = "/partitions/"
_ROOT_SCOPE: Final = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A name for actions. `partitions` are the names of the only partitions where it counts; None: all of them."""

    name: str
    actions: frozenset[Action]
    partitions: tuple[str, ...] | None = None

    def granted(self, partitions: tuple[str, ...] = (ALL_PARTITIONS,), expires: float | None = None) -> Grant:
        """Return the grant of this role in the partitions that match the patterns (`Grant.partitions`)."""
        if self.partitions is not None:
            partitions = tuple(name for name in self.partitions if covers(partitions, name))
        return Grant(actions=self.actions, partitions=partitions, expires=expires)


def _shipped() -> Iterable[Role]:
    actions: dict[str, set[Action]] = {
        "reader": {Action.READ},
        "writer": {Action.WRITE},
        "editor": set(DATA_ACTIONS),
        "auditor": {Action.READ_AUDIT, Action.READ},
        "globalReader": {Action.READ},
        "DICOM Data Reader": {Action.READ},
        "globalAdmin": {Action.ALL},
        "DICOM Data Owner": {Action.ALL},
    }
    return (Role(name=name, actions=frozenset(each)) for name, each in actions.items())


SHIPPED: Final = tuple(_shipped())
"""The roles that are always there. The names with spaces are those of Microsoft's managed service."""


class RoleDirectory:
    """The shipped roles and those of the operator. Names are equal if they differ only in case."""

    def __init__(self, roles: Iterable[Role] = SHIPPED) -> None:
        self._roles = {role.name.casefold(): role for role in roles}

    def find(self, name: str) -> Role | None:
        """Return the role with this name, None if there is none."""
        return self._roles.get(name.strip().casefold())

    @classmethod
    def read(cls, file: Path | None) -> RoleDirectory:
        """Return the shipped roles and those of a roles file. Raises `ConfigurationError`, which names a fault."""
        if file is None:
            return cls()
        try:
            return cls((*SHIPPED, *parse_roles(file.read_bytes())))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"The roles file '{file}' cannot be used: {error}") from error


class _RoleDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A role in the form of Microsoft's roles file."""

    name: str
    data_actions: list[str]
    not_data_actions: list[str] = []
    scopes: list[str] = msgspec.field(default_factory=lambda: [_ROOT_SCOPE])


class _RolesFile(msgspec.Struct, frozen=True, kw_only=True):
    """The object form of a roles file. Other members are Microsoft's: `$schema`, for example."""

    roles: list[_RoleDefinition]


def parse_roles(document: bytes) -> tuple[Role, ...]:
    """Return the roles that a roles file adds to the shipped ones: a JSON array of roles, or an object with `roles`.

    Raises `ValueError` whose message names the role and the value at fault. A role with the name of a shipped one is
    accepted if it is the same role: Microsoft's own file repeats `globalReader` and `globalAdmin`.
    """
    parsed = msgspec.json.decode(document, type=list[_RoleDefinition] | _RolesFile)
    known = {role.name.casefold(): role for role in SHIPPED}
    added: dict[str, Role] = {}
    for definition in parsed.roles if isinstance(parsed, _RolesFile) else parsed:
        role = _role(definition)
        name = role.name.casefold()
        if name in added:
            raise ValueError(f"There are two roles with the name '{role.name}'.")
        shipped = known.get(name)
        if shipped and (shipped.actions, shipped.partitions) != (role.actions, role.partitions):
            raise ValueError(f"The role '{role.name}' is a shipped one. It cannot be defined in another way.")
        added[name] = role
    return tuple(role for name, role in added.items() if name not in known)


def _role(definition: _RoleDefinition) -> Role:
    name = definition.name.strip()
    if not name or "," in name:
        raise ValueError(f"The name of a role is empty or has a comma: '{definition.name}'.")
    allowed = _actions(name, definition.data_actions)
    denied = _actions(name, definition.not_data_actions)
    if denied and Action.ALL in allowed:
        allowed = frozenset(Action) - {Action.ALL}
    actions = frozenset() if Action.ALL in denied else allowed - denied
    return Role(name=name, actions=actions, partitions=_scopes(name, definition.scopes))


def _actions(role: str, names: Iterable[str]) -> frozenset[Action]:
    values: Mapping[str, Any] = {each.value: each for each in Action}
    for name in names:
        if name not in values:
            raise ValueError(f"The role '{role}' has the unknown action '{name}'. Actions: {', '.join(values)}.")
    return frozenset(values[name] for name in names)


def _scopes(role: str, scopes: list[str]) -> tuple[str, ...] | None:
    if not scopes:
        raise ValueError(f"The role '{role}' has no scope.")
    if _ROOT_SCOPE in scopes:
        return None
    for scope in scopes:
        if not scope.startswith(_PARTITION_SCOPE) or not is_name(scope.removeprefix(_PARTITION_SCOPE)):
            raise ValueError(
                f"The role '{role}' has the unknown scope '{scope}'. Scopes are '/' and '/partitions/NAME'."
            )
    return tuple(scope.removeprefix(_PARTITION_SCOPE) for scope in scopes)
