"""Rules on the attributes of a workitem, and the first one that a dataset breaks (conformance §7.4, "Errors 400").

The tables of rules are in `rule_tables.py`. Attributes that a table does not list may be anything.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from app.dicom.encoding.vr import tag_text
from app.dicom.json.dataset import JsonDataset, has_value, items
from app.dicom.validation.attributes import tag_of
from app.errors import InvalidWorkitem


class Need(Enum):
    """What a rule asks of an attribute; the number types are those of PS3.4 §5.4.2.1."""

    VALUE = "present, with a value"  # type 1
    PRESENT = "present, perhaps empty"  # type 2
    FILLED = "absent, or with a value"  # type 3
    ANY = "absent, empty, or with a value; its items have rules"
    EMPTY = "present and empty"
    FORBIDDEN = "absent"


class AttributeRule(NamedTuple):
    """What is asked of one attribute, and of each item in it if it is a sequence."""

    tag: str
    need: Need
    items: tuple[AttributeRule, ...] = ()


Rules = tuple[AttributeRule, ...]

MISSING: Final = "The required tag '{tag}' is missing."
NO_VALUE: Final = "The value for tag '{tag}' is missing."
NOT_EMPTY: Final = "The attribute with tag '{tag}' must be empty."
NOT_ALLOWED: Final = "The attribute with tag '{tag}' cannot be present."
IS_EMPTY: Final = "The attribute with tag '{tag}' must not be empty."


_FAULTS: Final = {
    # absent, empty, with a value
    Need.VALUE: (MISSING, NO_VALUE, None),
    Need.PRESENT: (MISSING, None, None),
    Need.FILLED: (None, IS_EMPTY, None),
    Need.ANY: (None, None, None),
    Need.EMPTY: (MISSING, None, NOT_EMPTY),
    Need.FORBIDDEN: (None, NOT_ALLOWED, NOT_ALLOWED),
}


def check_attributes(table: Rules, dataset: JsonDataset) -> None:
    """Raise `InvalidWorkitem` for the first rule that the dataset breaks, naming the tag as `(0074,1200)`."""
    for tag, need, inside in table:
        fault = _FAULTS[need][(tag in dataset) + has_value(dataset.get(tag))]
        if fault:
            raise InvalidWorkitem(fault.format(tag=tag_text(int(tag, 16))))
        if inside:
            for item in items(dataset, tag):
                check_attributes(inside, item)


def rules(need: Need, keywords: str, inside: Rules = ()) -> Rules:
    """Return one rule for each of the keywords, all alike."""
    return tuple(AttributeRule(_tag(keyword), need, inside) for keyword in keywords.split())


def _tag(keyword: str) -> str:
    tag = tag_of(keyword)
    if tag is None:
        raise ValueError(keyword)
    return tag
