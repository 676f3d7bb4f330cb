"""A small whole-slide image as Part 10 files: two levels, tiled full, compressed as JPEG."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageCms
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage

from tests.support.instances import uid

TILE = 64
"""Width and height of a tile, in pixels."""
STUDY, SERIES = "2.25.1", "2.25.2"
_WIDTH = 4 * TILE * 0.0005
"""Width and height of the slide in mm: the pixels of the first level are 0.0005 mm wide."""


def slide() -> list[bytes]:
    """Return the files of one slide: a level of 4 x 4 tiles and one of 2 x 2 tiles."""
    frame_of_reference = uid()
    return [_level(number, tiles, frame_of_reference) for number, tiles in ((1, 4), (2, 2))]


def _level(number: int, tiles: int, frame_of_reference: str) -> bytes:
    pixels = tiles * TILE
    level = _dataset(
        ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE" if number == 1 else "RESAMPLED"],
        SOPClassUID=VLWholeSlideMicroscopyImageStorage,
        SOPInstanceUID=uid(),
        StudyDate="20240115",
        StudyTime="101500",
        AccessionNumber="",
        Modality="SM",
        PatientName="Doe^Jane",
        PatientID="P1",
        StudyInstanceUID=STUDY,
        SeriesInstanceUID=SERIES,
        SeriesNumber=1,
        InstanceNumber=number,
        FrameOfReferenceUID=frame_of_reference,
        DimensionOrganizationType="TILED_FULL",
        SamplesPerPixel=3,
        PhotometricInterpretation="YBR_FULL_422",
        PlanarConfiguration=0,
        NumberOfFrames=tiles * tiles,
        Rows=TILE,
        Columns=TILE,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        BurnedInAnnotation="NO",
        LossyImageCompression="01",
        LossyImageCompressionRatio=10,
        LossyImageCompressionMethod="ISO_10918_1",
        ImagedVolumeWidth=_WIDTH,
        ImagedVolumeHeight=_WIDTH,
        ImagedVolumeDepth=0.001,
        TotalPixelMatrixColumns=pixels,
        TotalPixelMatrixRows=pixels,
        TotalPixelMatrixOriginSequence=[_dataset(XOffsetInSlideCoordinateSystem=0, YOffsetInSlideCoordinateSystem=0)],
        SpecimenLabelInImage="NO",
        FocusMethod="AUTO",
        ExtendedDepthOfField="NO",
        ImageOrientationSlide=[0, -1, 0, -1, 0, 0],
        OpticalPathSequence=[
            _dataset(
                OpticalPathIdentifier="1",
                IlluminationTypeCodeSequence=[
                    _dataset(CodeValue="111744", CodingSchemeDesignator="DCM", CodeMeaning="Brightfield illumination")
                ],
                ICCProfile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
            )
        ],
        NumberOfOpticalPaths=1,
        TotalPixelMatrixFocalPlanes=1,
        SharedFunctionalGroupsSequence=[
            _dataset(
                PixelMeasuresSequence=[
                    _dataset(SliceThickness=0.001, PixelSpacing=[_WIDTH / pixels] * 2, SpacingBetweenSlices=0.001)
                ]
            )
        ],
        PixelData=encapsulate([_tile(column, row, tiles) for row in range(tiles) for column in range(tiles)]),
    )
    level["PixelData"].VR = "OB"
    level["PixelData"].is_undefined_length = True
    level.file_meta = FileMetaDataset()
    level.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    file = BytesIO()
    dcmwrite(file, level, enforce_file_format=True)
    return file.getvalue()


def _tile(column: int, row: int, tiles: int) -> bytes:
    """Return a JPEG image. Its colours tell the tiles of a level apart."""
    pixels = np.empty((TILE, TILE, 3), np.uint8)
    pixels[..., 0] = np.linspace(40 * column, 40 * column + 80, TILE)
    pixels[..., 1] = np.linspace(40 * row, 40 * row + 80, TILE)[:, np.newaxis]
    pixels[..., 2] = 50 * tiles
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90, subsampling="4:2:2")
    return file.getvalue()


def _dataset(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset
