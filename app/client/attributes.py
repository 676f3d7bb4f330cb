"""Attributes as people write and read them: `KEYWORD=VALUE` on a command line, and values of DICOM JSON as text."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

from app.client.errors import InvalidAttribute
from app.dicom.json.dataset import NAME_GROUPS
from app.dicom.validation.attributes import CORE, UNINDEXED, keyword_of, path_of, vr_of

_KNOWN: Final = {each.keyword.lower(): each.keyword for each in (*CORE.values(), *UNINDEXED.values())}
_WHOLE_NUMBERS: Final = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
_NUMBERS: Final = frozenset({"DS", "FD", "FL"})


def path_for(name: str) -> str:
    """Return the tags of a keyword, of 8 hex digits, or of several of them with dots between. Raises
    `InvalidAttribute`."""
    path = path_of(name)
    if path is None:
        near = difflib.get_close_matches(name.lower(), _KNOWN, n=1)
        hint = f" Did you mean {_KNOWN[near[0]]}?" if near else " Keywords are case-sensitive, as PatientName."
        raise InvalidAttribute(f"There is no attribute '{name}'.{hint}")
    return path


def name_of(path: str) -> str:
    """Return the keywords of tags with dots between. A private tag stays as it is."""
    return ".".join(map(keyword_of, path.split(".")))


def assignment(text: str) -> tuple[str, str]:
    """Return name and value of `NAME=VALUE`. The name is checked. Raises `InvalidAttribute`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidAttribute(f"'{text}' is not KEYWORD=VALUE.")
    path_for(name)
    return name, value


def element(name: str, value: str) -> tuple[str, dict[str, Any]]:
    """Return the tag and the element in DICOM JSON for a value. `^` separates the parts of a person name, and `=` its
    groups. An empty value makes an empty element. Raises `InvalidAttribute`."""
    tag = path_for(name)
    vr = vr_of(tag) if "." not in tag else None
    if vr is None or vr == "SQ":
        raise InvalidAttribute(f"'{name}' is no attribute with a value of its own.")
    return tag, {"vr": vr, "Value": [_json_value(name, vr, value)]} if value else {"vr": vr}


def _json_value(name: str, vr: str, value: str) -> Any:
    if vr == "PN":
        return {group: text for group, text in zip(NAME_GROUPS, value.split("=", 2), strict=False) if text}
    try:
        if vr in _WHOLE_NUMBERS:
            return int(value)
        if vr in _NUMBERS:
            return float(value)
    except ValueError:
        raise InvalidAttribute(f"'{value}' is no number, as {name} needs.") from None
    return value


def text_of(dataset: Mapping[str, Any], path: str) -> str:
    """Return the values at a path of tags, with backslashes between. A sequence says how many items it has."""
    tag, _, rest = path.partition(".")
    values = dataset.get(tag, {}).get("Value") or []
    if rest:
        return "\\".join(filter(None, (text_of(item, rest) for item in values if isinstance(item, Mapping))))
    return "\\".join(_text(value) for value in values)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, Mapping):
        return str(value)
    groups = [str(value.get(group, "")) for group in NAME_GROUPS]
    return "=".join(groups).rstrip("=") if any(groups) else "(item)"
