"""The samples of waveforms in their units, read in blocks (PS3.3 C.10.9)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.dicom.encoding.attribute_reader import AttributeReader
from app.errors import ImageFailure
from app.imaging.documents.companding import linear
from app.imaging.documents.waveform_channel import Channel

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
        numbers = linear(stored, self.interpretation)
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
    definitions = [Channel.of(each, number) for number, each in _numbered(item)]
    stored = item.integer(_CHANNELS, len(definitions))
    if not 1 <= stored <= _LONGEST_MOMENT:
        raise ImageFailure(f"The waveform has {stored} channels.")
    shown = min(stored, MAX_CHANNELS)
    channels = [*definitions[:shown], *(Channel.unknown(number) for number in range(len(definitions) + 1, shown + 1))]
    moments = item.length(_DATA) // (bits // 8 * stored)
    moments = min(moments, max(0, item.integer(_SAMPLES, moments)))
    if not moments:
        raise ImageFailure("The waveform has no samples.")
    return MultiplexGroup(
        label=item.text(_GROUP_LABEL),
        channels=tuple(channels),
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


def _padding(item: AttributeReader, form: str) -> int | None:
    raw = item.part(_PADDING, 0, np.dtype(form).itemsize)
    return int(np.frombuffer(raw, form)[0]) if len(raw) == np.dtype(form).itemsize else None


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
