"""The DICOM JSON model of a file's dataset, and the values that break their VR, in one pass (PS3.18 Annex F).

Left out at every depth: bulk VRs (OB OD OF OL OV OW UN), values too long to load, group lengths. Text keeps trailing
NULs and loses trailing spaces. DS, IS, SV and UV are numbers if they can be parsed, else strings. A float that JSON has
no number for is "NaN", "Infinity" or "-Infinity". Specific Character Set keeps its value, although JSON is UTF-8.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from app.dicom.encoding.charsets import DEFAULT, SPECIFIC_CHARACTER_SET, Charset, charset
from app.dicom.encoding.elements import SequenceItem
from app.dicom.encoding.part10 import Part10
from app.dicom.encoding.vr import BULK, KEYS, keyword
from app.dicom.json.dataset import JsonDataset, person_name
from app.dicom.json.values import convert, convert_cached
from app.dicom.validation.instance_rules import ValueProblem
from app.errors import InvalidInstance

MAX_VALUES: Final = 1_000_000
"""The largest number of values in one dataset, at all depths together."""
MAX_PROBLEMS: Final = 1000
"""The number of problems of one dataset that have a text. Further problems have only a tag."""
CACHED_BYTES: Final = 64
"""The largest size of a value that is cached for the next instance, in bytes."""


class Description(NamedTuple):
    """The JSON model of a dataset, and the attributes that break their VR: one `ValueProblem` for each tag."""

    dataset: JsonDataset
    problems: tuple[ValueProblem, ...]


def describe(part10: Part10) -> Description:
    """Return the JSON model of a dataset and check each value at every depth against its VR.

    Problems beyond `MAX_PROBLEMS` have no text. Raises `InvalidInstance` for more than `MAX_VALUES` values.
    """
    conversion = _Conversion(part10.little)
    dataset = conversion.dataset(part10.elements, DEFAULT, nested=False)
    return Description(dataset, tuple(conversion.problems.values()))


def dataset_json(part10: Part10, drop: frozenset[int] = frozenset()) -> JsonDataset:
    """Return the JSON model of a dataset without the top-level attributes in `drop`."""
    dataset = describe(part10).dataset
    for tag in drop:
        dataset.pop(f"{tag:08X}", None)
    return dataset


def first_text(dataset: JsonDataset, tag: int) -> str | None:
    """Return the first value of a top-level attribute as text, None if it has no value."""
    value = next(iter(dataset.get(f"{tag:08X}", {}).get("Value", ())), None)
    if isinstance(value, dict):
        return person_name(value) or None
    return None if value is None else str(value)


class _Conversion:
    """Converts one dataset with its sequences and collects the problems."""

    __slots__ = ("_little", "_values_left", "problems")

    def __init__(self, little: bool) -> None:
        self._little = little
        self._values_left = MAX_VALUES
        self.problems: dict[int, ValueProblem] = {}

    def dataset(self, elements: SequenceItem, text: Charset, *, nested: bool) -> JsonDataset:
        little, key_of, values_left = self._little, KEYS.get, self._values_left
        out: JsonDataset = {}
        for tag, vr, value, _offset, _length in elements:
            if value is None or vr in BULK or not tag & 0xFFFF:
                continue
            key = key_of(tag) or f"{tag:08X}"
            if isinstance(value, bytes):
                if tag == SPECIFIC_CHARACTER_SET:
                    text = charset(value)
                read = convert_cached if len(value) <= CACHED_BYTES else convert
                entry, count, reason = read(vr, value, text, little)
                out[key] = entry
                values_left -= count
                if reason is not None:
                    self._report(tag, vr, reason, nested)
            elif isinstance(value, tuple):
                self._values_left = values_left - len(value)
                items = [self.dataset(item, text, nested=True) for item in value]
                out[key] = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
                values_left = self._values_left
            if values_left < 0:
                raise InvalidInstance(f"The DICOM instance is invalid: its header holds more than {MAX_VALUES} values.")
        self._values_left = values_left
        return out

    def _report(self, tag: int, vr: str, text: str, nested: bool) -> None:
        known = self.problems.get(tag)
        if known is None or (known.nested and not nested):
            has_text = known.text != "" if known else len(self.problems) < MAX_PROBLEMS
            self.problems[tag] = ValueProblem(
                tag=tag, keyword=keyword(tag), vr=vr, text=text if has_text else "", nested=nested
            )
