"""Every DICOM file that comes with pydicom: this reader and pydicom agree on it."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pydicom
import pydicom.data
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from app.dicom.encoding.frames import FrameTable, frame_table
from app.dicom.encoding.part10 import Part10, inflated, parse
from app.dicom.encoding.reader import ODD_SEQUENCE
from app.dicom.encoding.transcode import to_explicit_little
from app.dicom.encoding.vr import BULK
from app.dicom.json.bulk_data_texts import without_bulk_data
from app.dicom.json.model import describe
from app.errors import InvalidInstance, NotAcceptable

ROOT = Path(pydicom.data.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*") if path.is_file() and path.suffix in {"", ".dcm"})
REFUSED = {
    "MR_truncated.dcm": r"the value of \(7fe0,0010\) runs past the end",
    "rtplan_truncated.dcm": r"the value of \(300a,00b0\) runs past the end",
    "meta_missing_tsyntax.dcm": "names no transfer syntax",
}
OPAQUE = {"DICOMDIR-nooffset"}  # its only sequence has wrong lengths
NOT_DECODED = {"badVR.dcm"}  # pydicom cannot make an IS of "1A"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(action="ignore"):
        yield
    logging.disable(logging.NOTSET)


def _read(path: Path) -> tuple[bytes, Part10, Dataset]:
    data = path.read_bytes()
    if data[128:132] != b"DICM":
        with pytest.raises(InvalidInstance, match="not a DICOM Part 10 file"):
            parse(data)
        pytest.skip("not a Part 10 file")
    if path.name in OPAQUE:
        assert [rule for rule, _nested in parse(data).oddities.values()] == [ODD_SEQUENCE]
        pytest.skip("opaque")
    if path.name in REFUSED:
        with pytest.raises(InvalidInstance, match=REFUSED[path.name]):
            parse(data)
        pytest.skip("damaged")
    return data, parse(data), pydicom.dcmread(BytesIO(data))


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_elements_equal_those_of_pydicom(path: Path) -> None:
    _data, found, dataset = _read(path)
    assert {element.tag for element in found.elements} == set(dataset.keys())
    for element in found.elements:
        raw = dataset.get_item(element.tag)
        if isinstance(element.value, bytes) and getattr(raw, "is_raw", False):
            assert element.value == (raw.value or b"")
            assert raw.VR in {element.vr, None, "UN"}


def _comparable(value: Any) -> Any:
    """Trailing NULs and absent name groups are where we differ from pydicom on purpose."""
    if isinstance(value, dict):
        return {group: part.rstrip("\0 ") for group, part in value.items() if part} or None
    if isinstance(value, str):
        return value.rstrip("\0 ") or None
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def _compare(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Private attributes of implicit files are UN to us, and pydicom knows many."""
    theirs = {key: entry for key, entry in theirs.items() if entry["vr"] not in BULK and not key.endswith("0000")}
    assert ours.keys() <= theirs.keys()
    assert all(int(key[3], 16) % 2 for key in theirs.keys() - ours.keys())
    for key, entry in ours.items():
        values, expected = entry.get("Value", []), theirs[key].get("Value", [])
        assert entry["vr"] == theirs[key]["vr"]
        if entry["vr"] == "SQ":
            for item, other in zip(values, expected, strict=True):
                _compare(item, other)
        else:
            assert list(map(_comparable, values)) == list(map(_comparable, expected)), key


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_the_json_model_equals_that_of_pydicom(path: Path) -> None:
    _data, found, dataset = _read(path)
    ours = orjson.loads(without_bulk_data(orjson.dumps(describe(found).dataset)))
    if path.name not in NOT_DECODED:
        _compare(ours, dataset.to_json_dict())


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_frames_equal_those_of_pydicom(path: Path) -> None:
    data, found, dataset = _read(path)
    table = frame_table(data, found)
    assert FrameTable.unpack(table.pack()) == table
    if found.pixel_data is None or path.name in {"badVR.dcm", "nested_priv_SQ.dcm"}:
        return
    if table.deflated:
        data = bytes(inflated(data, found.dataset_offset))
    number = int(dataset.get("NumberOfFrames", None) or 1)
    frames = [b"".join(data[at : at + size] for at, size in table.ranges(k + 1)) for k in range(number)]
    pixels = dataset[found.pixel_data.tag].value
    if found.pixel_data.fragments is None:
        assert pixels.startswith(b"".join(frames))
    else:
        assert frames == list(generate_frames(pixels, number_of_frames=number))
    assert table.frames == number


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_transcoding_keeps_the_dataset(path: Path) -> None:
    data, found, before = _read(path)
    try:
        after = pydicom.dcmread(BytesIO(b"".join(to_explicit_little(data, found))))
    except NotAcceptable:
        assert found.transfer_syntax.encapsulated
        return
    assert after.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert [tag for tag in before.keys() if tag.element] == list(after.keys())  # noqa: SIM118 - a dataset's own iterator decodes
    if path.name in NOT_DECODED:
        return
    if found.explicit:
        for tag in after.keys() - {0x7FE00010}:
            assert before[tag] == after[tag]
    if "PixelData" in after and "Rows" in after and after.BitsAllocated > 1:
        assert (before.pixel_array == after.pixel_array).all()
