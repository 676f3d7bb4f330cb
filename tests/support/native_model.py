"""Reads the Native DICOM Model (PS3.19 §A.1) without the code of the service, after a check by its schema."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from lxml import etree

_NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
_COMPONENTS = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"]


@cache
def _schema() -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(Path(__file__).parent / "native_dicom_model.rng"))


def checked(xml: bytes) -> etree._Element:
    """Return the root of a document. Assert that the schema permits it."""
    root = etree.fromstring(xml)
    _schema().assertValid(root)
    return root


def dataset_of(xml: bytes) -> dict[str, Any]:
    """Return a document as DICOM JSON in which numbers are not texts. Private creators are absent.

    The key of a private attribute is its creator and its tag.
    """
    return _dataset(checked(xml))


def in_texts(dataset: dict[str, Any]) -> dict[str, Any]:
    """Return DICOM JSON in the form of `dataset_of`."""
    creators = {
        tag[:4] + tag[6:]: str(element.get("Value", [""])[0] or "")
        for tag, element in dataset.items()
        if _is_private(tag) and tag.startswith("00", 4) and tag[6] != "0"
    }
    found = {}
    for tag, element in dataset.items():
        if _is_private(tag) and tag.startswith("00", 4) and tag[6] != "0":
            continue
        creator = creators.get(tag[:6]) if _is_private(tag) else None
        key = tag if creator is None else f"{creator} {tag[:4]}00{tag[6:]}"
        values = [_in_text(each, element["vr"]) for each in element.get("Value", ())]
        kept = {name: element[name] for name in ("vr", "BulkDataURI", "InlineBinary") if element.get(name)}
        found[key] = kept | ({"Value": values} if values else {})
    return found


def _is_private(tag: str) -> bool:
    return int(tag[3], 16) % 2 == 1


def _in_text(value: Any, vr: str) -> Any:
    if vr == "SQ":
        return in_texts(value or {})
    if vr == "PN":
        return {group: text.rstrip("^") for group, text in (value or {}).items()}
    return _comparable("" if value is None else str(value), vr)


def _dataset(parent: etree._Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in parent:
        key = " ".join(str(each.attrib[name]) for name in ("privateCreator", "tag") if name in each.attrib)
        assert key not in found
        found[key] = _element(each)
    return found


def _element(attribute: etree._Element) -> dict[str, Any]:
    vr = str(attribute.attrib["vr"])
    element: dict[str, Any] = {"vr": vr}
    for number, child in enumerate(attribute, 1):
        name = str(child.tag).removeprefix(_NAMESPACE)
        if name == "BulkData":
            element["BulkDataURI"] = child.get("uri")
        elif name == "InlineBinary":
            element["InlineBinary"] = child.text
        else:
            assert child.get("number") == str(number)
            element.setdefault("Value", []).append(_value(child, name, vr))
    return element


def _value(child: etree._Element, name: str, vr: str) -> Any:
    if name == "Item":
        return _dataset(child)
    if name == "PersonName":
        return {str(group.tag).removeprefix(_NAMESPACE): _person_name(group) for group in child}
    return _comparable(child.text or "", vr)


def _comparable(text: str, vr: str) -> str | float:
    """Return a number for the text of a number: the forms of numbers differ."""
    if vr not in ("DS", "IS", "FL", "FD", "SL", "SS", "UL", "US", "SV", "UV"):
        return text
    try:
        return float(text) if text.lower() != "nan" else text
    except ValueError:
        return text


def _person_name(group: etree._Element) -> str:
    components = {str(each.tag).removeprefix(_NAMESPACE): each.text or "" for each in group}
    return "^".join(components.get(name, "") for name in _COMPONENTS).rstrip("^")
