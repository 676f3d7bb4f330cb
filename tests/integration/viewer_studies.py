"""Studies of every kind that OHIF shows: one study of each kind, its name is the Study Description."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.encoders.base import RLELosslessEncoder

from tests.integration.slides import slide
from tests.support.documents import (
    STORAGE,
    VIDEO_ENDOSCOPY,
    channel,
    dataset,
    document,
    measurement,
    multiplex_group,
    report,
    video,
    waveform,
)
from tests.support.h264 import grey_stream
from tests.support.instances import CT_STORAGE, encapsulated, make_instance, read, uid
from tests.support.pictures import SECONDARY_CAPTURE

Samples = NDArray[Any]

SIZE: Final = 128
"""Rows and columns of the pictures."""
SLICES: Final = 40
JPEG: Final = "1.2.840.10008.1.2.4.50"
JPEG_OF_12_BITS: Final = "1.2.840.10008.1.2.4.51"
JPEG_LS: Final = "1.2.840.10008.1.2.4.80"
JPEG_2000: Final = "1.2.840.10008.1.2.4.90"
HIGH_THROUGHPUT: Final = "1.2.840.10008.1.2.4.201"
RLE: Final = "1.2.840.10008.1.2.5"
VIDEO_SIDE: Final = 64
"""Rows and columns of the video."""
SEGMENTATION: Final = STORAGE + "66.4"

PDF: Final = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>endobj\n"
    b"4 0 obj<</Length 47>>stream\nBT /F1 24 Tf 40 100 Td (Report of the CT) Tj ET\nendstream endobj\n"
    b"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\n"
    b"% " + b"longer than what is inline in metadata " * 20 + b"\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)
"""A page of 300 x 200 points."""


def body(position: float = 0.5) -> Samples:
    """Return a slice of 12 bits: a bright ellipse, with a dark hole at the top left and a white spot at the right.

    `position` from 0 to 1 is where the slice is. The hole grows with it.
    """
    down, across = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    picture = np.where((across / 0.45) ** 2 + (down / 0.35) ** 2 < 1, 1500 + 800 * (down + 0.5), 100)
    picture[(across + 0.18) ** 2 + (down + 0.12) ** 2 < (0.04 + 0.08 * position) ** 2] = 300
    picture[(across - 0.25) ** 2 + down**2 < 0.05**2] = 4000
    return picture.astype("<u2")


def colours() -> Samples:
    """Return a picture in RGB: red, green, blue and yellow quarters, in the order of reading."""
    half = SIZE // 2
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    picture[:half, :half] = (220, 30, 30)
    picture[:half, half:] = (30, 200, 30)
    picture[half:, :half] = (30, 30, 220)
    picture[half:, half:] = (220, 220, 30)
    return picture


def studies() -> dict[str, list[bytes]]:
    """Return the files of each study by its name."""
    made = {name: make(_common(name)) for name, make in _STUDIES.items()}
    made["Slide"] = slide()
    return made


def two_copies() -> list[bytes]:
    """Return two files with the same UIDs. The hole of the first picture is small, that of the second is large."""
    common = _common("Shared") | {"instance": uid()}
    return [make_instance(**_image(**common, pixel=body(position).tobytes())) for position in (0, 1)]


def study_uid(files: list[bytes]) -> str:
    """Return the Study Instance UID of the files."""
    return str(read(files[0]).StudyInstanceUID)


def _common(name: str) -> dict[str, Any]:
    return {
        "study": uid(),
        "series": uid(),
        "StudyDescription": name,
        "SeriesDescription": name,
        "patient_name": name.replace(" ", "^"),
        "patient_id": name[:16],
        "StudyTime": "101500",
        "AccessionNumber": "",
    }


def _image(**attributes: Any) -> dict[str, Any]:
    """Return the attributes of a CT slice, whose window shows all values of `body`."""
    plane = {
        "rows": SIZE,
        "columns": SIZE,
        "PixelSpacing": ["2", "2"],
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
        "ImagePositionPatient": ["-128", "-128", "0"],
        "SliceThickness": "2",
        "WindowCenter": "2048",
        "WindowWidth": "4096",
        "RescaleSlope": "1",
        "RescaleIntercept": "0",
        "BitsStored": 12,
        "HighBit": 11,
        "SOPClassUID": CT_STORAGE,
        "InstanceNumber": "1",
    }
    return plane | attributes


def series_of_slices(common: Mapping[str, Any], count: int = SLICES, repeat: int = 1) -> list[bytes]:
    """Return an uncompressed CT series. Each pixel is repeated `repeat` times across and down."""
    frame_of_reference = uid()
    files = []
    for number in range(count):
        samples = np.kron(body(number / count), np.ones((repeat, repeat), "<u2"))
        place = {
            "rows": SIZE * repeat,
            "columns": SIZE * repeat,
            "PixelSpacing": [str(2 / repeat)] * 2,
            "ImagePositionPatient": ["-128", "-128", str(2 * number)],
            "InstanceNumber": str(number + 1),
            "FrameOfReferenceUID": frame_of_reference,
            "pixel": samples.astype("<u2").tobytes(),
        }
        files.append(make_instance(**(_image(**common) | place)))
    return files


def _ct_with_segmentation(common: Mapping[str, Any]) -> list[bytes]:
    slices = series_of_slices(common)
    return [*slices, segmentation([read(each) for each in slices], common)]


def segmentation(slices: list[Dataset], common: Mapping[str, Any]) -> bytes:
    """Return a segmentation of the slices, with one segment: the pixels of the ellipse."""
    masks = [read_samples(each) > 1000 for each in slices]
    frames = [
        dataset(
            DerivationImageSequence=[
                dataset(
                    SourceImageSequence=[
                        dataset(ReferencedSOPClassUID=each.SOPClassUID, ReferencedSOPInstanceUID=each.SOPInstanceUID)
                    ],
                    DerivationCodeSequence=[_code("113076", "Segmentation")],
                )
            ],
            FrameContentSequence=[dataset(DimensionIndexValues=[1, number + 1])],
            PlanePositionSequence=[dataset(ImagePositionPatient=each.ImagePositionPatient)],
            SegmentIdentificationSequence=[dataset(ReferencedSegmentNumber=1)],
        )
        for number, each in enumerate(slices)
    ]
    first = slices[0]
    shared = dataset(
        PlaneOrientationSequence=[dataset(ImageOrientationPatient=first.ImageOrientationPatient)],
        PixelMeasuresSequence=[dataset(SliceThickness="2", SpacingBetweenSlices="2", PixelSpacing=first.PixelSpacing)],
    )
    segment = dataset(
        SegmentNumber=1,
        SegmentLabel="Body",
        SegmentAlgorithmType="MANUAL",
        SegmentedPropertyCategoryCodeSequence=[_code("123037004", "Anatomical Structure", "SCT")],
        SegmentedPropertyTypeCodeSequence=[_code("38266002", "Entire body", "SCT")],
        RecommendedDisplayCIELabValue=[43000, 52000, 48000],
    )
    referenced = dataset(
        SeriesInstanceUID=first.SeriesInstanceUID,
        ReferencedInstanceSequence=[
            dataset(ReferencedSOPClassUID=each.SOPClassUID, ReferencedSOPInstanceUID=each.SOPInstanceUID)
            for each in slices
        ],
    )
    described = {
        "SOPClassUID": SEGMENTATION,
        "modality": "SEG",
        "series": uid(),
        "SeriesDescription": "Segmentation",
        "SeriesNumber": "2",
        "FrameOfReferenceUID": first.FrameOfReferenceUID,
        "frames": len(slices),
        "rows": SIZE,
        "columns": SIZE,
        "ImageType": ["DERIVED", "PRIMARY"],
        "ContentLabel": "SEGMENTATION",
        "SegmentationType": "BINARY",
        "LossyImageCompression": "00",
        "BitsAllocated": 1,
        "BitsStored": 1,
        "HighBit": 0,
        "SegmentSequence": [segment],
        "ReferencedSeriesSequence": [referenced],
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": frames,
        "pixel": np.packbits(np.stack(masks).ravel(), bitorder="little").tobytes(),
    }
    return make_instance(**(dict(common) | described))


def read_samples(image: Dataset) -> Samples:
    """Return the samples of an uncompressed slice."""
    return np.frombuffer(image.PixelData, "<u2").reshape(image.Rows, image.Columns)


def _code(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    return dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _compressed(encode: Callable[[Samples], bytes], transfer_syntax: str) -> Callable[[Mapping[str, Any]], list[bytes]]:
    def make(common: Mapping[str, Any]) -> list[bytes]:
        return [encapsulated([[encode(body())]], transfer_syntax=transfer_syntax, **_image(**common))]

    return make


def _rle(samples: Samples) -> bytes:
    return RLELosslessEncoder.encode(
        samples.tobytes(),
        plugin="pydicom",
        rows=SIZE,
        columns=SIZE,
        samples_per_pixel=1,
        number_of_frames=1,
        bits_allocated=16,
        bits_stored=12,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
        pixel_keyword="PixelData",
    )


_COLOUR: Final = {
    "SOPClassUID": SECONDARY_CAPTURE,
    "modality": "OT",
    "rows": SIZE,
    "columns": SIZE,
    "SamplesPerPixel": 3,
    "PlanarConfiguration": 0,
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
}


def _jpeg(common: Mapping[str, Any]) -> list[bytes]:
    data = bytes(imagecodecs.jpeg8_encode(colours(), level=95))
    described = _COLOUR | {"PhotometricInterpretation": "YBR_FULL_422", "LossyImageCompression": "01"}
    return [encapsulated([[data]], transfer_syntax=JPEG, **(dict(common) | described))]


def _palette(common: Mapping[str, Any]) -> list[bytes]:
    """Four indexes, in quarters, whose colours are those of `colours`. The tables have 16 bits."""
    half = SIZE // 2
    indexes = np.zeros((SIZE, SIZE), np.uint8)
    indexes[:half, half:], indexes[half:, :half], indexes[half:, half:] = 1, 2, 3
    corners = colours()[[0, 0, -1, -1], [0, -1, 0, -1]].astype("<u2") * 257
    tables: dict[str, Any] = {}
    for plane, colour in enumerate(("Red", "Green", "Blue")):
        table = np.zeros(256, "<u2")
        table[:4] = corners[:, plane]
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tables[f"{colour}PaletteColorLookupTableData"] = table.tobytes()
    described = _COLOUR | {
        "SamplesPerPixel": 1,
        "PlanarConfiguration": None,
        "PhotometricInterpretation": "PALETTE COLOR",
        "modality": "US",
        "pixel": indexes.tobytes(),
    }
    return [make_instance(**(dict(common) | described | tables))]


def _frames(common: Mapping[str, Any]) -> list[bytes]:
    data = b"".join((body(number / 10) >> 4).astype(np.uint8).tobytes() for number in range(10))
    described = _image(**common) | {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.12.1",
        "modality": "XA",
        "frames": 10,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "WindowCenter": "128",
        "WindowWidth": "256",
        "FrameTime": "100",
        "pixel": data,
    }
    return [make_instance(**described)]


def _pdf(common: Mapping[str, Any]) -> list[bytes]:
    return [document(PDF, **common)]


def _video(common: Mapping[str, Any]) -> list[bytes]:
    """A raw stream of H.264: 30 pictures, whose grey goes up and down."""
    stream = grey_stream([100 + 10 * abs(10 - number % 20) for number in range(30)], VIDEO_SIDE // 16, VIDEO_SIDE // 16)
    described: dict[str, Any] = dict(_COLOUR) | {
        "SOPClassUID": VIDEO_ENDOSCOPY,
        "modality": "ES",
        "rows": VIDEO_SIDE,
        "columns": VIDEO_SIDE,
        "PhotometricInterpretation": "YBR_PARTIAL_420",
    }
    return [video(stream, frames=30, **(described | dict(common)))]


def _report(common: Mapping[str, Any]) -> list[bytes]:
    return [report(measurement("Length", "12.5", "mm", "millimetre"), **common)]


def _ecg(common: Mapping[str, Any]) -> list[bytes]:
    wave = [int(1000 * np.sin(moment / 20)) for moment in range(2000)]
    leads = [channel("Lead I", "2:1"), channel("Lead II", "2:2")]
    return [waveform(multiplex_group([wave, wave[::-1]], leads), **common)]


_STUDIES: Final[Mapping[str, Callable[[Mapping[str, Any]], list[bytes]]]] = {
    "CT": _ct_with_segmentation,
    "JPEG 2000": _compressed(
        lambda samples: bytes(imagecodecs.jpeg2k_encode(samples, level=0, codecformat="j2k", bitspersample=12)),
        JPEG_2000,
    ),
    "JPEG LS": _compressed(lambda samples: bytes(imagecodecs.jpegls_encode(samples)), JPEG_LS),
    "RLE": _compressed(_rle, RLE),
    "JPEG of 12 bits": _compressed(
        lambda samples: bytes(imagecodecs.jpeg8_encode(samples, level=95, bitspersample=12)), JPEG_OF_12_BITS
    ),
    "HTJ2K": _compressed(lambda samples: bytes(imagecodecs.htj2k_encode(samples, rgb=False)), HIGH_THROUGHPUT),
    "JPEG colour": _jpeg,
    "Palette": _palette,
    "Frames": _frames,
    "PDF": _pdf,
    "Video": _video,
    "Photographic video": lambda common: _video(dict(common) | {"SOPClassUID": STORAGE + "77.1.4.1"}),
    "Report": _report,
    "ECG": _ecg,
}
