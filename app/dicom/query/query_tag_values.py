"""Values of extended query tags in a dataset: values for the index, and rules that they break (conformance §8.6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from app.dicom.encoding.uids import PADDING
from app.dicom.json.dataset import JsonAttributes, JsonElement, first_of, person_name
from app.dicom.query.moments import TIMEZONE, with_timezone
from app.dicom.validation.attributes import Attribute
from app.dicom.validation.instance_rules import UNEXPECTED_VR, fault_of_value

SUPPORTED: Final = frozenset(
    ("AE", "AS", "CS", "DA", "DT", "FD", "FL", "IS", "LO", "PN", "SH", "SL", "SS", "TM", "UI", "UL", "US")
)
"""VRs that a tag may have. DS is not supported, although Microsoft's pages list it."""


def is_private(tag: str) -> bool:
    """Tell whether a tag, 8 hex digits, has an odd group number."""
    return int(tag[3], 16) % 2 == 1


def is_private_creator(tag: str) -> bool:
    """Tell whether a tag is a private identification code, (gggg,0010-00FF)."""
    return is_private(tag) and 0x10 <= int(tag[4:], 16) <= 0xFF


def fault(dataset: JsonAttributes, attribute: Attribute) -> str | None:
    """Return a short text of the rule that an attribute breaks, None if it breaks no rule or has no value.

    The rules apply to the VR and the first value in metadata. A private attribute of another creator breaks no rule.
    """
    element = dataset.get(attribute.tag)
    if element is None or not is_own(dataset, attribute):
        return None
    if element["vr"] != attribute.vr:
        return UNEXPECTED_VR
    first = first_of(element)
    if first is None:
        return None
    value = first["Value"][0]
    return fault_of_value(attribute.vr, person_name(value) if isinstance(value, dict) else str(value))


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
    """Tell whether the dataset assigns the block of a private attribute to the attribute's creator (PS3.5 §7.8.1)."""
    if not attribute.creator:
        return True
    code = dataset.get(_creator(attribute), {}).get("Value")
    return bool(code and isinstance(code[0], str) and code[0].strip(PADDING) == attribute.creator)


def _creator(attribute: Attribute) -> str:
    """Return the tag of the private creator for the block of a private attribute."""
    return f"{attribute.tag[:4]}00{attribute.tag[4:6]}"
