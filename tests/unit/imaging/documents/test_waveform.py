"""Samples of waveforms in their units, and the drawing of them."""

from __future__ import annotations

import math
import re
import struct
import tracemalloc
import xml.etree.ElementTree as ET
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.waveforms.numpy_handler import multiplex_array

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.part10 import parse
from app.errors import ImageFailure
from app.imaging.documents import drawing_picture
from app.imaging.documents import waveform as waveform_module
from app.imaging.documents.drawing import Drawing, Trace
from app.imaging.documents.drawing_picture import picture
from app.imaging.documents.waveform import MultiplexGroup, multiplex_groups
from app.imaging.documents.waveform_layout import waveform_drawing
from tests.support.documents import channel, code, multiplex_group, waveform

ECG = Path(pydicom.data.__file__).parent / "test_files" / "waveform_ecg.dcm"
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
NOBODY: frozenset[str] = frozenset()


def groups(data: bytes) -> list[MultiplexGroup]:
    return multiplex_groups(AttributeReader.of(data, parse(data)))


def group(*samples: list[int], **attributes: Any) -> MultiplexGroup:
    channels = attributes.pop("channels", None) or [channel(f"C{number}") for number in range(len(samples))]
    (found,) = groups(waveform(multiplex_group(samples, channels, **attributes)))
    return found


def drawn(*made: Dataset, annotation: frozenset[str] = NOBODY, **attributes: Any) -> Drawing:
    data = waveform(*made, **attributes)
    return waveform_drawing(AttributeReader.of(data, parse(data)), "12-lead ECG Waveform", annotation)


def labels(drawing: Drawing) -> list[str]:
    return [label.value for label in drawing.labels]


def twelve_leads(seconds: float = 10, **attributes: Any) -> Dataset:
    """Return the twelve leads. Lead number n, from 0, is constant at n * 100 microvolt."""
    samples = [[number * 100] * int(seconds * 500) for number in range(12)]
    return multiplex_group(samples, [channel(name) for name in LEADS], **attributes)


@pytest.mark.parametrize("number", [0, 1])
def test_the_samples_of_a_real_ecg_are_those_that_pydicom_reads(number: int) -> None:
    data = ECG.read_bytes()
    found = groups(data)[number]
    expected = multiplex_array(dcmread(ECG), number, as_raw=False)
    assert np.allclose(found.values(0, found.moments), expected, rtol=1e-5)
    assert tuple(each.lead for each in found.channels) == LEADS
    assert found.frequency == 1000


@pytest.mark.parametrize(
    ("interpretation", "bits", "raw", "values"),
    [
        ("SB", 8, b"\xff\x7f", [-1, 127]),
        ("UB", 8, b"\xff\x7f", [255, 127]),
        ("MB", 8, b"\x00\x80\xff\x7f", [-32124, 32124, 0, 0]),
        ("AB", 8, b"\xd5\x55\xaa\x2a", [8, -8, 32256, -32256]),
        ("SS", 16, struct.pack("<2h", -2, 300), [-2, 300]),
        ("US", 16, struct.pack("<2H", 65535, 300), [65535, 300]),
        ("SL", 32, struct.pack("<2i", -70000, 1), [-70000, 1]),
        ("UL", 32, struct.pack("<I", 1 << 31), [1 << 31]),
        ("SV", 64, struct.pack("<q", -5), [-5]),
        ("UV", 64, struct.pack("<Q", 5), [5]),
    ],
)
def test_each_sample_interpretation(interpretation: str, bits: int, raw: bytes, values: list[float]) -> None:
    made = multiplex_group(
        [[0]],
        [channel("A")],
        WaveformBitsAllocated=bits,
        WaveformSampleInterpretation=interpretation,
        NumberOfWaveformSamples=len(values),
        WaveformData=raw,
    )
    (found,) = groups(waveform(made))
    assert found.values(0, found.moments)[:, 0].tolist() == values


def test_samples_are_scaled_and_padding_is_no_value() -> None:
    definition = channel("A", ChannelSensitivity="2.5", ChannelSensitivityCorrectionFactor="0.5", ChannelBaseline="-10")
    found = group([0, 4, -32768, 8], channels=[definition], WaveformPaddingValue=struct.pack("<h", -32768))
    values = found.values(0, 4)[:, 0]
    assert values[[0, 1, 3]].tolist() == [-10, -5, 0]
    assert math.isnan(values[2])


