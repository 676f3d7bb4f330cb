"""Factories of instances as Part 10 bytes. By default an instance is valid and small.

Each factory takes attributes by pydicom keyword: `PatientAge="030Y"`. None leaves the attribute out. A text that breaks
its VR is written unchanged. Bytes are written as the raw value. A pydicom `DataElement` replaces the whole element.
"""

from __future__ import annotations

import random
import struct
import uuid
import warnings
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any

from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.tag import Tag
from pydicom.uid import UID

from tests.support.ct_attributes import CT_ATTRIBUTES

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"

CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MULTIFRAME_STORAGE = "1.2.840.10008.5.1.4.1.1.7.3"  # Multi-frame Grayscale Word Secondary Capture
PREAMBLE = b"\0" * 128


def uid() -> str:
    """Return a new UID under 2.25."""
    return f"2.25.{uuid.uuid4().int}"


def make_instance(
    *,
    study: Any = None,
    series: Any = None,
    instance: Any = None,
    patient_id: Any = "P1",
    patient_name: Any = "Doe^Jane",
    modality: Any = "CT",
    study_date: Any = "20240115",
    rows: Any = 4,
    columns: Any = 4,
    frames: Any = 1,
    transfer_syntax: Any = EXPLICIT_LITTLE,
    pixel: Any = True,
    extra: Any = (),
    preamble: Any = PREAMBLE,
    **overrides: Any,
) -> bytes:
    """Return one instance as Part 10 bytes: 16-bit grayscale, frame k (from 0) holds the pixels of `frame(k, …)`.

    Missing UIDs are new ones. `pixel=False` leaves the image out. `pixel=b"…"` is the value of the pixel data; for an
    encapsulated syntax these are the items without the closing delimiter. `extra` adds elements, e.g. private ones.

    Parameters are of type Any, so that tests can pass attributes as `**dict[str, str]`.
    """
    attributes: dict[str, Any] = {
        "SOPClassUID": CT_STORAGE if frames == 1 else MULTIFRAME_STORAGE,
        "SOPInstanceUID": instance or uid(),
        "StudyInstanceUID": study or uid(),
        "SeriesInstanceUID": series or uid(),
        "PatientID": patient_id,
        "PatientName": patient_name,
        "Modality": modality,
        "StudyDate": study_date,
        "SeriesNumber": "1",
        "InstanceNumber": "1",
    }
    if pixel is not False:
        attributes |= _IMAGE | {"Rows": rows, "Columns": columns}
        if frames > 1:
            attributes["NumberOfFrames"] = str(frames)
        attributes["PixelData"] = (
            pixel if pixel is not True else b"".join(frame(k, rows, columns) for k in range(frames))
        )
    return _write(attributes | overrides, extra, transfer_syntax, preamble)


def ct(
    *,
    study: str | None = None,
    series: str | None = None,
    instance: str | None = None,
    rows: int = 512,
    columns: int = 512,
    **attributes: Any,
) -> bytes:
    """Return a CT slice as a scanner writes it: about 140 elements, with sequences and private elements."""
    return make_instance(
        study=study,
        series=series,
        instance=instance,
        rows=rows,
        columns=columns,
        **(CT_ATTRIBUTES | {"extra": _ct_elements(), "SliceLocation": "-12.5"} | attributes),
    )


def multiframe(frames: int, *, rows: int = 512, columns: int = 512, **attributes: Any) -> bytes:
    """Return an uncompressed multi-frame image of `frames` * `rows` * `columns` * 2 bytes."""
    return make_instance(frames=frames, rows=rows, columns=columns, **attributes)


def encapsulated(
    frames: Sequence[Sequence[bytes]],
    *,
    table: str = "basic",
    transfer_syntax: str = JPEG_BASELINE,
    **attributes: Any,
) -> bytes:
    """Return a compressed image. Each frame is a list of fragments. Nothing decodes them, so any bytes are allowed.

    `table` is "basic" (offsets in the first item), "extended" ((7FE0,0001) and (7FE0,0002)) or "none".
    """
    padded = [[fragment + b"\0" * (len(fragment) % 2) for fragment in fragments] for fragments in frames]
    offsets, position = [], 0
    for fragments in padded:
        offsets.append(position)
        position += sum(8 + len(fragment) for fragment in fragments)
    items = [struct.pack(f"<{len(offsets)}I", *offsets) if table == "basic" else b""]
    items += [fragment for fragments in padded for fragment in fragments]
    pixel = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item for item in items)
    if table == "extended":
        lengths = [sum(map(len, fragments)) for fragments in frames]
        attributes |= {
            "ExtendedOffsetTable": struct.pack(f"<{len(offsets)}Q", *offsets),
            "ExtendedOffsetTableLengths": struct.pack(f"<{len(lengths)}Q", *lengths),
        }
    number = {"NumberOfFrames": str(len(frames))} if len(frames) > 1 else {}
    return make_instance(transfer_syntax=transfer_syntax, pixel=pixel, **(number | attributes))


