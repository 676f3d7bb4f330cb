"""DCMTK and dciodvfy read what the service transcodes, and find the same pixels and no new fault."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
from pydicom.pixels.utils import pixel_array

from tests.support.compressed_images import SOURCES, TARGETS
from tests.support.images import KINDS
from tests.support.instances import DEFLATED_LITTLE, EXPLICIT_LITTLE

TOOLS = ("dcmdump", "dcmdjpeg", "dcmdjpls", "dcmdrle", "dciodvfy")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(MISSING), reason=f"missing: {', '.join(MISSING)} (Debian: dcmtk dicom3tools)"),
    pytest.mark.filterwarnings("ignore"),
]

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
DECODERS = {
    "1.2.840.10008.1.2.4.50": "dcmdjpeg",
    "1.2.840.10008.1.2.4.51": "dcmdjpeg",
    "1.2.840.10008.1.2.4.57": "dcmdjpeg",
    "1.2.840.10008.1.2.4.70": "dcmdjpeg",
    "1.2.840.10008.1.2.4.80": "dcmdjpls",
    "1.2.840.10008.1.2.4.81": "dcmdjpls",
    "1.2.840.10008.1.2.5": "dcmdrle",
}
"""The tool of DCMTK that decodes a transfer syntax. There is none for JPEG 2000."""
FILES = [
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_bigendian.dcm",
    "JPEG-lossy.dcm",
    "JPGExtended.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_rle_2frame.dcm",
    "examples_jpeg2k.dcm",
    "examples_palette.dcm",
]
LOSSY_ROUNDING = 1
"""By how much two decoders of lossy JPEG may differ in a sample (ISO 10918-2 permits it)."""


def run(*command: str | Path) -> str:
    """Return what a tool writes. Fails if it fails."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, errors="replace", check=False
    )
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout + done.stderr


def faults(path: Path) -> set[str]:
    """Return the errors that dciodvfy finds. It does not know HTJ2K, so it reads that as JPEG 2000."""
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.4.201\0", b"1.2.840.10008.1.2.4.90\0\0"))
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False)
    return {line for line in done.stderr.splitlines() if line.startswith("Error")}


def stored(clinic: str, data: bytes) -> str:
    """Store a file, and return its URL."""
    answer = requests.post(f"{clinic}/studies", data=data, headers={"Content-Type": "application/dicom"})
    assert answer.status_code in (200, 202), answer.text
    return str(answer.json()["00081199"]["Value"][0]["00081190"]["Value"][0])


def transcoded(url: str, syntax: str, path: Path) -> Path:
    answer = requests.get(url, headers={"Accept": f"application/dicom; transfer-syntax={syntax}"})
    assert answer.status_code == 200, answer.text
    path.write_bytes(answer.content)
    return path


def decoded(path: Path, target: Path) -> Path | None:
    """Return the file that DCMTK decodes, None if it has no decoder."""
    syntax = pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
    if syntax not in DECODERS:
        return None
    options = ["+cn"] if DECODERS[syntax] == "dcmdjpeg" else []  # no conversion of colours
    run(DECODERS[syntax], *options, path, target)
    return target


def check(clinic: str, data: bytes, folder: Path) -> None:
    """Assert that the tools find the same pixels in every target, and no error that the file did not have."""
    original = folder / "original.dcm"
    original.write_bytes(data)
    url = stored(clinic, data)
    syntax = pydicom.dcmread(original, stop_before_pixels=True).file_meta.TransferSyntaxUID
    plain = transcoded(url, EXPLICIT_LITTLE, folder / "plain.dcm")
    pixels = pixel_array(plain, raw=True)
    by_dcmtk = decoded(original, folder / "by_dcmtk.dcm")
    if by_dcmtk:
        difference = np.abs(pixels.astype(int) - pixel_array(by_dcmtk, raw=True).astype(int)).max()
        assert difference <= (LOSSY_ROUNDING if syntax in ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51") else 0)
    known = faults(plain if syntax == DEFLATED_LITTLE else original)  # dciodvfy does not inflate
    for name, target in TARGETS.items():
        path = transcoded(url, target, folder / f"{name}.dcm")
        assert "E:" not in run("dcmdump", "+L", path)
        assert faults(path) <= known, name
        found = decoded(path, folder / "decoded.dcm")
        if found:
            np.testing.assert_array_equal(pixel_array(found, raw=True), pixels)


@pytest.mark.parametrize("name", FILES)
def test_a_test_file_of_pydicom(clinic: str, tmp_path: Path, name: str) -> None:
    check(clinic, (FOLDER / name).read_bytes(), tmp_path)


@pytest.mark.parametrize("source", SOURCES)
def test_a_generated_image(clinic: str, tmp_path: Path, source: str) -> None:
    kind = SOURCES[source].kinds[0]
    check(clinic, SOURCES[source].file(KINDS[kind]), tmp_path)
