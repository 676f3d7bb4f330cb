"""The test files that pydicom brings along, completed so that the service takes them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pydicom

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
MISSING = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
    "StudyInstanceUID": "2.25.1",
    "SeriesInstanceUID": "2.25.2",
    "SOPInstanceUID": "2.25.3",
    "PatientID": "P1",
}
"""What some of the files lack, and the service needs."""
TRUNCATED = {"MR_truncated.dcm"}
"""The images that end before their last pixel."""


def images() -> list[str]:
    """Return the names of the files with pixels that pydicom can read and write."""
    return sorted(path.name for path in FOLDER.glob("*.dcm") if path.name not in TRUNCATED and _is_image(path))


def _is_image(path: Path) -> bool:
    dataset = pydicom.dcmread(path, force=True, specific_tags=[*PIXELS, "Rows"], defer_size=1024)
    return (
        "Rows" in dataset
        and any(name in dataset for name in PIXELS)
        and hasattr(dataset.file_meta, "TransferSyntaxUID")
    )


def complete(name: str) -> bytes:
    """Return a file, with the attributes that it lacks."""
    dataset = pydicom.dcmread(FOLDER / name)
    lacking = {keyword: value for keyword, value in MISSING.items() if keyword not in dataset}
    if not lacking:
        return (FOLDER / name).read_bytes()
    for keyword, value in lacking.items():
        setattr(dataset, keyword, value)
    written = BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()
