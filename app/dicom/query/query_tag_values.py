"""What a dataset says of an extended query tag: a value to file, nothing, or something that breaks a rule (conformance §8.6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from app.dicom.encoding.uids import PADDING
from app.dicom.json.dataset import JsonAttributes, JsonElement, first_of
from app.dicom.json.values import NAME_GROUPS
from app.dicom.query.moments import TIMEZONE, with_timezone
from app.dicom.validation.attributes import Attribute
from app.dicom.validation.instance_rules import UNEXPECTED_VR, fault_of_value

SUPPORTED: Final = frozenset(
    ("AE", "AS", "CS", "DA", "DT", "FD", "FL", "IS", "LO", "PN", "SH", "SL", "SS", "TM", "UI", "UL", "US")
)
"""VRs that a tag may have; DS is not among them, whatever Microsoft's pages say."""


def is_private(tag: str) -> bool:
    """Tell whether eight hex digits are of an odd group."""
    return int(tag[3], 16) % 2 == 1


def is_private_creator(tag: str) -> bool:
    """Tell whether they are a private identification code, (gggg,0010-00FF)."""
    return is_private(tag) and 0x10 <= int(tag[4:], 16) <= 0xFF


def fault(dataset: JsonAttributes, attribute: Attribute) -> str | None:
    """Return the rule that the attribute breaks, in short; None if it breaks none or there is nothing to file.

    Its value representation and its first value are looked at as they are in metadata; a private attribute of another
    creator is not looked at.
    """
    element = dataset.get(attribute.tag)
    if element is None or not is_own(dataset, attribute):
        return None
    if element["vr"] != attribute.vr:
        return UNEXPECTED_VR
    first = first_of(element)
    return fault_of_value(attribute.vr, _text(first["Value"][0])) if first else None


def indexed_values(dataset: JsonAttributes, tags: Iterable[Attribute]) -> dict[str, JsonElement]:
    """Return what the index holds, by `Attribute.key`: elements that break no rule, with their first value alone.

    A DT without an offset gets the offset of the dataset, (0008,0201).
    """
    found: dict[str, JsonElement] = {}
    for each in tags:
        element = dataset.get(each.tag)
        first = first_of(element) if element and is_own(dataset, each) else None
        if first and fault(dataset, each) is None:
            found[each.key] = with_timezone(first, dataset) if each.vr == "DT" else first
    return found


def excerpt(dataset: JsonAttributes, tags: Iterable[Attribute]) -> JsonAttributes:
    """Return the elements that `fault` and `indexed_values` read: few of a large dataset."""
    wanted = {TIMEZONE, *(name for each in tags for name in (each.tag, _creator(each)))}
    return {tag: dataset[tag] for tag in wanted & dataset.keys()}


def is_own(dataset: JsonAttributes, attribute: Attribute) -> bool:
    """Tell whether the block of a private attribute is its creator's (PS3.5 §7.8.1)."""
    if not attribute.creator:
        return True
    code = dataset.get(_creator(attribute), {}).get("Value")
    return bool(code and isinstance(code[0], str) and code[0].strip(PADDING) == attribute.creator)


def _creator(attribute: Attribute) -> str:
    """Return the tag that says whose the block of a private attribute is."""
    return f"{attribute.tag[:4]}00{attribute.tag[4:6]}"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "=".join(value.get(group, "") for group in NAME_GROUPS).rstrip("=")
    return str(value)
