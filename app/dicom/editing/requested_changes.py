"""Reads the changes that a bulk update requests: permitted attributes, checks of their values (conformance §12.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.valuerep import format_number_as_ds

from app.dicom.editing.patches import UTF_8
from app.dicom.editing.rewrite import NewValue
from app.dicom.encoding.charsets import charset
from app.dicom.json.dataset import NAME_GROUPS
from app.dicom.json.received import tag_named
from app.dicom.json.values import convert
from app.dicom.validation.vr_rules import fault_message, vr_fault

_KEYWORDS: Final = """
    PatientName PatientID IssuerOfPatientID TypeOfPatientID OtherPatientIDs OtherPatientNames PatientBirthName
    PatientMotherBirthName MedicalRecordLocator
    PatientBirthDate PatientBirthTime PatientSex PatientAge PatientSize PatientWeight PatientAddress
    PatientTelephoneNumbers PatientReligiousPreference PatientComments EthnicGroup Occupation CountryOfResidence
    RegionOfResidence MilitaryRank BranchOfService ConfidentialityConstraintOnPatientDataDescription
    QualityControlSubject
    ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization
    PatientSpeciesDescription PatientBreedDescription BreedRegistrationNumber
    AccessionNumber ReferringPhysicianName StudyDescription
"""


class _ChangeRule(NamedTuple):
    vr: str
    multiplicity: str


def _rules() -> dict[int, _ChangeRule]:
    tags = (tag_for_keyword(keyword) for keyword in _KEYWORDS.split())
    return {tag: _ChangeRule(dictionary_VR(tag), dictionary_VM(tag)) for tag in tags if tag is not None}


ALLOWED: Final[Mapping[int, _ChangeRule]] = _rules()
"""Tag to VR and value multiplicity of the 36 attributes."""

MAX_BYTES: Final = 65_534
"""The largest size of all values of an attribute, in bytes: the limit of VRs with a short length (PS3.5 §7.1.2)."""

UNSUPPORTED: Final = "Updating the tag is not supported"
EMPTY: Final = "The value must not be null or empty."
REPEATED: Final = "The attribute is given twice."
_INVALID: Final = "value contains invalid character"
_ESCAPE: Final = "\x1b"
_DECIMAL: Final = 16
_SPARE_ZERO: Final = re.compile(r"(?<![\d.])0(?=\.)|\.0$")


class RefusedChange(NamedTuple):
    """A change that is refused, with the reason."""

    tag: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedChanges:
    """The new values as a file has them, by tag, and in DICOM JSON. Or the changes that are refused."""

    values: Mapping[int, NewValue]
    elements: Mapping[str, dict[str, Any]]
    refused: tuple[RefusedChange, ...] = ()


def read_changes(dataset: Mapping[str, Any]) -> RequestedChanges:
    """Read a dataset of new values in DICOM JSON. The invalid changes are in `refused` of the result.

    Raises `ValueError` with the first key that is neither 8 hex digits nor a keyword.
    """
    values: dict[int, NewValue] = {}
    refused: list[RefusedChange] = []
    for name, element in dataset.items():
        tag = _tag(name)
        rule = ALLOWED.get(tag)
        if rule is None:
            refused.append(RefusedChange(tag, UNSUPPORTED))
            continue
        text, reason = ("", REPEATED) if tag in values else _text(rule, element)
        if reason is None:
            values[tag] = NewValue(rule.vr, text)
        else:
            refused.append(RefusedChange(tag, reason))
    text_in_utf_8 = charset(UTF_8)
    elements = {
        f"{tag:08X}": convert(new.vr, new.text.encode(), text_in_utf_8, True).element
        for tag, new in sorted(values.items())
        if not refused
    }
    return RequestedChanges(values=values, elements=elements, refused=tuple(refused))


def _tag(name: str) -> int:
    tag = tag_named(name)
    if tag is None:
        raise ValueError(name)
    return int(tag, 16)


def _text(rule: _ChangeRule, element: Any) -> tuple[str, str | None]:
    """Return the text of an element, and the message for the first rule that it breaks."""
    if not isinstance(element, dict):
        return "", "The element is not an object with 'vr' and 'Value'."
    vr = element.get("vr", rule.vr)
    if vr != rule.vr:
        return "", f"The value representation is expected to be '{rule.vr}' but is '{str(vr)[:16]}'."
    given = element.get("Value")
    if given is None or given == []:
        return "", EMPTY
    if not isinstance(given, list):
        return "", "The 'Value' is not an array."
    texts = [_value(rule.vr, value) for value in given]
    text = "\\".join(text for text, _ in texts)
    return text, next(_faults(rule, text, texts), None)


def _faults(rule: _ChangeRule, text: str, values: list[tuple[str, str | None]]) -> Iterator[str]:
    yield from (reason for _, reason in values if reason)
    if len(values) > 1 and rule.multiplicity == "1":
        yield fault_message(rule.vr, text, "value multiplicity is greater than 1")
    if len(text.encode()) > MAX_BYTES:
        yield fault_message(rule.vr, text, f"value exceeds maximum length of {MAX_BYTES} bytes")


def _value(vr: str, value: Any) -> tuple[str, str | None]:
    """Return the text of a value, and the message for the first rule that it breaks."""
    if isinstance(value, dict) and vr == "PN":
        return _name(value)
    if vr == "DS" and isinstance(value, int | float) and not isinstance(value, bool):
        value = _decimal(value)
    if value is None:
        return "", EMPTY
    if not isinstance(value, str) or vr == "PN":
        return "", "The value is not of the JSON type that its VR has."
    return value, _broken(vr, value)


def _decimal(number: float) -> str:
    """Return a number in at most 16 characters, the limit of DS. Rounds the last digits if it needs more."""
    text = repr(number)
    if len(text) > _DECIMAL:
        text = _SPARE_ZERO.sub("", text)
    return text if len(text) <= _DECIMAL else format_number_as_ds(float(number))


def _name(value: dict[str, Any]) -> tuple[str, str | None]:
    if not value.keys() <= set(NAME_GROUPS) or not all(isinstance(each, str | None) for each in value.values()):
        return "", f"The groups of a name are texts called {', '.join(NAME_GROUPS)}."
    groups = [value.get(group) or "" for group in NAME_GROUPS]
    text = "=".join(groups).rstrip("=")
    if any("=" in group for group in groups):
        return text, fault_message("PN", text, _INVALID)
    return text, _broken("PN", text)


def _broken(vr: str, text: str) -> str | None:
    if not text.strip(" \0=^"):
        return EMPTY
    # A backslash would separate two values. An escape could select another character set.
    if (vr != "LT" and "\\" in text) or _ESCAPE in text or (not text.isprintable() and _has_unpaired_surrogate(text)):
        return fault_message(vr, text.encode("utf-8", "replace").decode(), _INVALID)
    return vr_fault(vr, text.rstrip(" "))


def _has_unpaired_surrogate(text: str) -> bool:
    """Return whether the text has half of a surrogate pair. No character set can encode it."""
    return any("\ud800" <= character <= "\udfff" for character in text)
