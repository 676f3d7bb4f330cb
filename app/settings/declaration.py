"""How a setting is declared: `setting` makes a dataclass field, and the rules here read the text of a variable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from marshmallow import ValidationError
from marshmallow.fields import Field as Rule
from marshmallow.fields import Integer, Url
from marshmallow.validate import ContainsNoneOf, Range

PREFIX: Final = "BULKHEAD_"


@dataclass(frozen=True, kw_only=True)
class SettingsGroup:
    """The settings of one topic. A subclass declares each of them with `setting`."""

    def contradictions(self) -> Iterator[str]:
        """Yield one line for each combination of values that cannot work. `self` has all settings."""
        yield from ()


def setting(default: Any, rule: Rule[Any], meaning: str) -> Any:
    """Return a dataclass field: its default, the rule that reads its variable, and its help text.

    No setting is a secret, because values are shown to operators. A secret is in a file, which the setting names.
    """
    return field(default=default, metadata={"rule": rule, "meaning": meaning})


def variable(name: str) -> str:
    """Return the environment variable of the field `name`."""
    return PREFIX + name.upper()


def whole_number(minimum: int, maximum: int | None = None) -> Integer:
    """Return the rule for an integer between these bounds, both included."""
    return Integer(validate=Range(min=minimum, max=maximum))


class Names(Rule[tuple[str, ...]]):
    """A list separated by commas, read into a tuple of its entries that are not empty.

    Each entry matches `pattern`; `what` says in words what the pattern describes.
    """

    def __init__(self, pattern: str = ".*", what: str = "") -> None:
        super().__init__()
        self._pattern = re.compile(pattern, re.ASCII)
        self._what = what

    def _deserialize(self, value: str, *_: Any, **__: Any) -> tuple[str, ...]:
        names = tuple(name.strip() for name in value.split(",") if name.strip())
        for name in names:
            if not self._pattern.fullmatch(name):
                raise ValidationError(f"{name!r} is not {self._what}.")
        return names


class FilePath(Rule[Path]):
    """The path of a file or a folder. The part of the service that uses it checks whether it can."""

    def _deserialize(self, value: str, *_: Any, **__: Any) -> Path:
        return Path(value)


class BaseUrl(Url):
    """An absolute http or https URL without query and fragment, returned without a slash at its end."""

    def __init__(self) -> None:
        bare = ContainsNoneOf("?#", error="A base URL has no query and no fragment.")
        super().__init__(schemes={"http", "https"}, require_tld=False, validate=bare)

    def _deserialize(self, value: str, *_: Any, **__: Any) -> str:
        return value.rstrip("/")
