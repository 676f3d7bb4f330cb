"""OHIF in headless Chromium, as Bulkhead serves it, and pages that are opened."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SCRIPT: Final = Path(__file__).with_name("viewer.js")
FOLDER: Final = Path(".viewer")
"""The installed viewer."""
PACKAGES: Final = Path(".integration/node_modules")
SCREENSHOTS: Final = Path(".integration/screenshots")


def browser() -> str | None:
    """Return the path of Chromium, None if it is not installed."""
    return shutil.which("chromium")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of the viewer that was open. `answers` are those of the partitions, `result` is that of the script.

    `foreign` are the URLs of other hosts that it asked for.
    """

    result: Any
    answers: list[dict[str, Any]]
    errors: list[str]
    foreign: list[str]
    screenshot: NDArray[np.uint8]

    def answers_to(self, part: str) -> list[dict[str, Any]]:
        """Return the answers to requests whose URL contains `part`."""
        return [answer for answer in self.answers if part in answer["url"]]


@dataclass(slots=True, kw_only=True)
class Viewer:
    """OHIF on the service at `url`. Screenshots go to `folder`.

    `changes` are values of the data sources that differ from those of the service.
    """

    folder: Path
    repository: Path
    url: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    def partition(self, name: str) -> str:
        """Return the URL of a partition of the service."""
        return f"{self.url}/v2/partitions/{name}"

    def open(self, *pages: tuple[str, str], upload: Path | None = None) -> list[Page]:
        """Open pages in one browser, each until its script returns something. A page is its path and the script.

        `upload` is a file that the viewer uploads before the script runs.
        """
        test = re.sub(r"[^a-z0-9]+", "-", os.environ.get("PYTEST_CURRENT_TEST", "").partition("::test_")[2].lower())
        asked = [
            {"url": self.url + path, "script": script, "screenshot": str(self.folder / f"ohif-{test}{number}.png")}
            for number, (path, script) in enumerate(pages, 1)
        ]
        order = {"browser": browser(), "pages": asked, "changes": dict(self.changes), "upload": upload and str(upload)}
        ended = subprocess.run(
            ["node", str(SCRIPT)],
            input=json.dumps(order).encode(),
            env={**os.environ, "NODE_PATH": str(self.repository / PACKAGES)},
            capture_output=True,
            timeout=600,
        )
        assert ended.returncode == 0, ended.stderr.decode()
        return [self._page(page, each) for page, each in zip(asked, json.loads(ended.stdout), strict=True)]

    def _page(self, asked: dict[str, str], opened: dict[str, Any]) -> Page:
        answers = [answer for answer in opened["answers"] if answer["url"].startswith(self.partition(""))]
        own = (f"{self.url}/", "data:", "blob:", "chrome:", "chrome-extension:")
        foreign = [url for url in opened["asked"] if not url.startswith(own)]
        screenshot = np.asarray(Image.open(asked["screenshot"]).convert("RGB"))
        return Page(
            result=opened["result"], answers=answers, errors=opened["errors"], foreign=foreign, screenshot=screenshot
        )


def store(clinic: str, files: Sequence[bytes]) -> None:
    """Store files in the partition at the URL `clinic`."""
    from urllib.request import Request, urlopen

    parts = b"".join(b"--limit\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files)
    headers = {
        "Content-Type": 'multipart/related; type="application/dicom"; boundary=limit',
        "Accept": "application/dicom+json",
    }
    with urlopen(Request(f"{clinic}/studies", parts + b"--limit--\r\n", headers)) as answer:
        assert answer.status == 200, answer.read()
