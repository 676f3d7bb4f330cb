"""Attributes and samples for the tests of rendering."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.part10 import parse
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import DecodedFrame
from app.imaging.rendering.parameters import Window
from app.imaging.rendering.picture import Picture
from app.imaging.rendering.pipeline import RenderingPipeline

EXPLICIT = ExplicitVRLittleEndian


def reader(dataset: Dataset, transfer_syntax: UID = EXPLICIT) -> AttributeReader:
    """Return the reader of a dataset that is written in a transfer syntax."""
    buffer = BytesIO()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    dataset.file_meta.MediaStorageSOPClassUID = UID(dataset.get("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7"))
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    dataset.save_as(buffer, enforce_file_format=True)
    data = buffer.getvalue()
    return AttributeReader.of(data, parse(data))


def image(samples: NDArray[Any], photometric: str = "MONOCHROME2", **attributes: Any) -> Dataset:
    """Return the attributes of an image with these samples, without pixel data. Bits Stored are all bits."""
    dataset = Dataset()
    dataset.Rows, dataset.Columns = samples.shape[:2]
    dataset.SamplesPerPixel = samples.shape[2] if samples.ndim == 3 else 1
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = samples.dtype.itemsize * 8
    dataset.BitsStored, dataset.HighBit = dataset.BitsAllocated, dataset.BitsAllocated - 1
    dataset.PixelRepresentation = int(samples.dtype.kind == "i")
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def sequence_item(**attributes: Any) -> list[Dataset]:
    """Return the value of a sequence with one item."""
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return [item]


def pipeline(samples: NDArray[Any], dataset: Dataset) -> RenderingPipeline:
    """Return the pipeline of a dataset. Floating samples are those of Float Pixel Data."""
    attributes = reader(dataset)
    tag = {"f4": 0x7FE00008, "f8": 0x7FE00009}.get(samples.dtype.str[1:], 0x7FE00010)
    return RenderingPipeline(attributes, PixelDescription.of(attributes, EXPLICIT, tag))


def rendered(samples: NDArray[Any], dataset: Dataset, number: int = 1, window: Window | None = None) -> Picture:
    """Return the picture of samples whose photometric interpretation is that of the dataset."""
    frame = DecodedFrame(samples=samples, photometric=dataset.PhotometricInterpretation)
    return pipeline(samples, dataset).render(frame, number, window=window)


def shades(values: Any, dtype: str = "int16", **attributes: Any) -> list[int]:
    """Return the shades of a row of gray pixels."""
    samples = np.array([values], dtype)
    photometric = attributes.pop("PhotometricInterpretation", "MONOCHROME2")
    window = attributes.pop("window", None)
    pixels = rendered(samples, image(samples, photometric, **attributes), window=window).pixels
    return [int(shade) for shade in pixels.reshape(-1)]
