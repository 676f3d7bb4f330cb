"""The archive's own rules for what it stores and indexes (conformance §3.5 "Validation", conformance §8.9 "Errors list").

`required` looks for the five attributes that every instance needs, `check` applies the element rules to the attributes
that are indexed. The full VR check of every element is `json.model.describe`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from app.dicom.encoding.charsets import Charset, charset
from app.dicom.encoding.elements import RawElement
from app.dicom.encoding.part10 import Part10
from app.dicom.encoding.uids import PADDING, is_uid
from app.dicom.encoding.vr import WORD_SIZE, keyword, tag_text
from app.dicom.validation.vr_rules import CONTROL_BUT_ESC, is_date, vr_fault
from app.errors import IDENTIFIER_RULE

SPECIFIC_CHARACTER_SET: Final = 0x00080005
PATIENT_ID: Final = 0x00100020
REQUIRED: Final[Mapping[int, str]] = {
    0x00080016: "UI",  # SOPClassUID
    0x0020000D: "UI",  # StudyInstanceUID
    0x0020000E: "UI",  # SeriesInstanceUID
    0x00080018: "UI",  # SOPInstanceUID
    PATIENT_ID: "LO",
}
"""The attributes without which nothing is stored, with their VRs."""

UNEXPECTED_VR: Final = "The extended query tag VR is not expected."
_TOO_LONG: Final = "Value length exceeds maximum length."
_INVALID_CHARACTER: Final = "Value contains invalid character."
_CONTROL: Final = re.compile(f"[{CONTROL_BUT_ESC}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueProblem:
    """One attribute that breaks a rule: `text` for answers, `brief` for the error list of an extended query tag.

    `nested`: it lies within a sequence, and no top-level attribute of its tag is at fault.
    """

    tag: int
    keyword: str
    vr: str
    text: str
    nested: bool = False
    brief: str = ""


class Required(NamedTuple):
    """What `required` found: reasons to refuse the instance, and reasons to warn."""

    failures: tuple[ValueProblem, ...]
    warnings: tuple[ValueProblem, ...]


def check_required(part10: Part10, *, lenient: bool) -> Required:
    """Whether the five required attributes have their value: `The required tag '(0010,0020)' is missing.`

    Each needs exactly one non-empty value. When `lenient` (v2) Patient ID need only be present: an empty one is a
    warning, and of several values the first counts.
    """
    failures: list[ValueProblem] = []
    warnings: list[ValueProblem] = []
    for tag, vr in REQUIRED.items():
        values = part10.raw(tag).decode("latin-1").rstrip(PADDING).split("\\")
        if values[0].rstrip(PADDING) and (len(values) == 1 or (lenient and tag == PATIENT_ID)):
            continue
        text = f"The required tag '{tag_text(tag)}' is missing."
        problem = ValueProblem(tag=tag, keyword=keyword(tag), vr=vr, text=text)
        tolerable = lenient and tag == PATIENT_ID and part10.get(tag) is not None
        (warnings if tolerable else failures).append(problem)
    return Required(tuple(failures), tuple(warnings))


def check_indexed(part10: Part10, expected: Mapping[int, str], *, lenient: bool) -> list[ValueProblem]:
    """The top-level attributes among `expected` (tag to VR) that break an element rule; absent ones do not.

    `Dicom element 'PatientID' failed validation for VR 'LO': Value contains invalid character.` Only first values
    count. When `lenient` (v2) trailing NULs do not.
    """
    text = charset(part10.raw(SPECIFIC_CHARACTER_SET))
    problems = []
    for tag, vr in expected.items():
        element = part10.get(tag)
        broken = None if element is None else _broken(element, vr, text, lenient)
        if broken is not None:
            reason, brief = broken
            name = keyword(tag)
            message = f"Dicom element '{name}' failed validation for VR '{vr}': {reason}"
            problems.append(ValueProblem(tag=tag, keyword=name, vr=vr, text=message, brief=brief))
    return problems


def fault_of_value(vr: str, value: str) -> str | None:
    """The rule that one value breaks, as error lists of extended query tags put it; None if it keeps to its VR's.

    Padding does not count, nor do the sizes of binary numbers, which a decoded value does not show.
    """
    rule, value = _RULES.get(vr), value.rstrip(PADDING)
    broken = rule(value) if rule and value else None
    return broken[1] if broken else None


_Broken = tuple[str, str] | None
"""The rule that is broken, as answers and as error lists put it."""


def _broken(element: RawElement, vr: str, text: Charset, lenient: bool) -> _Broken:
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


def _whole_words(raw: bytes, size: int) -> _Broken:
    if raw and len(raw) % size == 0:
        return None
    return f"Value length is not {size}.", "Value length is not expected."


def _at_most(limit: int) -> Callable[[str], _Broken]:
    return lambda value: (f"Value length exceeds maximum length of {limit}.", _TOO_LONG) if len(value) > limit else None


def _parsed(vr: str, kind: str) -> Callable[[str], _Broken]:
    reason = f"Value cannot be parsed as a valid {kind}."
    return lambda value: (reason, reason) if vr_fault(vr, value) else None


def _age(value: str) -> _Broken:
    return None if len(value) == 4 else ("Value length is not 4.", "Value length is not expected.")


def _date(value: str) -> _Broken:
    reason = "Value cannot be parsed as a valid date."
    return None if is_date(value) else (reason, reason)


def _long_string(value: str) -> _Broken:
    if len(value) > 64:
        return _at_most(64)(value)
    return (_INVALID_CHARACTER, _INVALID_CHARACTER) if _CONTROL.search(value) else None


def _person_name(value: str) -> _Broken:
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


def _uid(value: str) -> _Broken:
    return None if is_uid(value) else (IDENTIFIER_RULE, IDENTIFIER_RULE)


_RULES: Final[Mapping[str, Callable[[str], _Broken]]] = {
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
