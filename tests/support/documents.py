"""Factories of objects that are no images: encapsulated documents, videos, reports, waveforms."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from tests.support.instances import encapsulated, make_instance

STORAGE = "1.2.840.10008.5.1.4.1.1."
PDF_STORAGE = STORAGE + "104.1"
CDA_STORAGE = STORAGE + "104.2"
STL_STORAGE = STORAGE + "104.3"
COMPREHENSIVE_SR = STORAGE + "88.33"
KEY_OBJECTS = STORAGE + "88.59"
PRESENTATION_STATE = STORAGE + "11.1"
ECG_STORAGE = STORAGE + "9.1.1"
RTSTRUCT = STORAGE + "481.3"
VIDEO_ENDOSCOPY = STORAGE + "77.1.1.1"
MPEG_2 = "1.2.840.10008.1.2.4.100"
H264 = "1.2.840.10008.1.2.4.102"
HEVC = "1.2.840.10008.1.2.4.107"

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
CDA = b'<?xml version="1.0"?>\n<ClinicalDocument xmlns="urn:hl7-org:v3"><title>Note</title></ClinicalDocument>\n'


def document(content: bytes, sop_class: str = PDF_STORAGE, *, length: int | None = -1, **attributes: Any) -> bytes:
    """Return an encapsulated document. `length` is its Encapsulated Document Length; -1 is the true one."""
    given: dict[str, Any] = {
        "SOPClassUID": sop_class,
        "Modality": "DOC",
        "DocumentTitle": "Document",
        "MIMETypeOfEncapsulatedDocument": "application/pdf",
        "EncapsulatedDocument": content + b"\0" * (len(content) % 2),
        "EncapsulatedDocumentLength": len(content) if length == -1 else length,
        "pixel": False,
    }
    return make_instance(**(given | attributes))


def video(*fragments: bytes, transfer_syntax: str = H264, frames: int = 2, **attributes: Any) -> bytes:
    """Return a video: one stream in one or more fragments."""
    stream = {"SOPClassUID": VIDEO_ENDOSCOPY, "Modality": "ES", "FrameTime": "40", "NumberOfFrames": str(frames)}
    return encapsulated([fragments], table="none", transfer_syntax=transfer_syntax, **(stream | attributes))


def dataset(**attributes: Any) -> Dataset:
    """Return a dataset. A list of datasets is a sequence."""
    made = Dataset()
    for keyword, value in attributes.items():
        is_sequence = isinstance(value, list) and all(isinstance(each, Dataset) for each in value)
        setattr(made, keyword, Items(value) if is_sequence else value)
    return made


def code(meaning: str, value: str = "121071", scheme: str = "DCM") -> Dataset:
    """Return the item of a code sequence."""
    return dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def content_item(
    value_type: str, name: str = "", *children: Dataset, relationship: str = "CONTAINS", **attributes: Any
) -> Dataset:
    """Return a content item of a report."""
    made = dataset(RelationshipType=relationship, ValueType=value_type, **attributes)
    if name:
        made.ConceptNameCodeSequence = Items([code(name)])
    if children:
        made.ContentSequence = Items(children)
    return made


def measurement(name: str, value: str, unit: str, meaning: str) -> Dataset:
    """Return a content item of a number with a unit."""
    measured = dataset(NumericValue=value, MeasurementUnitsCodeSequence=[code(meaning, unit, "UCUM")])
    return content_item("NUM", name, MeasuredValueSequence=[measured])


def reference(instance: str, sop_class: str = STORAGE + "2", **attributes: Any) -> Dataset:
    """Return the item of a sequence of referenced instances."""
    return dataset(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=instance, **attributes)


def evidence(study: str, series: str, *instances: str) -> Dataset:
    """Return the item that says where referenced instances are."""
    referenced = dataset(SeriesInstanceUID=series, ReferencedSOPSequence=[reference(each) for each in instances])
    return dataset(StudyInstanceUID=study, ReferencedSeriesSequence=[referenced])


def report(*content: Dataset, title: str = "Report", **attributes: Any) -> bytes:
    """Return a structured report with this content."""
    given: dict[str, Any] = {
        "SOPClassUID": COMPREHENSIVE_SR,
        "Modality": "SR",
        "ValueType": "CONTAINER",
        "ConceptNameCodeSequence": Items([code(title)]),
        "ContinuityOfContent": "SEPARATE",
        "CompletionFlag": "COMPLETE",
        "VerificationFlag": "UNVERIFIED",
        "ContentSequence": Items(content),
        "pixel": False,
    }
    return make_instance(**(given | attributes))


def channel(label: str, lead: str = "", **attributes: Any) -> Dataset:
    """Return a channel definition in microvolt. `lead` is the MDC code of the channel source."""
    given: dict[str, Any] = {
        "ChannelLabel": label,
        "ChannelSourceSequence": [code("Source", lead or "SOURCE", "MDC" if lead else "99SOURCE")],
        "ChannelSensitivity": "1",
        "ChannelSensitivityUnitsSequence": [code("microvolt", "uV", "UCUM")],
        "ChannelSensitivityCorrectionFactor": "1",
        "ChannelBaseline": "0",
        "WaveformBitsStored": 16,
    }
    return dataset(**(given | attributes))


def multiplex_group(samples: Sequence[Sequence[int]], channels: Sequence[Dataset], **attributes: Any) -> Dataset:
    """Return a multiplex group of 16-bit samples at 500 Hz. `samples` has a list for each channel."""
    moments = list(zip(*samples, strict=True))
    given: dict[str, Any] = {
        "WaveformOriginality": "ORIGINAL",
        "NumberOfWaveformChannels": len(channels),
        "NumberOfWaveformSamples": len(moments),
        "SamplingFrequency": "500",
        "ChannelDefinitionSequence": list(channels),
        "WaveformBitsAllocated": 16,
        "WaveformSampleInterpretation": "SS",
        "WaveformData": b"".join(struct.pack(f"<{len(each)}h", *each) for each in moments),
    }
    made = dataset(**(given | attributes))
    for keyword in ("WaveformData", "WaveformPaddingValue"):
        if keyword in made:
            made[keyword].VR = "OB" if made.WaveformBitsAllocated == 8 else "OW"
    return made


def waveform(*groups: Dataset, **attributes: Any) -> bytes:
    """Return a waveform object with these multiplex groups."""
    given = {"SOPClassUID": ECG_STORAGE, "Modality": "ECG", "WaveformSequence": Items(groups), "pixel": False}
    return make_instance(**(given | attributes))
