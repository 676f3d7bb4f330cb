"""Calls that a reader tries on the page of the API reference, in headless Chromium (conformance §15.5)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from pydicom.data import get_testdata_file

from tests.integration.viewer import PACKAGES, browser

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is missing (Debian: nodejs)"),
    pytest.mark.skipif(browser() is None, reason="Chromium is missing (Debian: chromium)"),
]

SCRIPT: Final = Path(__file__).with_name("api_reference.js")


def test_calls_are_sent_and_their_answers_are_shown(
    service_url: str, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    root = pytestconfig.rootpath
    if not (root / PACKAGES / "playwright-core").is_dir():
        pytest.fail("playwright-core is missing: run `make integration`, which installs it with npm.", pytrace=False)
    asked = {
        "browser": browser(),
        "url": f"{service_url}/docs/api",
        "file": str(get_testdata_file("CT_small.dcm")),
        "screenshot": str(tmp_path / "search.png"),
    }
    ended = subprocess.run(
        ["node", str(SCRIPT)],
        input=json.dumps(asked).encode(),
        env={**os.environ, "NODE_PATH": str(root / PACKAGES)},
        capture_output=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    found = json.loads(ended.stdout)
    assert found["errors"] == []
    answers = found["answers"]
    assert "200 OK" in answers["PartitionStoreInstance"]
    assert "PatientID=1CT1" in answers["PartitionSearchStudies"]
    assert '"1CT1"' in answers["PartitionSearchStudies"]
    assert "202 ACCEPTED" in answers["AddExtendedQueryTags"].upper()
    assert "Only the first 65536 bytes were read." in answers["GetApiDescription"]
