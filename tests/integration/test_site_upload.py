"""The page that uploads files, in headless Chromium (conformance §15.4)."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.integration.viewer import PACKAGES, browser, store
from tests.support.instances import make_instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is missing (Debian: nodejs)"),
    pytest.mark.skipif(browser() is None, reason="Chromium is missing (Debian: chromium)"),
]

SCRIPT: Final = Path(__file__).with_name("site_upload.js")
SCREENSHOTS: Final = Path(".integration/screenshots")


def uploaded(root: Path, url: str, files: list[Path], folder: Path, dropped: dict[str, bytes]) -> dict[str, Any]:
    """Return what the page showed after the files, the folder and the dropped files."""
    if not (root / PACKAGES / "playwright-core").is_dir():
        pytest.fail("playwright-core is missing: run `make integration`, which installs it with npm.", pytrace=False)
    (root / SCREENSHOTS).mkdir(parents=True, exist_ok=True)
    asked = {
        "browser": browser(),
        "url": url,
        "files": list(map(str, files)),
        "folder": str(folder),
        "dropped": [{"name": name, "base64": base64.b64encode(data).decode()} for name, data in dropped.items()],
        "screenshot": str(root / SCREENSHOTS / "upload-ended.png"),
    }
    ended = subprocess.run(
        ["node", str(SCRIPT)],
        input=json.dumps(asked).encode(),
        env={**os.environ, "NODE_PATH": str(root / PACKAGES)},
        capture_output=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_files_folders_and_dropped_files_are_stored(
    service_url: str, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    partition = f"{service_url}/v2/partitions/upload"
    store(partition, [make_instance(pixel=False)])
    folder = tmp_path / "folder"
    (folder / "series").mkdir(parents=True)
    for number in range(8):
        (folder / "series" / f"{number}.dcm").write_bytes(make_instance(study="2.25.77", pixel=False))
    (folder / "<b>without patient.dcm").write_bytes(make_instance(patient_id=None, pixel=False))
    (folder / "notes.txt").write_text("These are no pictures. " * 20)
    single = tmp_path / "single.dcm"
    single.write_bytes(make_instance(study="2.25.78", rows=512, columns=512))
    (tmp_path / "tiny").write_bytes(b"x")
    dropped = {"again.dcm": single.read_bytes(), "new.dcm": make_instance(study="2.25.79", pixel=False)}

    found = uploaded(
        pytestconfig.rootpath,
        f"{service_url}/ui/partitions/upload/upload",
        [single, tmp_path / "tiny"],
        folder,
        dropped,
    )

    counts = [list(map(int, step["counts"].values())) for step in found["steps"]]
    assert counts == [[1, 0, 1, 0], [9, 0, 2, 1], [10, 1, 2, 1]]  # stored, there before, skipped, refused
    rows = [["folder/<b>without patient.dcm", "Refused", "(0010,0020) - The required tag '(0010,0020)' is missing."]]
    assert [step["rows"] for step in found["steps"]] == [[], rows, rows]
    assert found["steps"][-1]["summary"].startswith("Done. 10 stored, 1 already there, 2 skipped, 1 refused")
    assert [text for text in found["errors"] if "409" not in text] == []
    for study, instances in (("2.25.77", 8), ("2.25.78", 1), ("2.25.79", 1)):
        assert len(httpx.get(f"{partition}/studies/{study}/instances").json()) == instances
