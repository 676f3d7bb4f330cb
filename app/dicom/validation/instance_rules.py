"""Rules for instances: required attributes, and values that the index holds (conformance §3.5, conformance §8.9).

`check_required` checks the five attributes that every instance needs. `check_indexed` checks the attributes that the
index holds. `json.model.describe` checks every element against its VR.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from app.dicom.encoding.charsets import SPECIFIC_CHARACTER_SET, Charset, charset
from app.dicom.encoding.elements import RawElement
from app.dicom.encoding.part10 import Part10
from app.dicom.encoding.uids import PADDING, is_uid
from app.dicom.encoding.vr import WORD_SIZE, keyword, tag_text
from app.dicom.validation.vr_rules import CONTROL_BUT_ESC, is_date, vr_fault
from app.errors import IDENTIFIER_RULE

PATIENT_ID: Final = 0x00100020
REQUIRED: Final[Mapping[int, str]] = {
    0x00080016: "UI",  # SOPClassUID
    0x0020000D: "UI",  # StudyInstanceUID
    0x0020000E: "UI",  # SeriesInstanceUID
    0x00080018: "UI",  # SOPInstanceUID
    PATIENT_ID: "LO",
}
"""Tag -> VR of the attributes that an instance needs to be stored."""

UNEXPECTED_VR: Final = "The extended query tag VR is not expected."
_TOO_LONG: Final = "Value length exceeds maximum length."
_INVALID_CHARACTER: Final = "Value contains invalid character."
_CONTROL: Final = re.compile(f"[{CONTROL_BUT_ESC}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueProblem:
    """An attribute that breaks a rule. Responses have `text`, error lists of extended query tags have `brief`.

    `nested` means that the attribute is within a sequence, and no top-level attribute of its tag breaks a rule.
    """

    tag: int
    keyword: str
    vr: str
    text: str
    nested: bool = False
    brief: str = ""


class RequiredCheck(NamedTuple):
    """The result of `check_required`: problems that refuse the instance, and problems that are warnings."""

    failures: tuple[ValueProblem, ...]
    warnings: tuple[ValueProblem, ...]


def check_required(part10: Part10, *, lenient: bool) -> RequiredCheck:
    """Check that the five required attributes have a value: `The required tag '(0010,0020)' is missing.`

    Each needs exactly one value that is not empty. If `lenient` (v2), an empty Patient ID is only a warning, and the
    first of several Patient IDs counts.
    """
    failures: list[ValueProblem] = []
    warnings: list[ValueProblem] = []
    text = charset(part10.raw(SPECIFIC_CHARACTER_SET))
    for tag, vr in REQUIRED.items():
        # A byte of a multi-byte character may equal a backslash, so the text is decoded first.
        raw = part10.raw(tag)
        values = (text.decode(raw, vr) if vr == "LO" else raw.decode("latin-1")).rstrip(PADDING).split("\\")
        if values[0].rstrip(PADDING) and (len(values) == 1 or (lenient and tag == PATIENT_ID)):
            continue
        missing = f"The required tag '{tag_text(tag)}' is missing."
        problem = ValueProblem(tag=tag, keyword=keyword(tag), vr=vr, text=missing)
        tolerable = lenient and tag == PATIENT_ID and part10.get(tag) is not None
        (warnings if tolerable else failures).append(problem)
    return RequiredCheck(tuple(failures), tuple(warnings))


def check_indexed(part10: Part10, expected: Mapping[int, str], *, lenient: bool) -> list[ValueProblem]:
    """Return the top-level attributes among `expected` (tag -> VR) that break a rule. An absent one breaks no rule.

    `Dicom element 'PatientID' failed validation for VR 'LO': Value contains invalid character.` The rules apply to the
    first value. If `lenient` (v2), trailing NULs are ignored.
    """
    text = charset(part10.raw(SPECIFIC_CHARACTER_SET))
    problems = []
    for tag, vr in expected.items():
        element = part10.get(tag)
        broken = None if element is None else _broken_rule(element, vr, text, lenient)
        if broken is not None:
            reason, brief = broken
            name = keyword(tag)
            message = f"Dicom element '{name}' failed validation for VR '{vr}': {reason}"
            problems.append(ValueProblem(tag=tag, keyword=name, vr=vr, text=message, brief=brief))
    return problems


def fault_of_value(vr: str, value: str) -> str | None:
    """Return the short text of the rule that a value breaks, for error lists of extended query tags. None for no rule.

    Padding is ignored. The sizes of binary numbers are not checked, because a decoded value does not show them.
    """
    rule, value = _RULES.get(vr), value.rstrip(PADDING)
    broken = rule(value) if rule and value else None
    return broken[1] if broken else None


_BrokenRule = tuple[str, str] | None
"""The text of a broken rule in responses and its text in error lists, None if no rule is broken."""


def _broken_rule(element: RawElement, vr: str, text: Charset, lenient: bool) -> _BrokenRule:
    if element.vr != vr:
        found = f"Value representation is expected to be '{vr}' but is '{element.vr}' in file."
        return found, UNEXPECTED_VR
    if not isinstance(element.value, bytes):
        return _TOO_LONG, _TOO_LONG
    rule = _RULES.get(vr)
    if rule is None:
        return _whole_words(element.value, WORD_SIZE[vr]) if vr in WORD_SIZE else None
    value = text.decode(element.value, vr).split("\\")[0].rstrip(" ")
    if lenient or vr == "UI":
        value = value.rstrip(PADDING)
    return rule(value) if value else None


def _whole_words(raw: bytes, size: int) -> _BrokenRule:
    if raw and len(raw) % size == 0:
        return None
    return f"Value length is not {size}.", "Value length is not expected."


def _at_most(limit: int) -> Callable[[str], _BrokenRule]:
    return lambda value: (f"Value length exceeds maximum length of {limit}.", _TOO_LONG) if len(value) > limit else None


def _parsed(vr: str, kind: str) -> Callable[[str], _BrokenRule]:
    reason = f"Value cannot be parsed as a valid {kind}."
    return lambda value: (reason, reason) if vr_fault(vr, value) else None


def _age(value: str) -> _BrokenRule:
    return None if len(value) == 4 else ("Value length is not 4.", "Value length is not expected.")


def _date(value: str) -> _BrokenRule:
    reason = "Value cannot be parsed as a valid date."
    return None if is_date(value) else (reason, reason)


def _long_string(value: str) -> _BrokenRule:
    if len(value) > 64:
        return _at_most(64)(value)
    return (_INVALID_CHARACTER, _INVALID_CHARACTER) if _CONTROL.search(value) else None


def _person_name(value: str) -> _BrokenRule:
    groups = value.split("=")
    if len(groups) > 3:
        return ("Value contains more than 3 groups.",) * 2
    for group in groups:
        broken = _long_string(group)
        if broken is not None:
            return broken
    if any(group.count("^") > 4 for group in groups):
        return ("Value contains more than 5 components.",) * 2
    return None


def _uid(value: str) -> _BrokenRule:
    return None if is_uid(value) else (IDENTIFIER_RULE, IDENTIFIER_RULE)


_RULES: Final[Mapping[str, Callable[[str], _BrokenRule]]] = {
    "AE": _at_most(16),
    "AS": _age,
    "CS": _at_most(16),
    "DA": _date,
    "DT": _parsed("DT", "DateTime"),
    "IS": _parsed("IS", "integer string"),
    "LO": _long_string,
    "PN": _person_name,
    "SH": _at_most(16),
    "TM": _parsed("TM", "Time"),
    "UI": _uid,
}
