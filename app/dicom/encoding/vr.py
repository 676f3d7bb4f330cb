"""Value representations and the data dictionary as fast tables (PS3.5 §6.2, PS3.6)."""

from __future__ import annotations

from typing import Final

from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary

SHORT_FORM: Final = {
    code.encode(): code
    for code in (
        *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO"),
        *("LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
    )
}
"""VR codes whose explicit header has a 16-bit length (PS3.5 Table 7.1-2), by their two bytes."""

LONG_FORM: Final = {
    code.encode(): code for code in ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
}
"""VR codes whose explicit header has two reserved bytes and a 32-bit length (PS3.5 Table 7.1-1)."""

BULK: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
"""VRs whose values are never loaded and never in metadata (conformance §3.9)."""

WORD_SIZE: Final = {
    "AT": 2, "FD": 8, "FL": 4, "OD": 8, "OF": 4, "OL": 4, "OV": 8, "OW": 2, "SL": 4, "SS": 2, "SV": 8,
    "UL": 4, "US": 2, "UV": 8,
}  # fmt: skip
"""VR -> bytes of a word. A change of the byte order reverses each word (PS3.5 §7.3). Other VRs have no words."""

_VR: Final[dict[int, str]] = {int(tag): entry[0] for tag, entry in DicomDictionary.items()}
_KEYWORD: Final[dict[int, str]] = {int(tag): entry[4] for tag, entry in DicomDictionary.items() if entry[4]}


def _repeating() -> list[tuple[int, dict[int, tuple[str, str]]]]:
    """Return the dictionary rows of repeating groups, such as 60xx3000, as (mask, {masked tag: (VR, keyword)})."""
    families: dict[int, dict[int, tuple[str, str]]] = {}
    for pattern, entry in RepeatersDictionary.items():
        mask = int("".join("0" if digit == "x" else "F" for digit in pattern), 16)
        families.setdefault(mask, {})[int(pattern.replace("x", "0"), 16)] = (entry[0], entry[4])
    return list(families.items())


_REPEATING: Final = _repeating()


def _repeated(tag: int) -> tuple[str, str] | None:
    for mask, rows in _REPEATING:
        row = rows.get(tag & mask)
        if row is not None:
            return row
    return None


def dictionary_vr(tag: int) -> str:
    """Return the VR in the data dictionary: one VR, or a choice such as "US or SS". Private and unknown tags have "UN".

    Private creators (gggg,0010-00FF) are LO and group lengths UL (PS3.5 §7.8.1, §7.2).
    """
    vr = _VR.get(tag)
    if vr is not None:
        return vr
    number = tag & 0xFFFF
    if number == 0:
        return "UL"
    if tag & 0x10000:
        return "LO" if 0x10 <= number <= 0xFF else "UN"
    row = _repeated(tag)
    return row[0] if row else "UN"


def implicit_vr(tag: int, length: int, *, signed: bool) -> str:
    """Return the VR of an element in a dataset of implicit VRs (PS3.5 Annex A.1, PS3.3 C.7.6.3).

    `signed` is the Pixel Representation of the dataset. `length`, in bytes, separates a table from a single number.
    """
    vr = dictionary_vr(tag)
    if len(vr) == 2:
        return vr
    if "OW" in vr:
        return "OW" if "OB" in vr or length > 2 else "US"
    return ("SS" if signed else "US") if "SS" in vr else "UN"


def keyword(tag: int) -> str:
    """Return the keyword of an attribute (`PatientID`), or 8 hex digits if the dictionary has none."""
    word = _KEYWORD.get(tag)
    if word is None:
        row = None if tag & 0x10000 else _repeated(tag)
        word = row[1] if row else f"{tag:08X}"
    return word


def tag_text(tag: int) -> str:
    """Return a tag as messages print it: `(0010,0020)`, in lower-case hex."""
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


FIRST_TAG: Final = 0x00040000
"""Command elements (group 0000) and file meta information (group 0002) have no place in a dataset (PS3.5 §7.1)."""

KEYS: Final = {tag: f"{tag:08X}" for tag in _VR if tag >= FIRST_TAG}
"""Tag -> 8 upper-case hex digits, the key in DICOM JSON, for all tags of the dictionary that a dataset may have."""