def test_a_big_endian_file_has_the_same_samples() -> None:
    words = struct.pack(">6h", 1, 4, -2, 5, 300, 6)
    made = multiplex_group([[0] * 3] * 2, [channel("A"), channel("B")], WaveformData=words)
    (found,) = groups(waveform(made, transfer_syntax="1.2.840.10008.1.2.2"))
    assert found.values(0, 3).T.tolist() == [[1, -2, 300], [4, 5, 6]]


@pytest.mark.parametrize(
    ("source", "label", "lead"),
    [
        (code("Lead aVR", "2:62", "MDC"), "x", "aVR"),
        (code("V6", "5.6.3-9-8", "SCPECG"), "", "V6"),
        (code("anything", "99", "99X"), "Lead II", "II"),
        (code("Lead v3", "99", "99X"), "x", "V3"),
        (code("chest", "99", "99X"), "avf", "aVF"),
        (code("Pleth", "2:300", "MDC"), "Pleth", ""),
        (None, "I", "I"),
        (None, "IV", ""),
    ],
)
def test_a_standard_lead_is_known_by_its_code_or_its_label(source: Dataset | None, label: str, lead: str) -> None:
    definition = channel(label, ChannelSourceSequence=[source] if source else [])
    assert group([1, 2], channels=[definition]).channels[0].lead == lead


@pytest.mark.parametrize(("count", "bins"), [(10, 10), (20, 10), (1000, 10), (1003, 10), (7, 3), (1, 5)])
def test_the_envelope_keeps_every_peak(count: int, bins: int) -> None:
    generator = np.random.default_rng(count)
    samples = generator.integers(-1000, 1000, count).tolist()
    times, values = group(samples).envelope(bins)
    assert len(values) == len(times) <= 2 * bins + 2
    assert (values.min(), values.max()) == (min(samples), max(samples))
    assert times[-1] <= count / 500


def test_the_envelope_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = group(np.random.default_rng(1).integers(-1000, 1000, 5003).tolist(), [3] * 5003)
    whole = found.envelope(100)[1]
    monkeypatch.setattr(waveform_module, "_BLOCK_VALUES", 400)
    assert np.array_equal(found.envelope(100)[1], whole)


def test_an_envelope_of_padding_alone_has_no_value() -> None:
    found = group([7] * 100, WaveformPaddingValue=struct.pack("<h", 7))
    assert np.isnan(found.envelope(10)[1]).all()


def test_twelve_leads_are_drawn_on_paper_at_the_usual_scale() -> None:
    drawing = drawn(twelve_leads())
    shown = labels(drawing)
    assert shown[:2] == ["12-lead ECG Waveform", "25 mm/s · 10 mm/mV · 500 Hz · 10 s"]
    assert shown[2:] == ["I", "aVR", "V1", "V4", "II", "aVL", "V2", "V5", "III", "aVF", "V3", "V6", "II"]
    (grid,) = drawing.grids
    assert (grid.right - grid.left, grid.bottom - grid.top) == (260, 120)
    calibration, lead_i, lead_avr, *_ = (trace.points for trace in drawing.traces)
    assert np.ptp(calibration[:, 1]) == 10
    middle = grid.top + 15
    assert np.allclose(lead_i[:, 1], middle)
    assert np.allclose(lead_avr[:, 1], middle - 3), "300 microvolt are 3 mm"
    assert lead_avr[0, 0] == pytest.approx(15 + 62.5)
    assert np.ptp(lead_avr[:, 0]) == pytest.approx(62.5, abs=0.2)
    rhythm = drawing.traces[-1].points
    assert np.ptp(rhythm[:, 0]) == pytest.approx(250, abs=0.2)


def test_a_short_recording_begins_anew_in_each_column() -> None:
    drawing = drawn(twelve_leads(1.2))
    starts = {round(float(trace.points[0, 0]), 1) for trace in drawing.traces if len(trace.points) > 10}
    assert starts == {15.0, 77.5, 140.0, 202.5}


def test_a_long_recording_of_twelve_leads_shows_ten_seconds_and_says_so() -> None:
    drawing = drawn(twelve_leads(60))
    assert "10 s · the first part of 60 s" in labels(drawing)[1]
    assert sum(len(trace.points) for trace in drawing.traces) < 60_000


