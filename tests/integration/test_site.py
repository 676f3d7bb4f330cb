"""The pages in headless Chromium: light, dark, narrow, by keyboard and without JavaScript (WCAG 2.2 AA).

Each page gets no violation from axe, no error in its console, no horizontal scrolling, and the tab key reaches all of
its controls. The screenshots stay in `.integration/screenshots`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.copies import served
from tests.integration.site_studies import STUDIES, files
from tests.integration.viewer import PACKAGES, browser, store
from tests.support.instances import make_instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is missing (Debian: nodejs)"),
    pytest.mark.skipif(browser() is None, reason="Chromium is missing (Debian: chromium)"),
]

SCRIPT: Final = Path(__file__).with_name("site.js")
SCREENSHOTS: Final = Path(".integration/screenshots")

MODES: Final[dict[str, dict[str, Any]]] = {
    "light": {"width": 1280, "height": 900, "scheme": "light"},
    "dark": {"width": 1280, "height": 900, "scheme": "dark"},
    "narrow": {"width": 375, "height": 800, "scheme": "light"},
    "keyboard": {"width": 1280, "height": 900, "scheme": "light", "keyboard": True},
    "without-script": {"width": 1280, "height": 900, "scheme": "light", "script": False},
}

_RADIOLOGY: Final = "/ui/partitions/radiology/studies"
_STUDY: Final = f"{_RADIOLOGY}/1.2.3.5"
_SERIES: Final = f"{_STUDY}/series/1.2.3.5.2"

PAGES: Final[dict[str, str]] = {
    "front": "/",
    "front-prefix": "/?prefix=clinic",
    "studies": _RADIOLOGY,
    "studies-search": f"{_RADIOLOGY}?PatientName=novak&StudyDescription=CT&from=2026-01-01",
    "studies-fault": f"{_RADIOLOGY}?from=soon",
    "studies-none": f"{_RADIOLOGY}?PatientID=none",
    "studies-empty": "/ui/partitions/Microsoft.Default/studies",
    "studies-hostile": "/ui/partitions/hostile/studies",
    "study": _STUDY,
    "series": _SERIES,
    "instance": f"{_SERIES}/instances/1.2.3.5.2.6",
    "instance-hostile": "/ui/partitions/hostile/studies/1.9/series/1.9.1/instances/1.9.1.1",
    "missing": f"{_RADIOLOGY}/1.2.3.99",
    "operations": "/ui/operations",
    "feed": "/ui/feed",
    "tags": "/ui/tags",
    "status": "/ui/status",
    "upload": "/ui/partitions/radiology/upload",
    "new-partition": "/ui/new-partition?partition=clinic-new",
    "delete": f"{_STUDY}/delete",
    "update": "/ui/partitions/radiology/update?study=1.2.3.5",
    "worklist": "/ui/partitions/radiology/worklist",
    "export": "/ui/partitions/radiology/export?study=1.2.3.5",
    "docs": "/docs",
    "docs-security": "/docs/security",
    "docs-conformance": "/docs/conformance",
    "docs-api": "/docs/api",
}
"""Name of the screenshot -> path. Each page of the site has a row."""

STATUSES: Final = {"studies-fault": 400, "missing": 404}
"""The pages that are errors. Their console has the status."""

_HOSTILE: Final[tuple[dict[str, Any], ...]] = (
    {"patient_name": "<script>document.title = 'run'</script>", "StudyDescription": "W" * 64, "patient_id": "X" * 64},
    {"patient_name": "\u202eevil^\u05d3\u05d5\u05d3", "patient_id": '"><img src=x onerror="document.title=1">'},
    {"patient_name": None, "study_date": None},
)


@pytest.fixture(scope="module")
def site_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service with the studies of `site_studies`, and with hostile ones."""
    folder = tmp_path_factory.mktemp("site")
    with served({"BULKHEAD_DATA_DIR": str(folder / "archive"), "BULKHEAD_LOG_LEVEL": "error"}) as copy:
        for number, study in enumerate(STUDIES, start=1):
            store(f"{copy.url}/v2/partitions/{study.partition}", files(study, f"1.2.3.{number}"))
        hostile = [
            make_instance(
                study=f"1.9.{number}" if number else "1.9",
                series=f"1.9.{number + 1}",
                instance=f"1.9.{number + 1}.1",
                SpecificCharacterSet="ISO_IR 192",
                **attributes,
            )
            for number, attributes in enumerate(_HOSTILE)
        ]
        for file in hostile:
            store(f"{copy.url}/v2/partitions/hostile", [file])
        yield copy.url


@pytest.fixture(scope="module")
def opened(site_url: str, pytestconfig: pytest.Config) -> dict[tuple[str, str], dict[str, Any]]:
    """What the browser found, by the name of the page and the mode."""
    root = pytestconfig.rootpath
    if not (root / PACKAGES / "axe-core").is_dir():
        pytest.fail("axe-core is missing: run `make integration`, which installs it with npm.", pytrace=False)
    screenshots = root / SCREENSHOTS
    screenshots.mkdir(parents=True, exist_ok=True)
    asked = {
        "browser": browser(),
        "folder": str(screenshots),
        "modes": MODES,
        "pages": [{"name": name, "url": site_url + path} for name, path in PAGES.items()],
    }
    ended = subprocess.run(
        ["node", str(SCRIPT)],
        input=json.dumps(asked).encode(),
        env={**os.environ, "NODE_PATH": str(root / PACKAGES)},
        capture_output=True,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return {(each["name"], each["mode"]): each for each in json.loads(ended.stdout)}


@pytest.mark.timeout(1000)  # the first of them opens all pages
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_serves_everybody(opened: dict[tuple[str, str], dict[str, Any]], name: str, mode: str) -> None:
    found = opened[name, mode]
    status = STATUSES.get(name, 200)
    assert found["status"] == status
    assert found["violations"] == []
    assert found["overflow"] == 0
    assert found["unfocused"] == []
    assert [text for text in found["errors"] if str(status) not in text] == []
    assert found["title"].endswith("· Bulkhead"), "a script of a file ran"
