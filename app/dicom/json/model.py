"""The DICOM JSON model of a dataset, and what in it breaks its VR, in one pass (PS3.18 Annex F, conformance §3.5).

Left out at every depth: bulk VRs (OB OD OF OL OV OW UN), values too long to load, group lengths. Text keeps trailing
NULs and loses trailing spaces. DS, IS, SV and UV are numbers where they parse, else strings; a float without a JSON
number is "NaN", "Infinity" or "-Infinity". Specific Character Set stays as it was, though JSON is always UTF-8.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from app.dicom.encoding.charsets import DEFAULT, Charset, charset
from app.dicom.encoding.elements import SequenceItem
from app.dicom.encoding.part10 import Part10
from app.dicom.encoding.vr import BULK, KEYS, keyword
from app.dicom.json.dataset import JsonDataset
from app.dicom.json.values import NAME_GROUPS, convert, recurring
from app.dicom.validation.instance_rules import SPECIFIC_CHARACTER_SET, ValueProblem
from app.errors import InvalidInstance

MAX_VALUES: Final = 1_000_000
"""Values in one dataset, all depths together."""
MAX_PROBLEMS: Final = 1000
"""Attributes of one dataset whose fault is put into words; of further ones only the tag is told."""
RECURRING: Final = 64
"""Bytes, at most, of values worth remembering for the next instance."""


class Description(NamedTuple):
    """A dataset's JSON model and the attributes in it that break their VR, one `ValueProblem` per tag."""

    dataset: JsonDataset
    problems: tuple[ValueProblem, ...]


def describe(part10: Part10) -> Description:
    """JSON model and full VR check of a dataset (every value, every depth) for the price of one.

    Beyond `MAX_PROBLEMS` a problem has no text. Raises `InvalidInstance` beyond `MAX_VALUES`.
    """
    walk = _Walk(part10.little)
    dataset = walk.dataset(part10.elements, DEFAULT, nested=False)
    return Description(dataset, tuple(walk.problems.values()))


def dataset_json(part10: Part10, drop: frozenset[int] = frozenset()) -> JsonDataset:
    """The JSON model of a dataset without the top-level attributes of the tags in `drop`."""
    dataset = describe(part10).dataset
    for tag in drop:
        dataset.pop(f"{tag:08X}", None)
    return dataset


def first_text(dataset: JsonDataset, tag: int) -> str | None:
    """The first value of a top-level attribute as text, a person name with its groups joined; None if it has none."""
    value = next(iter(dataset.get(f"{tag:08X}", {}).get("Value", ())), None)
    if isinstance(value, dict):
        return person_name(value) or None
    return None if value is None else str(value)


def person_name(value: dict[str, str]) -> str:
    """A person name of the JSON model as it stands in a file: `Alphabetic=Ideographic=Phonetic`."""
    return "=".join(value.get(group, "") for group in NAME_GROUPS).rstrip("=")


class _Walk:
    """One pass over a dataset and its sequences."""

    __slots__ = ("_little", "_room", "problems")

    def __init__(self, little: bool) -> None:
        self._little = little
        self._room = MAX_VALUES
        self.problems: dict[int, ValueProblem] = {}

    def dataset(self, elements: SequenceItem, text: Charset, *, nested: bool) -> JsonDataset:
        little, key_of, room = self._little, KEYS.get, self._room
        out: JsonDataset = {}
        for tag, vr, value, _offset, _length in elements:
            if value is None or vr in BULK or not tag & 0xFFFF:
                continue
            key = key_of(tag) or f"{tag:08X}"
            if isinstance(value, bytes):
                if tag == SPECIFIC_CHARACTER_SET:
                    text = charset(value)
                read = recurring if len(value) <= RECURRING else convert
                entry, count, reason = read(vr, value, text, little)
                out[key] = entry
                room -= count
                if reason is not None:
                    self._report(tag, vr, reason, nested)
            elif isinstance(value, tuple):
                self._room = room - len(value)
                items = [self.dataset(item, text, nested=True) for item in value]
                out[key] = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
                room = self._room
            if room < 0:
                raise InvalidInstance(f"The DICOM instance is invalid: its header holds more than {MAX_VALUES} values.")
        self._room = room
        return out

    def _report(self, tag: int, vr: str, text: str, nested: bool) -> None:
        known = self.problems.get(tag)
        if known is None or (known.nested and not nested):
            told = known.text != "" if known else len(self.problems) < MAX_PROBLEMS
            self.problems[tag] = ValueProblem(
                tag=tag, keyword=keyword(tag), vr=vr, text=text if told else "", nested=nested
            )