def test_other_channels_are_drawn_below_each_other_at_their_own_scale() -> None:
    samples = [[0, 1000] * 300, [5] * 600]
    unit: dict[str, Any] = {"ChannelSensitivityUnitsSequence": [code("millimeter of mercury", "mm[Hg]", "UCUM")]}
    drawing = drawn(multiplex_group(samples, [channel("Aorta", **unit), channel("Flat", **unit)]))
    assert labels(drawing)[2:] == ["Aorta", "0 to 1000 mm[Hg]", "Flat", "4 to 6 mm[Hg]"]
    first, second = drawing.traces
    assert np.ptp(first.points[:, 1]) == pytest.approx(18)
    assert np.ptp(second.points[:, 1]) == 0
    assert (first.points[:, 1] < second.points[:, 1].min()).all()


def test_the_patient_is_drawn_only_if_asked_for() -> None:
    given: dict[str, Any] = {"patient_name": "Roe^Richard", "patient_id": "P77", "AcquisitionDateTime": "20240131"}
    assert "Roe" not in " ".join(labels(drawn(twelve_leads(), **given)))
    assert "Roe, Richard · P77" in labels(drawn(twelve_leads(), annotation=frozenset({"patient"}), **given))
    technique = labels(drawn(twelve_leads(), annotation=frozenset({"technique"}), **given))
    assert "2024-01-31" in technique
    assert "Roe" not in " ".join(technique)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_svg_is_well_formed_whatever_the_labels_are() -> None:
    hostile = "</text><script>alert(1)</script>\x00&"
    drawing = drawn(
        multiplex_group([[1, 2, 3]], [channel(hostile)], MultiplexGroupLabel="<b>\x1b"),
        annotation=frozenset({"patient"}),
        patient_name="<i>^x",
    )
    root = ET.fromstring(drawing.svg())
    assert {element.tag.partition("}")[2] for element in root.iter()} == {"svg", "rect", "path", "g", "text"}
    texts = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any("<script>" in each for each in texts)
    allowed = {"d", "fill", "stroke", "stroke-width", "stroke-linejoin", "stroke-linecap", "width", "height", "x", "y"}
    allowed |= {"transform", "viewBox", "font-family", "font-size", "font-weight"}
    assert {name for element in root.iter() for name in element.attrib} <= allowed


def test_the_svg_of_a_real_ecg_draws_its_grid_and_each_lead() -> None:
    data = ECG.read_bytes()
    drawing = waveform_drawing(AttributeReader.of(data, parse(data)), "12-lead ECG Waveform", NOBODY)
    svg = drawing.svg().decode()
    assert ET.fromstring(svg).attrib["width"] == "270mm"
    (path,) = re.findall(r'scale\(0\.01\)" d="([^"]*)"', svg)
    lines = [
        np.cumsum(np.array(line.replace("l", " ").split(), int).reshape(-1, 2), axis=0) / 100
        for line in path.split("M")[1:]
    ]
    assert len(lines) == len(drawing.traces) == 34
    for line, trace in zip(lines, drawing.traces, strict=True):
        assert np.allclose(line[[0, -1]], trace.points[[0, -1]], atol=0.006), "rounding does not add up"
    assert len(svg) < 250_000


@pytest.mark.parametrize(("media_type", "kind"), [("image/png", "PNG"), ("image/jpeg", "JPEG")])
def test_a_picture_shows_the_traces_and_fits_into_its_viewport(media_type: str, kind: str) -> None:
    drawing = drawn(twelve_leads())
    for width, height, expected in ((None, None, 2160), (540, 4000, 540), (5000, 100, 190)):
        with Image.open(BytesIO(picture(drawing, media_type, width=width, height=height))) as image:
            assert image.format == kind
            assert image.width == pytest.approx(expected, abs=12)
    with Image.open(BytesIO(picture(drawing, media_type))) as image:
        pixels = np.asarray(image.convert("L"))
    row = pixels[round((drawing.grids[0].top + 15) * image.height / drawing.height) - 3 :][:7]
    assert (row < 100).any(axis=0).mean() > 0.2, "lead I is a line over a quarter of the paper"


def test_a_very_tall_drawing_has_fewer_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing_picture, "_MAX_PIXELS", 100_000)
    drawing = drawn(multiplex_group([[1, 2]] * 64, [channel(f"C{number}") for number in range(64)]))
    with Image.open(BytesIO(picture(drawing, "image/png"))) as image:
        assert image.width * image.height <= 26_000


def test_a_broken_line_is_drawn_in_pieces() -> None:
    points = np.array([[0, 1], [1, 1], [2, math.nan], [3, 1], [4, math.nan], [5, 2], [6, 2]])
    assert [len(piece) for piece in Trace(points).pieces()] == [2, 1, 2]


