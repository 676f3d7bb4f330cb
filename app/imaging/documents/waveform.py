"""The samples of waveforms in their units, read in blocks (PS3.3 C.10.9)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.dicom.encoding.attribute_reader import AttributeReader
from app.errors import ImageFailure
from app.imaging.documents import value_text

Values = NDArray[np.float32]
"""(moments, channels). NaN where the file has the padding value."""

MAX_GROUPS: Final = 8
MAX_CHANNELS: Final = 64
"""Multiplex groups, and channels of one group, that are shown."""
MAX_VALUES: Final = 1 << 26
"""The largest number of samples of one group that are read. It bounds the time; what follows is not shown."""
_LONGEST_MOMENT: Final = 1 << 16
"""The largest number of channels that a group may have."""
_BLOCK_VALUES: Final = 1 << 20

_WAVEFORMS: Final = 0x54000100
_CHANNELS: Final = 0x003A0005
_SAMPLES: Final = 0x003A0010
_FREQUENCY: Final = 0x003A001A
_GROUP_LABEL: Final = 0x003A0020
_DEFINITIONS: Final = 0x003A0200
_CHANNEL_LABEL: Final = 0x003A0203
_CHANNEL_SOURCE: Final = 0x003A0208
_SENSITIVITY: Final = 0x003A0210
_UNITS: Final = 0x003A0211
_CORRECTION: Final = 0x003A0212
_BASELINE: Final = 0x003A0213
_BITS_ALLOCATED: Final = 0x54001004
_INTERPRETATION: Final = 0x54001006
_PADDING: Final = 0x5400100A
_DATA: Final = 0x54001010

_FORMATS: Final = {
    "SB": "<i1", "UB": "<u1", "MB": "<u1", "AB": "<u1", "SS": "<i2", "US": "<u2",
    "SL": "<i4", "UL": "<u4", "SV": "<i8", "UV": "<u8",
}  # fmt: skip
"""Waveform Sample Interpretation -> the bytes of a sample."""
_SIGNED: Final = {8: "SB", 16: "SS", 32: "SL", 64: "SV"}
"""The interpretation of samples whose file names none, by their bits."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiplexGroup:
    """Channels that were sampled together. `moments` is the number of samples of each channel that can be shown.

    `stored_moments` is the number in the file, and `stored_channels` the number of channels there.
    """

    label: str
    channels: tuple[Channel, ...]
    frequency: float
    moments: int
    stored_moments: int
    stored_channels: int
    interpretation: str
    padding: int | None
    attributes: AttributeReader

    @property
    def seconds(self) -> float:
        """How long the shown samples last."""
        return self.moments / self.frequency

    def values(self, start: int, stop: int) -> Values:
        """Return the samples of some moments in the units of their channels."""
        form = np.dtype(_FORMATS[self.interpretation])
        moment = form.itemsize * self.stored_channels
        raw = np.frombuffer(self.attributes.part(_DATA, start * moment, stop * moment), form)
        stored = raw.reshape(-1, self.stored_channels)[:, : len(self.channels)]
        numbers = _expanded(stored, self.interpretation)
        scales = np.array([channel.scale for channel in self.channels])
        baselines = np.array([channel.baseline for channel in self.channels])
        with np.errstate(over="ignore", invalid="ignore"):
            values: Values = (numbers * scales + baselines).astype(np.float32)
        if self.padding is not None:
            values[stored == self.padding] = np.nan
        values[~np.isfinite(values)] = np.nan
        return values

    def first(self, seconds: float) -> MultiplexGroup:
        """Return the group with no more moments than the first seconds have."""
        return replace(self, moments=max(1, min(self.moments, math.ceil(seconds * self.frequency))))

    def envelope(self, bins: int) -> tuple[NDArray[np.float64], Values]:
        """Return (times in seconds, values): every sample, or the least and the greatest one of each of `bins` periods.

        Of two values of a period the earlier one comes first, so a line through the values keeps the peaks.
        """
        size = -(-self.moments // max(1, bins))
        if size <= 2:
            return _times(self.moments, 1 / self.frequency), self.values(0, self.moments)
        pieces = [_extremes(block, size) for block in self._blocks(size)]
        values = np.concatenate(pieces)
        times = np.minimum(_times(len(values), size / 2 / self.frequency), (self.moments - 1) / self.frequency)
        return times, values

    def _blocks(self, size: int) -> Iterator[Values]:
        """Yield the samples in blocks of whole periods of `size` moments. Only the last block may end within one."""
        step = max(1, _BLOCK_VALUES // (size * self.stored_channels)) * size
        for start in range(0, self.moments, step):
            yield self.values(start, min(start + step, self.moments))


def multiplex_groups(attributes: AttributeReader) -> list[MultiplexGroup]:
    """Return the groups of a waveform object that can be shown.

    Raises `ImageFailure` with the reason if there is none.
    """
    groups: list[MultiplexGroup] = []
    reason = "The instance has no Waveform Sequence."
    for number, item in enumerate(attributes.items(_WAVEFORMS)):
        if number == MAX_GROUPS:
            break
        try:
            groups.append(_group(item))
        except ImageFailure as failure:
            reason = str(failure)
    if not groups:
        raise ImageFailure(reason)
    return groups


def _group(item: AttributeReader) -> MultiplexGroup:
    bits = item.integer(_BITS_ALLOCATED, 16)
    interpretation = item.text(_INTERPRETATION) or _SIGNED.get(bits, "")
    form = _FORMATS.get(interpretation)
    if form is None or np.dtype(form).itemsize * 8 != bits:
        raise ImageFailure(f"The waveform has samples of {bits} bits that are '{interpretation[:16]}'.")
    frequency = item.number(_FREQUENCY)
    if frequency is None or not 1e-6 <= frequency <= 1e9:
        raise ImageFailure("The waveform has no usable Sampling Frequency.")
    definitions = [_channel(each, number) for number, each in _numbered(item)]
    stored = item.integer(_CHANNELS, len(definitions))
    if not 1 <= stored <= _LONGEST_MOMENT:
        raise ImageFailure(f"The waveform has {stored} channels.")
    channels = [*definitions[:stored], *(_unknown(number) for number in range(len(definitions) + 1, stored + 1))]
    moments = item.length(_DATA) // (bits // 8 * stored)
    moments = min(moments, max(0, item.integer(_SAMPLES, moments)))
    if not moments:
        raise ImageFailure("The waveform has no samples.")
    return MultiplexGroup(
        label=item.text(_GROUP_LABEL),
        channels=tuple(channels[:MAX_CHANNELS]),
        frequency=frequency,
        moments=max(1, min(moments, MAX_VALUES // stored)),
        stored_moments=moments,
        stored_channels=stored,
        interpretation=interpretation,
        padding=_padding(item, form),
        attributes=item,
    )


def _numbered(item: AttributeReader) -> Iterator[tuple[int, AttributeReader]]:
    """Yield the channel definitions that are shown, with their numbers from 1."""
    for number, definition in enumerate(item.items(_DEFINITIONS), 1):
        if number > MAX_CHANNELS:
            return
        yield number, definition


def _channel(definition: AttributeReader, number: int) -> Channel:
    source = definition.item(_CHANNEL_SOURCE)
    units = definition.item(_UNITS)
    label = definition.text(_CHANNEL_LABEL) or value_text.code(source) or f"Channel {number}"
    scale = _finite(definition.number(_SENSITIVITY), 1.0) * _finite(definition.number(_CORRECTION), 1.0)
    return Channel(
        label=label,
        lead=_lead(source, label),
        unit=value_text.code_value(units) if units else "",
        scale=_finite(scale, 1.0) or 1.0,
        baseline=_finite(definition.number(_BASELINE), 0.0),
    )


def _unknown(number: int) -> Channel:
    """Return a channel without a definition: its values are the stored samples."""
    return Channel(label=f"Channel {number}", lead="", unit="", scale=1.0, baseline=0.0)


def _lead(source: AttributeReader | None, label: str) -> str:
    """Return the standard lead that a code or a label names, "" for another channel."""
    if source is not None:
        found = _LEAD_CODE.fullmatch(value_text.code_value(source))
        if found:
            return _LEAD_NUMBERS.get(int(found[1]), "")
    names = (label, value_text.code(source))
    normal = (name.upper().removeprefix("LEAD").strip(" -:_") for name in names)
    return next((_LEAD_NAMES[name] for name in normal if name in _LEAD_NAMES), "")


def _padding(item: AttributeReader, form: str) -> int | None:
    raw = item.part(_PADDING, 0, np.dtype(form).itemsize)
    return int(np.frombuffer(raw, form)[0]) if len(raw) == np.dtype(form).itemsize else None


def _finite(number: float | None, default: float) -> float:
    return number if number is not None and math.isfinite(number) else default


def _expanded(stored: NDArray[Any], interpretation: str) -> NDArray[np.float64]:
    """Return samples as linear numbers: those of the mu-law and the A-law of ITU-T G.711 are expanded."""
    if interpretation in _LAWS:
        expanded: NDArray[np.float64] = _LAWS[interpretation][stored]
        return expanded
    return stored.astype(np.float64)


def _mu_law() -> NDArray[np.float64]:
    codes = ~np.arange(256) & 0xFF
    magnitude = ((((codes & 0x0F) << 3) + 0x84) << ((codes & 0x70) >> 4)) - 0x84
    return _with_sign(magnitude, codes & 0x80 == 0)


def _a_law() -> NDArray[np.float64]:
    codes = np.arange(256) ^ 0x55
    exponent = (codes & 0x70) >> 4
    mantissa = ((codes & 0x0F) << 4) + 8
    magnitude = np.where(exponent > 0, (mantissa + 0x100) << np.maximum(exponent - 1, 0), mantissa)
    return _with_sign(magnitude, codes & 0x80 != 0)


def _with_sign(magnitude: NDArray[np.int64], is_positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(is_positive, magnitude, -magnitude).astype(np.float64)


_LAWS: Final = {"MB": _mu_law(), "AB": _a_law()}


def _times(count: int, step: float) -> NDArray[np.float64]:
    return np.arange(count, dtype=np.float64) * step


def _extremes(values: Values, size: int) -> Values:
    """Return the least and the greatest value of each period of `size` moments, the earlier one first."""
    missing = -len(values) % size
    if missing:
        values = np.concatenate([values, np.repeat(values[-1:], missing, axis=0)])
    periods = values.reshape(-1, size, values.shape[1])
    least = np.where(np.isnan(periods), np.inf, periods)
    greatest = np.where(np.isnan(periods), -np.inf, periods)
    is_falling = greatest.argmax(axis=1) < least.argmin(axis=1)
    low, high = least.min(axis=1), greatest.max(axis=1)
    low[np.isinf(low)] = np.nan
    high[np.isinf(high)] = np.nan
    both = np.stack([np.where(is_falling, high, low), np.where(is_falling, low, high)], axis=1)
    return both.reshape(-1, values.shape[1]).astype(np.float32)
