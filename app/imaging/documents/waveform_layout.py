"""Waveforms on ECG paper: twelve leads in three rows of four and a rhythm strip; other channels below each other."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.dicom.encoding.attribute_reader import AttributeReader
from app.imaging.documents import value_text
from app.imaging.documents.drawing import Drawing, Grid, Label, Trace
from app.imaging.documents.waveform import MultiplexGroup, multiplex_groups
from app.imaging.documents.waveform_channel import Channel

ROWS: Final = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
RHYTHM: Final = "II"
SPEED: Final = 25.0
"""Millimetres for one second."""
GAIN: Final = 10.0
"""Millimetres for one millivolt."""

_WIDTH: Final = 270.0
_LEFT: Final = 15.0
_PAPER: Final = 250.0
"""The width of the traces: ten seconds."""
_RIGHT: Final = _LEFT + _PAPER
_LEAD_ROW: Final = 30.0
_CHANNEL_ROW: Final = 25.0
_LABEL_BAND: Final = 5.0
"""The top of the row of a channel. No trace is drawn there."""
_BINS_PER_MM: Final = 10
_LINE: Final = 5.0
_LONGEST_LABEL: Final = 120
_SECONDS_OF_LEAD: Final = 2.5

_PATIENT: Final = ((0x00100010, value_text.person), (0x00100020, str), (0x00100030, value_text.date), (0x00100040, str))
_TECHNIQUE: Final = (
    (0x0008002A, value_text.date_time),
    (0x00080070, str),
    (0x00081090, str),
    (0x00081010, str),
)


def waveform_drawing(attributes: AttributeReader, name: str, annotation: frozenset[str]) -> Drawing:
    """Return the drawing of a waveform object. `name` is that of its SOP class.

    The patient is on it only if `annotation` has `patient`. `technique` adds when and with what it was recorded. Raises
    `ImageFailure` if there is nothing to draw.
    """
    groups = multiplex_groups(attributes)
    drawing = Drawing(_WIDTH, 4)
    _line(drawing, name, 4.0, is_bold=True)
    for keyword, shown in (("patient", _PATIENT), ("technique", _TECHNIQUE)):
        if keyword in annotation:
            values = (show(attributes.text(tag)) for tag, show in shown)
            _line(drawing, " · ".join(filter(None, values)))
    for group in groups:
        leads = {channel.lead: number for number, channel in enumerate(group.channels) if channel.lead}
        if all(lead in leads for row in ROWS for lead in row) and _all_voltages(group):
            _draw_leads(drawing, group, leads)
        else:
            _draw_channels(drawing, group)
    drawing.height += 4
    return drawing


def _all_voltages(group: MultiplexGroup) -> bool:
    return all(channel.millivolts for channel in group.channels)


def _line(drawing: Drawing, value: str, size: float = 3.0, *, is_bold: bool = False) -> None:
    drawing.height += _LINE
    shown = value if len(value) <= _LONGEST_LABEL else f"{value[:_LONGEST_LABEL]}…"
    drawing.labels.append(Label(5, drawing.height, shown, size, is_bold))


def _describe(drawing: Drawing, group: MultiplexGroup, *scales: str) -> None:
    """Write the label of a group, its scales, and what of it is not shown."""
    facts = [group.label, *scales, f"{group.frequency:g} Hz", f"{group.seconds:.4g} s"]
    if group.stored_moments > group.moments:
        facts.append(f"the first part of {group.stored_moments / group.frequency:.4g} s")
    if group.stored_channels > len(group.channels):
        facts.append(f"{len(group.channels)} of {group.stored_channels} channels")
    _line(drawing, " · ".join(filter(None, facts)))
    drawing.height += 2


def _draw_leads(drawing: Drawing, group: MultiplexGroup, leads: dict[str, int]) -> None:
    """Draw twelve leads: each column is the next 2.5 s, and the last row is one lead over the whole time.

    A recording that is too short for four columns begins anew in each column.
    """
    group = group.first(_PAPER / SPEED)
    _describe(drawing, group, f"{SPEED:g} mm/s", f"{GAIN:g} mm/mV")
    times, values = group.envelope(_bins(group.seconds * SPEED))
    top = drawing.height
    drawing.grids.append(Grid(_LEFT - 10, top, _RIGHT, top + _LEAD_ROW * (len(ROWS) + 1)))
    is_continuous = group.seconds > 3 * _SECONDS_OF_LEAD
    for row, names in enumerate((*ROWS, (RHYTHM,))):
        middle = top + _LEAD_ROW * (row + 0.5)
        _calibration(drawing, middle)
        seconds = _PAPER / SPEED / len(names)
        for column, lead in enumerate(names):
            left = _LEFT + column * seconds * SPEED
            start = column * seconds if is_continuous else 0.0
            channel = group.channels[leads[lead]]
            during = (times >= start) & (times < start + seconds)
            y = middle - values[during, leads[lead]] * (channel.millivolts or 0) * GAIN
            _trace(drawing, left + (times[during] - start) * SPEED, y, top, top + _LEAD_ROW * (len(ROWS) + 1))
            drawing.labels.append(Label(left + 1, middle - 10, lead, 3.2, True))
    drawing.height = top + _LEAD_ROW * (len(ROWS) + 1) + 2


def _calibration(drawing: Drawing, middle: float) -> None:
    """Draw a pulse of 1 mV and 0.2 s at the left of a row."""
    height, left = GAIN, _LEFT - 9
    points = [(left, 0), (left + 1.5, 0), (left + 1.5, height), (left + 6.5, height), (left + 6.5, 0), (left + 8, 0)]
    drawing.traces.append(Trace(np.array([(x, middle - y) for x, y in points])))


def _draw_channels(drawing: Drawing, group: MultiplexGroup) -> None:
    """Draw each channel in a row of its own, all over the same time, each at the scale that fills its row."""
    speed = SPEED if group.seconds <= _PAPER / SPEED else _PAPER / group.seconds
    _describe(drawing, group, f"{speed:.3g} mm/s")
    times, values = group.envelope(_bins(group.seconds * speed))
    top = drawing.height
    bottom = top + _CHANNEL_ROW * len(group.channels)
    drawing.grids.append(Grid(_LEFT - 10, top, _RIGHT, bottom))
    x = _LEFT + times * speed
    for number, channel in enumerate(group.channels):
        row = top + _CHANNEL_ROW * number
        middle = row + (_LABEL_BAND + _CHANNEL_ROW) / 2
        least, greatest = _range(values[:, number])
        gain = (_CHANNEL_ROW - _LABEL_BAND - 2) / (greatest - least)
        y = middle - (values[:, number].astype(np.float64) - (least + greatest) / 2) * gain
        _trace(drawing, x, y, top, bottom)
        drawing.labels.append(Label(_LEFT - 9, row + 3.8, _channel_label(channel), 2.8, True))
        scale = f"{value_text.number(_rounded(least))} to {value_text.number(_rounded(greatest))} {channel.unit}"
        drawing.labels.append(Label(_RIGHT - 60, row + 3.8, scale, 2.6))
    drawing.height = bottom + 2


def _channel_label(channel: Channel) -> str:
    label = channel.lead or channel.label
    return label if len(label) <= 60 else f"{label[:60]}…"


def _range(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return the least and the greatest value. They differ, also for a channel that is flat or all padding."""
    known = values[~np.isnan(values)].astype(np.float64)
    least, greatest = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    margin = max(abs(least), 1.0) * 1e-6
    return (least, greatest) if greatest - least > margin else (least - 1 - margin, greatest + 1 + margin)


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _bins(width: float) -> int:
    """Return the number of periods that a trace of `width` mm shows."""
    return max(1, int(width * _BINS_PER_MM))


def _trace(drawing: Drawing, x: NDArray[np.float64], y: NDArray[Any], top: float, bottom: float) -> None:
    """Add a trace that stays on its paper."""
    drawing.traces.append(Trace(np.column_stack([x, np.clip(y, top, bottom)])))
