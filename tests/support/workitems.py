"""Workitems as clients send them, in DICOM JSON."""

from __future__ import annotations

from typing import Any

Dataset = dict[str, Any]

CODE: Dataset = {
    "00080100": {"vr": "SH", "Value": ["CTREAD"]},
    "00080102": {"vr": "SH", "Value": ["99LOCAL"]},
    "00080104": {"vr": "LO", "Value": ["Read a CT"]},
}

_EMPTY = {
    "00081195": "UI", "00741210": "SQ", "00404025": "SQ", "00404026": "SQ", "00404027": "SQ", "00404018": "SQ",
    "00400400": "LT", "00404021": "SQ", "00100021": "LO", "00100024": "SQ", "00101002": "SQ", "00380010": "LO",
    "00380014": "SQ", "00081080": "LO", "00081084": "SQ", "0040A370": "SQ",
}  # fmt: skip


def text(vr: str, *values: str) -> Dataset:
    """Return an element with these values."""
    return {"vr": vr, "Value": list(values)}


def sequence(*items: Dataset) -> Dataset:
    """Return a sequence of these items."""
    return {"vr": "SQ", "Value": list(items)}


def name(alphabetic: str) -> Dataset:
    """Return an element with this person name."""
    return {"vr": "PN", "Value": [{"Alphabetic": alphabetic}]}


def code(value: str) -> Dataset:
    """Return the item of a code sequence."""
    return {**CODE, "00080100": text("SH", value)}


def requested(accession: str, procedure: str = "RP1") -> Dataset:
    """Return an item of a ReferencedRequestSequence (0040,A370)."""
    return {
        "0020000D": text("UI", "2.25.900"),
        "00080050": text("SH", accession),
        "00080051": {"vr": "SQ"},
        "00400026": {"vr": "SQ"},
        "00400027": {"vr": "SQ"},
        "00401001": text("SH", procedure),
        "00321060": {"vr": "LO"},
        "00321064": {"vr": "SQ"},
    }


def workitem(**different: Dataset | None) -> Dataset:
    """Return a dataset that can be created. `T00100020={...}` sets an attribute, None leaves it out."""
    dataset: Dataset = {tag: {"vr": vr} for tag, vr in _EMPTY.items()}
    dataset |= {
        "00741200": text("CS", "MEDIUM"),
        "00741204": text("LO", "CT chest read"),
        "00404005": text("DT", "20240301090000"),
        "00404041": text("CS", "READY"),
        "00100010": name("Smith^Ann"),
        "00100020": text("LO", "P9"),
        "00100030": text("DA", "19700102"),
        "00100040": text("CS", "F"),
    }
    changed = {tag.removeprefix("T"): element for tag, element in different.items()}
    return {tag: element for tag, element in {**dataset, **changed}.items() if element is not None}


PERFORMED: Dataset = {
    "00741216": sequence(
        {
            "00404028": sequence(CODE),
            "00404050": text("DT", "20240301093000"),
            "00404019": sequence(CODE),
            "00404051": text("DT", "20240301094500"),
            "00404033": {"vr": "SQ"},
        }
    )
}
"""The attributes that a completed workitem must have."""

DISCONTINUED: Dataset = {
    "00741002": sequence({"00404052": text("DT", "20240301093000"), "0074100E": sequence(CODE)}),
}
"""The attributes that a canceled workitem must have."""


COMPLETE: Dataset = PERFORMED | DISCONTINUED
"""The attributes that a workitem must have for either final state."""


def state(wanted: str, transaction: str) -> Dataset:
    """Return the dataset of a request to change the state."""
    return {"00741000": text("CS", wanted), "00081195": text("UI", transaction)}
