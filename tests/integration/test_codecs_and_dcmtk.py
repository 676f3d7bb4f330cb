"""Codestreams of DCMTK's encoders are decoded to the samples that were encoded, and DCMTK decodes the service's own."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.errors import ImageFailure
from app.imaging.codecs import conversion
from tests.support.images import (
    KINDS,
    description_of,
    make_compressed,
    make_image,
    native_frame,
    samples_of,
    stored_frames,
)

TOOLS = ("dcmcjpeg", "dcmcjpls", "dcmcrle", "dcmdjpls", "dcmdrle")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(MISSING), reason=f"missing: {', '.join(MISSING)} (Debian: dcmtk)"),
]

LOSSLESS = {
    **{f"JPEG lossless, predictor {number}": ("dcmcjpeg", "+el", "+sv", str(number)) for number in range(1, 8)},
    "JPEG lossless, first order": ("dcmcjpeg", "+e1"),
    "JPEG-LS in planes": ("dcmcjpls", "+el", "+in"),
    "JPEG-LS in lines": ("dcmcjpls", "+el", "+il"),
    "JPEG-LS by sample": ("dcmcjpls", "+el", "+is"),
    "RLE": ("dcmcrle",),
}
ENCODED_BY_DCMTK = [
    *(
        "8 bit",
        "8 bit signed",
        "8 bit odd",
        "12 of 16 bit",
        "12 of 16 bit signed",
        "12 of 16 bit, high bit 15",
        "16 bit",
    ),
    *("12 of 16 bit signed, high bit 13", "16 bit signed", "16 bit signed odd, 3 frames", "RGB", "RGB planar"),
    *("RGB odd, 3 frames", "RGB 16 bit", "palette"),
]
LOSSY = {
    "JPEG baseline, 4:4:4": ("dcmcjpeg", "+eb", "+s4"),
    "JPEG baseline, 4:2:2": ("dcmcjpeg", "+eb", "+s2"),
    "JPEG extended": ("dcmcjpeg", "+ee", "+q", "100"),
    "JPEG-LS near lossless": ("dcmcjpls", "+en", "+md", "2"),
}


def run(folder: Path, *command: str) -> Path:
    """Run a tool of DCMTK on the file `in.dcm`. Return the file that it writes."""
    made = folder / "out.dcm"
    subprocess.run([*command, str(folder / "in.dcm"), str(made)], check=True, capture_output=True)
    return made


@pytest.mark.parametrize("encoder", LOSSLESS)
@pytest.mark.parametrize("name", ENCODED_BY_DCMTK)
def test_lossless_frames_of_dcmtk_are_decoded_exactly(name: str, encoder: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    (tmp_path / "in.dcm").write_bytes(make_image(kind))
    description, frames = stored_frames(run(tmp_path, *LOSSLESS[encoder]).read_bytes())
    assert len(frames) == kind.frames
    for number, frame in enumerate(frames):
        decoded = conversion.decode(description, frame)
        np.testing.assert_array_equal(decoded.samples, samples_of(kind, number))
        assert decoded.photometric == kind.photometric


@pytest.mark.parametrize("encoder", LOSSY)
def test_lossy_frames_of_dcmtk_are_decoded_closely(encoder: str, tmp_path: Path) -> None:
    kind = replace(KINDS["8 bit"], shape=(64, 64))
    (tmp_path / "in.dcm").write_bytes(make_image(kind))
    description, (frame,) = stored_frames(run(tmp_path, *LOSSY[encoder]).read_bytes())
    decoded = conversion.decode(description, frame).samples.astype(int)
    assert np.abs(decoded - samples_of(kind)).mean() < 6  # the samples have noise, which lossy codecs smooth


@pytest.mark.parametrize(
    ("target", "tool"), [("1.2.840.10008.1.2.4.80", "dcmdjpls"), ("1.2.840.10008.1.2.5", "dcmdrle")]
)
@pytest.mark.parametrize("name", KINDS)
def test_dcmtk_decodes_the_frames_of_the_service_exactly(name: str, target: str, tool: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    description = description_of(kind)
    try:
        frames = [
            conversion.transcode(description, native_frame(kind, samples_of(kind, number)), target)
            for number in range(kind.frames)
        ]
    except ImageFailure:
        pytest.skip("the target does not hold such samples")
    encoded = replace(kind, photometric=frames[0].photometric, planar=0, high_bit=0)
    (tmp_path / "in.dcm").write_bytes(make_compressed(encoded, [frame.data for frame in frames], target))
    read, decoded = stored_frames(run(tmp_path, tool).read_bytes())
    for number, frame in enumerate(decoded):
        np.testing.assert_array_equal(conversion.decode(read, frame).samples, samples_of(kind, number))
