"""OHIF in headless Chromium: a server of its files, and pages that are opened."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SCRIPT: Final = Path(__file__).with_name("viewer.js")
DIST: Final = Path(".integration/ohif/package/dist")
"""The files of OHIF, from its npm package."""
PACKAGES: Final = Path(".integration/node_modules")


def browser() -> str | None:
    """Return the path of Chromium, None if it is not installed."""
    return shutil.which("chromium")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of the viewer that was open. `answers` are those of the service, `result` is that of the script."""

    result: Any
    answers: list[dict[str, Any]]
    errors: list[str]
    screenshot: NDArray[np.uint8]

    def answers_to(self, part: str) -> list[dict[str, Any]]:
        """Return the answers to requests whose URL contains `part`."""
        return [answer for answer in self.answers if part in answer["url"]]


@dataclass(slots=True, kw_only=True)
class Viewer:
    """OHIF on `url`. Its data source is the partition `clinic`; `thumbnails` is where its thumbnails come from.

    `request` is how it asks for thumbnails, `fetch` or `bulkDataRetrieve`.
    """

    folder: Path
    repository: Path
    url: str = ""
    clinic: str = ""
    thumbnails: str = "wadors"
    request: str = "bulkDataRetrieve"
    screenshots: int = field(default=0)

    def open(self, *pages: tuple[str, str]) -> list[Page]:
        """Open pages in one browser, each until its script returns something. A page is its path and the script."""
        asked = []
        for path, script in pages:
            self.screenshots += 1
            screenshot = str(self.folder / f"{self.screenshots}.png")
            asked.append({"url": self.url + path, "script": script, "screenshot": screenshot})
        ended = subprocess.run(
            ["node", str(SCRIPT)],
            input=json.dumps({"browser": browser(), "pages": asked}).encode(),
            env={**os.environ, "NODE_PATH": str(self.repository / PACKAGES)},
            capture_output=True,
            timeout=600,
        )
        assert ended.returncode == 0, ended.stderr.decode()
        return [self._page(page, each) for page, each in zip(asked, json.loads(ended.stdout), strict=True)]

    def _page(self, asked: dict[str, str], opened: dict[str, Any]) -> Page:
        answers = [answer for answer in opened["answers"] if answer["url"].startswith(self.clinic)]
        screenshot = np.asarray(Image.open(asked["screenshot"]).convert("RGB"))
        return Page(result=opened["result"], answers=answers, errors=opened["errors"], screenshot=screenshot)

    def configuration(self) -> bytes:
        """Return app-config.js."""
        source = {
            "friendlyName": "Bulkhead",
            "qidoRoot": self.clinic,
            "wadoRoot": self.clinic,
            "wadoUriRoot": self.clinic,
            "qidoSupportsIncludeField": True,
            "imageRendering": "wadors",
            "thumbnailRendering": self.thumbnails,
            "thumbnailRequestStrategy": self.request,
            "enableStudyLazyLoad": True,
            "supportsFuzzyMatching": True,
            "supportsWildcard": True,
            "omitQuotationForMultipartRequest": True,
            "singlepart": "pdf,video",
            "bulkDataURI": {"enabled": True},
        }
        kind = "@ohif/extension-default.dataSourcesModule.dicomweb"
        configuration = {
            "routerBasename": None,
            "extensions": [],
            "modes": [],
            "showStudyList": True,
            "maxNumberOfWebWorkers": 2,
            "investigationalUseDialog": {"option": "never"},
            "defaultDataSourceName": "bulkhead",
            "dataSources": [{"namespace": kind, "sourceName": "bulkhead", "configuration": source}],
        }
        return f"window.config = {json.dumps(configuration)};".encode()


@contextmanager
def viewer_on(server: ThreadingHTTPServer, folder: Path, repository: Path) -> Iterator[Viewer]:
    """Serve OHIF with `server`, whose handler is `FileHandler`. Screenshots go to `folder`."""
    viewer = Viewer(folder=folder, repository=repository, url=f"http://127.0.0.1:{server.server_port}")
    FileHandler.viewer = viewer
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield viewer
    finally:
        server.shutdown()
        thread.join()


class FileHandler(SimpleHTTPRequestHandler):
    """Answers with the files of OHIF, and with its page for the other paths. It isolates pages from other origins."""

    protocol_version = "HTTP/1.1"
    viewer: Viewer

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, directory=str(self.viewer.repository / DIST))

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/app-config.js":
            data = self.viewer.configuration()
            self.send_response(200)
            self.send_header("Content-Type", "text/javascript")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            return
        if "." not in path:
            self.path = "/index.html"
        super().do_GET()

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *values: Any) -> None:  # noqa: A002 -- the name of the base class
        """Write no log."""


def store(clinic: str, files: Sequence[bytes]) -> None:
    """Store files in the partition `clinic`."""
    from urllib.request import Request, urlopen

    parts = b"".join(b"--limit\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files)
    headers = {
        "Content-Type": 'multipart/related; type="application/dicom"; boundary=limit',
        "Accept": "application/dicom+json",
    }
    with urlopen(Request(f"{clinic}/studies", parts + b"--limit--\r\n", headers)) as answer:
        assert answer.status == 200, answer.read()
