"""Reads a dataset in DICOM JSON from a request body and checks its structure (PS3.18 §F.2).

In the result, tags are 8 upper-case hex digits, each element has a VR that its tag permits, items are datasets, and a
person name is an object of its groups. No sequence is nested deeper than `MAX_DEPTH`.
"""

from __future__ import annotations

import binascii
import re
from typing import Any, Final

from app.dicom.encoding.vr import BULK, LONG_FORM, SHORT_FORM, dictionary_vr
from app.dicom.json.dataset import NAME_GROUPS, JsonDataset, JsonElement
from app.dicom.validation.attributes import tag_of
from app.errors import InvalidRequest

MAX_DEPTH: Final = 16
"""The deepest nesting of sequences."""

SYNTAX: Final = "The syntax of the request body is invalid."

_VRS: Final = frozenset(SHORT_FORM.values()) | frozenset(LONG_FORM.values())
_SIGNED: Final = {"IS": 32, "SL": 32, "SS": 16, "SV": 64}
_UNSIGNED: Final = {"UL": 32, "US": 16, "UV": 64}
_WHOLE: Final = {
    **{vr: range(-(2 ** (bits - 1)), 2 ** (bits - 1)) for vr, bits in _SIGNED.items()},
    **{vr: range(2**bits) for vr, bits in _UNSIGNED.items()},
}
_NUMBERS: Final = _WHOLE.keys() | {"DS", "FD", "FL"}
_TEXTS: Final = {
    **dict.fromkeys(("IS", "SV", "UV"), re.compile(r" *[+-]?\d{1,20} *", re.ASCII)),
    "DS": re.compile(r" *[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)? *", re.ASCII),
    **dict.fromkeys(("FD", "FL"), re.compile("NaN|-?Infinity")),
}
"""VR -> pattern of numbers that may be strings (PS3.18 Table F.2.3-1). Other VRs permit no strings."""
_CARRIERS: Final = frozenset({"Value", "BulkDataURI", "InlineBinary"})
_GROUPS: Final = frozenset(NAME_GROUPS)
_HEX: Final = frozenset("0123456789abcdefABCDEF")


def first_dataset(datasets: Any) -> JsonDataset:
    """Return the first dataset of a JSON array, ignore the others (conformance §7.1).

    Raises `InvalidRequest` if it is not an array or empty, and for the first element that has a wrong structure:
    `The field '0040A370.00080050' in request body is invalid: its vr is 'LO', not 'SH'.`
    """
    if not isinstance(datasets, list) or not datasets or not isinstance(datasets[0], dict):
        raise InvalidRequest(SYNTAX)
    return _dataset(datasets[0], "", 0)


def tag_named(key: str) -> str | None:
    """Return the tag for the key of an element: 8 hex digits in any letter case, or a keyword. None for other keys."""
    if len(key) == 8 and _HEX.issuperset(key):
        return key.upper()
    return tag_of(key)


def _dataset(given: JsonDataset, path: str, depth: int) -> JsonDataset:
    if depth > MAX_DEPTH:
        raise _invalid(path, f"sequences are nested more than {MAX_DEPTH} deep.")
    dataset: JsonDataset = {}
    for name, element in given.items():
        tag = tag_named(name)
        place = f"{path}.{tag or name}" if path else tag or name
        if tag is None:
            raise _invalid(place[:200], "a tag is 8 hex digits.")
        if tag in dataset:
            raise _invalid(place, "it is given twice.")
        dataset[tag] = _element(tag, element, place, depth)
    return dataset


def _element(tag: str, element: Any, place: str, depth: int) -> JsonElement:
    if not isinstance(element, dict):
        raise _invalid(place, "an element is an object with 'vr' and perhaps 'Value'.")
    vr = element.get("vr")
    if not isinstance(vr, str) or vr not in _VRS:
        raise _invalid(place, "its vr is missing or unknown.")
    expected = dictionary_vr(int(tag, 16))
    if expected != "UN" and vr not in expected:
        raise _invalid(place, f"its vr is '{vr}', not '{expected}'.")
    carriers = element.keys() - {"vr"}
    if len(carriers) > 1 or not carriers <= _CARRIERS:
        raise _invalid(place, "beside 'vr' it may have one of 'Value', 'BulkDataURI' and 'InlineBinary'.")
    if carriers and "Value" not in carriers:
        (carrier,) = carriers
        if vr == "SQ" or not isinstance(element[carrier], str):
            raise _invalid(place, f"'{carrier}' is a text, and not for sequences.")
        if carrier == "InlineBinary" and not (vr in BULK and _is_base64(element[carrier])):
            raise _invalid(place, f"'InlineBinary' is in base64, and for VRs {', '.join(sorted(BULK))}.")
        return {"vr": vr, carrier: element[carrier]}
    values = element.get("Value")
    if values is None:
        return {"vr": vr}
    if not isinstance(values, list):
        raise _invalid(place, "'Value' is an array.")
    if vr == "SQ":
        values = [_dataset(_item(value, place), place, depth + 1) for value in values]
    elif not all(value is None or _suits(vr, value) for value in values):
        raise _invalid(place, f"a value is none that VR {vr} has in JSON.")
    elif vr == "PN":
        values = [value and {group: text for group, text in value.items() if text is not None} for value in values]
    return {"vr": vr, "Value": values} if values else {"vr": vr}


def _is_base64(text: str) -> bool:
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return False
    return True


def _item(value: Any, place: str) -> JsonDataset:
    if not isinstance(value, dict):
        raise _invalid(place, "the items of a sequence are objects.")
    return value


def _suits(vr: str, value: Any) -> bool:
    if vr == "PN":
        return (
            isinstance(value, dict)
            and value.keys() <= _GROUPS
            and all(isinstance(group, str | None) for group in value.values())
        )
    if vr in _NUMBERS:
        return _is_number(vr, value)
    return isinstance(value, str) and (vr != "AT" or tag_named(value) is not None)


def _is_number(vr: str, value: Any) -> bool:
    if isinstance(value, str):
        if vr not in _TEXTS or not _TEXTS[vr].fullmatch(value):
            return False
        value = int(value) if vr in _WHOLE else 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return vr not in _WHOLE or (float(value).is_integer() and int(value) in _WHOLE[vr])


def _invalid(place: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"The field '{place}' in request body is invalid: {reason}")