def frame(number: int, rows: int, columns: int) -> bytes:
    """Return the pixels of frame `number` (from 0): random bytes, the same at every call."""
    return random.Random(number).randbytes(rows * columns * 2)


def read(instance: bytes) -> Dataset:
    """Return the dataset that pydicom reads from the bytes."""
    from pydicom import dcmread

    return dcmread(BytesIO(instance), force=True)


_IMAGE: dict[str, Any] = {
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
}


def _ct_elements() -> list[DataElement]:
    """Return the sequences and the private elements of a CT slice."""
    code = {"CodeValue": "CTCHEST", "CodingSchemeDesignator": "99ACME", "CodeMeaning": "CT of the chest"}
    return [
        DataElement(
            0x00081140, "SQ", [_dataset({"ReferencedSOPClassUID": CT_STORAGE, "ReferencedSOPInstanceUID": "2.25.79"})]
        ),
        DataElement(0x00081032, "SQ", [_dataset(code)]),
        DataElement(0x00400260, "SQ", [_dataset(code)]),
        DataElement(
            0x00400275,
            "SQ",
            [
                _dataset(
                    {"RequestedProcedureID": "RP1", "ScheduledProcedureStepID": "SPS1", "AccessionNumber": "A-1000"}
                )
            ],
        ),
        DataElement(0x00090010, "LO", "ACME CT HEADER"),
        DataElement(0x00091001, "LO", "reconstruction 7"),
        DataElement(0x00091002, "SL", [1, -2, 3]),
        DataElement(0x00091003, "DS", ["0.5", "1.5"]),
        DataElement(0x00091004, "OB", b"\x01\x02\x03\x04" * 64),
        DataElement(0x00091005, "UN", b"opaque"),
        DataElement(0x00091006, "FD", 3.25),
    ]


def _dataset(attributes: dict[str, Any]) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        if value is not None:
            _set(dataset, keyword, value)
    return dataset


def _set(dataset: Dataset, keyword: str, value: Any) -> None:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise TypeError(f"no attribute is called {keyword}")
    vr = {"US or SS": "US", "OB or OW": "OW", "US or OW": "US"}.get(dictionary_VR(tag), dictionary_VR(tag))
    if isinstance(value, DataElement):
        dataset[tag] = value
        return
    if isinstance(value, Dataset):
        value = [value]
    if not isinstance(value, bytes):
        try:
            dataset[tag] = DataElement(tag, vr, value, validation_mode=config.IGNORE)
        except (ValueError, TypeError, OverflowError):
            value = "\\".join(value if isinstance(value, list) else [str(value)]).encode()
        else:
            return
    padding = b"\0" if vr in {"OB", "UI", "UN"} else b" "
    value += padding * (len(value) % 2)
    if tag == 0x7FE00010:
        dataset.add(DataElement(tag, vr, value))
        return
    dataset[tag] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)


def _write(attributes: dict[str, Any], extra: Iterable[DataElement], transfer_syntax: str, preamble: bytes) -> bytes:
    mode = config.settings.writing_validation_mode
    config.settings.writing_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings(action="ignore"):
            dataset = _dataset(attributes)
            for element in extra:
                dataset.add(element)
            return _encode(dataset, UID(transfer_syntax), preamble)
    finally:
        config.settings.writing_validation_mode = mode


def _encode(dataset: Dataset, syntax: UID, preamble: bytes) -> bytes:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = UID(CT_STORAGE)
    meta.MediaStorageSOPInstanceUID = UID("2.25.1")
    for target, source in (
        ("MediaStorageSOPClassUID", "SOPClassUID"),
        ("MediaStorageSOPInstanceUID", "SOPInstanceUID"),
    ):
        value = dataset.get_item(source) if source in dataset else None
        if value is not None and isinstance(value.value, str) and value.value:
            setattr(meta, target, value.value)
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = UID("2.25.80")
    if syntax.is_compressed and syntax != DEFLATED_LITTLE and "PixelData" in dataset:
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    dataset.file_meta = meta
    dataset.preamble = preamble
    buffer = BytesIO()
    dcmwrite(
        buffer,
        dataset,
        enforce_file_format=True,
        implicit_vr=syntax == IMPLICIT_LITTLE,
        little_endian=syntax != EXPLICIT_BIG,
    )
    return buffer.getvalue()
