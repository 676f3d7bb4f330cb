"""dicomweb-client for JavaScript, in node: store, search, retrieve instance, frames, metadata and pictures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.dicomweb import value
from tests.support.instances import JPEG_BASELINE, encapsulated, frame, make_instance
from tests.support.pictures import gradient, gray_image, pixels_of

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is missing (Debian: nodejs)"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is missing (Debian: npm)"),
]

SCRIPT = Path(__file__).with_name("javascript_client.js")
UIDS = ("2.25.1", "2.25.2", "2.25.3")
JPEG_FRAMES = [b"first frame!", b"second frame"]
NATIVE = make_instance(frames=2, study=UIDS[0], series=UIDS[1], instance=UIDS[2])
JPEG = encapsulated([[each] for each in JPEG_FRAMES], study=UIDS[0], series=UIDS[1], instance=UIDS[2])


@pytest.fixture
def packages(pytestconfig: pytest.Config) -> Path:
    """The folder of the npm packages."""
    folder = pytestconfig.rootpath / ".integration" / "node_modules"
    if not (folder / "dicomweb-client").is_dir():
        pytest.fail("dicomweb-client is missing: run `make integration`, which installs it with npm.", pytrace=False)
    return folder


def call(packages: Path, url: str, file: bytes, media_type: tuple[str, ...]) -> dict[str, Any]:
    """Store `file` with the client and return what the client got from each call.

    `media_type` is the media type and the transfer syntax of the frames, or empty for the default of the client.
    """
    ended = subprocess.run(
        ["node", str(SCRIPT), url, *UIDS, *media_type],
        input=file,
        env={**os.environ, "NODE_PATH": str(packages)},
        capture_output=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


@pytest.mark.parametrize(
    ("file", "media_type", "frames"),
    [
        pytest.param(NATIVE, (), [frame(number, 4, 4) for number in range(2)], id="native"),
        pytest.param(JPEG, ("image/jpeg", JPEG_BASELINE), JPEG_FRAMES, id="jpeg"),
        pytest.param(JPEG, ("application/octet-stream", "*"), JPEG_FRAMES, id="any syntax"),
    ],
)
def test_the_client_stores_searches_and_retrieves(
    clinic: str, packages: Path, file: bytes, media_type: tuple[str, ...], frames: list[bytes]
) -> None:
    study, series, instance = UIDS
    got = call(packages, clinic, file, media_type)

    assert value(got["stored"]["00081199"]["Value"][0], "00081155") == instance
    assert [value(each, "0020000D") for each in got["studies"]] == [study]
    assert got["none"] == []
    assert [value(each, "0020000E") for each in got["series"]] == [series]
    assert [value(each, "00080018") for each in got["instances"]] == [instance]
    assert [value(each, "00280008") for each in got["metadata"]] == [2]
    assert b64decode(got["instance"]) == file
    assert [b64decode(each) for each in got["study"]] == [file]
    assert [b64decode(each) for each in got["frames"]] == frames[::-1]


def test_the_client_gets_pictures(clinic: str, packages: Path) -> None:
    first, second = gradient(40, 60), gradient(40, 60, 50)
    file = gray_image(first, second, study=UIDS[0], series=UIDS[1], instance=UIDS[2])
    got = {name: pixels_of(b64decode(data)) for name, data in call(packages, clinic, file, ("pictures",)).items()}
    assert np.array_equal(got["rendered"], first)
    assert np.array_equal(got["frame"], second)
    assert np.abs(got["scaled"] - first.reshape(20, 2, 30, 2).mean(axis=(1, 3))).max() <= 3
    for name in ("thumbnail", "frameThumbnail"):
        assert got[name].shape == second.shape
        assert np.abs(got[name] - second).mean() < 3
