"""Every setting of the service, read once from the environment. Only entry points call `Settings.from_environment`.

Each topic has a module here, with a group that declares its settings: default, rule and help text in one place. A new
setting is a field of its group; a new group is one more base class of `Settings`. This package imports app.errors only.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any, Final, NamedTuple

from marshmallow import EXCLUDE, Schema, ValidationError

from app.errors import ConfigurationError
from app.settings.access import AccessSettings
from app.settings.audit import AuditSettings
from app.settings.bulk_data import BulkDataSettings
from app.settings.change_feed import ChangeFeedSettings
from app.settings.client import CLIENT_VARIABLES
from app.settings.cors import CorsSettings
from app.settings.declaration import PREFIX, SettingsGroup, variable
from app.settings.engine import EngineSettings
from app.settings.export import ExportSettings
from app.settings.imaging import ImagingSettings
from app.settings.monitoring import MonitoringSettings
from app.settings.operations import OperationSettings
from app.settings.rendering import RenderingSettings
from app.settings.search import SearchSettings
from app.settings.serving import ServingSettings
from app.settings.sign_in import SignInSettings
from app.settings.site import SiteSettings
from app.settings.store import StoreSettings

__all__ = ["DescribedSetting", "Settings", "described_settings", "settings_table", "variable"]


# A dataclass takes the fields of its last base first. So does the table of settings.
@dataclass(frozen=True, kw_only=True)
class Settings(
    SiteSettings,
    SignInSettings,
    MonitoringSettings,
    CorsSettings,
    ChangeFeedSettings,
    BulkDataSettings,
    ExportSettings,
    OperationSettings,
    ImagingSettings,
    RenderingSettings,
    SearchSettings,
    StoreSettings,
    EngineSettings,
    AuditSettings,
    AccessSettings,
    ServingSettings,
):
    """What the operator chose. `Settings()` has every default. Sizes are in bytes, times in seconds."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Return the settings that the `BULKHEAD_*` variables name. An empty variable counts as unset.

        Raises `ConfigurationError` with one line for each fault of all variables. The name of no setting is a fault,
        except those of `CLIENT_VARIABLES`.
        """
        given = {name: value for name, value in environment.items() if name.startswith(PREFIX) and value.strip()}
        unknown = given.keys() - _BY_VARIABLE - CLIENT_VARIABLES
        faults = [f"{name}: There is no such setting.{_nearest(name)}" for name in sorted(unknown)]
        values: dict[str, Any] = {}
        try:
            values = _SCHEMA.load(given)
        except ValidationError as error:
            values = dict(error.valid_data)  # type: ignore[arg-type]  # a dict for a single document
            faults += [f"{name}={given[name]!r}: {' '.join(texts)}" for name, texts in error.messages_dict.items()]
        settings = cls(**{_BY_VARIABLE[name]: value for name, value in values.items()})
        for group in _GROUPS:
            faults += group.contradictions(settings)
        if faults:
            raise ConfigurationError("\n".join(faults))
        return settings


class DescribedSetting(NamedTuple):
    """A setting with its value as text."""

    variable: str
    value: str
    meaning: str
    is_default: bool


def described_settings(current: Settings) -> list[DescribedSetting]:
    """Return every setting with its value, without the passwords in URLs."""
    default = Settings()
    return [
        DescribedSetting(
            variable=variable(each.name),
            value=_shown(getattr(current, each.name)),
            meaning=each.metadata["meaning"],
            is_default=getattr(current, each.name) == getattr(default, each.name),
        )
        for each in fields(Settings)
    ]


def settings_table(current: Settings | None = None) -> str:
    """Return the settings as a Markdown table: variable, default, meaning. With `current`: its values, not defaults."""
    heading = ("Setting", "Value" if current else "Default", "Meaning")
    rows = [
        (f"`{each.variable}`", f"`{each.value}`" if each.value else "", each.meaning)
        for each in described_settings(current or Settings())
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heading, ("---",) * 3, *rows)) + "\n"


def _shown(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(map(_without_password, value))
        case Path() if not value.is_absolute():
            return f"./{value}"
        case None:
            return ""
        case _:
            return _without_password(str(value))


def _without_password(text: str) -> str:
    """Return a text in which the name and the password of a URL are stars (RFC 3986 §3.2.1)."""
    return _USER_INFORMATION.sub("//***@", text)


def _nearest(name: str) -> str:
    known = [each.name for each in fields(Settings)]
    near = difflib.get_close_matches(name.removeprefix(PREFIX).lower(), known, n=1)
    return f" Did you mean {variable(near[0])}?" if near else ""


def _rules(described: tuple[Field[Any], ...]) -> dict[str, Any]:
    return {variable(each.name): each.metadata["rule"] for each in described}


_USER_INFORMATION: Final = re.compile(r"//[^/@\s]*@")
_GROUPS: Final = [group for group in reversed(Settings.__bases__) if issubclass(group, SettingsGroup)]
_BY_VARIABLE: Final = {variable(each.name): each.name for each in fields(Settings)}
_SCHEMA: Final = Schema.from_dict(_rules(fields(Settings)), name="Environment")(unknown=EXCLUDE)
