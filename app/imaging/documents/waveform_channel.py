"""What a channel of a waveform is: its label, its lead, and how its samples become values (PS3.3 C.10.9.1.4)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from app.dicom.encoding.attribute_reader import AttributeReader
from app.imaging.documents import value_text

_CHANNEL_LABEL: Final = 0x003A0203
_CHANNEL_SOURCE: Final = 0x003A0208
_SENSITIVITY: Final = 0x003A0210
_UNITS: Final = 0x003A0211
_CORRECTION: Final = 0x003A0212
_BASELINE: Final = 0x003A0213

_MILLIVOLTS: Final = {"nV": 1e-6, "uV": 1e-3, "mV": 1.0, "V": 1e3}
_LEAD_NUMBERS: Final = {
    **{1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF"},
    **{number + 2: f"V{number}" for number in range(1, 7)},
}
"""The numbers of leads in the codes of ISO/IEEE 11073-10101 (2:1) and SCP-ECG (5.6.3-9-1) (PS3.16 CID 3001)."""
_LEAD_NAMES: Final = {name.upper(): name for name in _LEAD_NUMBERS.values()}
_LEAD_CODE: Final = re.compile(r"(?:2:|5\.6\.3-9-)(\d{1,3})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel. A sample in `unit` is the stored sample times `scale` plus `baseline`.

    `lead` is the name of a standard ECG lead, else empty. `millivolts` is how many mV the unit is, None if it is not a
    voltage.
    """

    label: str
    lead: str
    unit: str
    scale: float
    baseline: float

    @property
    def millivolts(self) -> float | None:
        return _MILLIVOLTS.get(self.unit)

    @classmethod
    def of(cls, definition: AttributeReader, number: int) -> Channel:
        """Return the channel of an item of Channel Definition Sequence. `number` counts the items from 1."""
        source = definition.item(_CHANNEL_SOURCE)
        units = definition.item(_UNITS)
        label = definition.text(_CHANNEL_LABEL) or value_text.code(source) or f"Channel {number}"
        scale = _finite(definition.number(_SENSITIVITY), 1.0) * _finite(definition.number(_CORRECTION), 1.0)
        return cls(
            label=label,
            lead=_lead(source, label),
            unit=value_text.code_value(units) if units else "",
            scale=_finite(scale, 1.0) or 1.0,
            baseline=_finite(definition.number(_BASELINE), 0.0),
        )

    @classmethod
    def unknown(cls, number: int) -> Channel:
        """Return a channel without a definition: its values are the stored samples."""
        return cls(label=f"Channel {number}", lead="", unit="", scale=1.0, baseline=0.0)


def _lead(source: AttributeReader | None, label: str) -> str:
    """Return the standard lead that a code or a label names, "" for another channel."""
    if source is not None:
        found = _LEAD_CODE.fullmatch(value_text.code_value(source))
        if found:
            return _LEAD_NUMBERS.get(int(found[1]), "")
    names = (label, value_text.code(source))
    normal = (name.upper().removeprefix("LEAD").strip(" -:_") for name in names)
    return next((_LEAD_NAMES[name] for name in normal if name in _LEAD_NAMES), "")


def _finite(number: float | None, default: float) -> float:
    return number if number is not None and math.isfinite(number) else default