def test_many_channels_and_groups_are_bounded_and_counted() -> None:
    made = multiplex_group([[1, 2]] * 70, [channel(f"C{number}") for number in range(70)])
    drawing = drawn(*[made] * 10)
    assert len(drawing.grids) == 8
    assert "64 of 70 channels" in labels(drawing)[1]


def test_a_long_recording_is_read_in_blocks() -> None:
    """Six million samples need a fraction of their own memory."""
    count = 3_000_000
    made = multiplex_group(
        [[0]],
        [channel("A"), channel("B")],
        NumberOfWaveformChannels=2,
        NumberOfWaveformSamples=count,
        WaveformData=bytes(count * 4),
    )
    data = waveform(made)
    attributes = AttributeReader.of(data, parse(data))
    tracemalloc.start()
    try:
        drawing = waveform_drawing(attributes, "x", NOBODY)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000
    assert sum(len(trace.points) for trace in drawing.traces) < 12_000


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"SamplingFrequency": None}, "Sampling Frequency"),
        ({"SamplingFrequency": "0"}, "Sampling Frequency"),
        ({"SamplingFrequency": "-5"}, "Sampling Frequency"),
        ({"WaveformBitsAllocated": 12}, "samples of 12 bits"),
        ({"WaveformSampleInterpretation": "XX"}, "'XX'"),
        ({"WaveformSampleInterpretation": "SB"}, "samples of 16 bits that are 'SB'"),
        ({"NumberOfWaveformChannels": 0}, "0 channels"),
        ({"NumberOfWaveformChannels": 60000}, "no samples"),
        ({"NumberOfWaveformSamples": 0}, "no samples"),
        ({"WaveformData": b""}, "no samples"),
    ],
)
def test_a_waveform_that_cannot_be_drawn_says_why(attributes: dict[str, Any], reason: str) -> None:
    made = multiplex_group([[1, 2, 3]], [channel("A")])
    for keyword, value in attributes.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    with pytest.raises(ImageFailure, match=re.escape(reason)):
        drawn(made)


def test_without_a_sequence_there_is_no_waveform() -> None:
    with pytest.raises(ImageFailure, match="no Waveform Sequence"):
        drawn()


TEXTS = st.sampled_from(["1", "0", "-1", "1e308", "-1e308", "1e-308", "nan", "inf", "", "x", "9" * 16])


@given(
    sensitivity=TEXTS,
    baseline=TEXTS,
    frequency=TEXTS,
    channels=st.sampled_from([0, 1, 2, 3, 65535]),
    samples=st.sampled_from([0, 1, 5, 4294967295]),
    data=st.binary(max_size=40),
    bits=st.sampled_from([8, 16, 32, 64]),
    interpretation=st.sampled_from(["SB", "MB", "AB", "SS", "US", "SL", "SV", "UV", ""]),
)
@settings(max_examples=60)
def test_any_combination_of_values_gives_a_drawing_or_a_reason(
    sensitivity: str,
    baseline: str,
    frequency: str,
    channels: int,
    samples: int,
    data: bytes,
    bits: int,
    interpretation: str,
) -> None:
    raw = {"ChannelSensitivity": sensitivity, "ChannelBaseline": baseline, "SamplingFrequency": frequency}
    made = multiplex_group(
        [[1]],
        [channel("A")],
        NumberOfWaveformChannels=channels,
        NumberOfWaveformSamples=samples,
        WaveformData=data + b"\0" * (len(data) % 2),
        WaveformBitsAllocated=bits,
        WaveformSampleInterpretation=interpretation,
    )
    encoded = waveform(made)
    for keyword, tag in (("ChannelSensitivity", b"\x3a\0\x10\x02DS"), ("SamplingFrequency", b"\x3a\0\x1a\0DS")):
        encoded = _replaced(encoded, tag, raw[keyword].encode())
    encoded = _replaced(encoded, b"\x3a\0\x13\x02DS", raw["ChannelBaseline"].encode())
    try:
        drawing = waveform_drawing(AttributeReader.of(encoded, parse(encoded)), "x", NOBODY)
    except ImageFailure:
        return
    ET.fromstring(drawing.svg())


def _replaced(encoded: bytes, header: bytes, value: bytes) -> bytes:
    """Return the file with another value of the same length at a header, cut or padded."""
    place = encoded.index(header) + 6
    length = int.from_bytes(encoded[place : place + 2], "little")
    return encoded[: place + 2] + value.ljust(length)[:length] + encoded[place + 2 + length :]
