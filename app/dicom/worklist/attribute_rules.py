"""Rules for the attributes of a workitem, and the check of a dataset against them (conformance §7.4).

The tables of rules are in `rule_tables.py`. An attribute that is not in a table may have any value or be absent.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from app.dicom.encoding.vr import tag_text
from app.dicom.json.dataset import JsonDataset, has_value, items
from app.dicom.validation.attributes import tag_of
from app.errors import InvalidWorkitem


class Need(Enum):
    """The requirement of a rule. The types are those of PS3.4 §5.4.2.1."""

    VALUE = "present, with a value"  # type 1
    PRESENT = "present, perhaps empty"  # type 2
    FILLED = "absent, or with a value"  # type 3
    ANY = "absent, empty, or with a value; its items have rules"
    EMPTY = "present and empty"
    FORBIDDEN = "absent"


class AttributeRule(NamedTuple):
    """The requirement for an attribute and, if it is a sequence, the rules for each of its items."""

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
    """Raise `InvalidWorkitem` for the first rule that a dataset breaks. The message has the tag as `(0074,1200)`."""
    for tag, need, inside in table:
        fault = _FAULTS[need][(tag in dataset) + has_value(dataset.get(tag))]
        if fault:
            raise InvalidWorkitem(fault.format(tag=tag_text(int(tag, 16))))
        if inside:
            for item in items(dataset, tag):
                check_attributes(inside, item)


def rules(need: Need, keywords: str, inside: Rules = ()) -> Rules:
    """Return a rule with this requirement for each keyword. `keywords` has spaces between them."""
    return tuple(AttributeRule(_tag(keyword), need, inside) for keyword in keywords.split())


def _tag(keyword: str) -> str:
    tag = tag_of(keyword)
    if tag is None:
        raise ValueError(keyword)
    return tag
