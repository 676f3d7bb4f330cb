"""The files of the OHIF viewer: which there are, and how they are sent (conformance §15.3).

`make viewer` fills the folder. It writes the list of the files, so no path is ever made from the URL of a request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO, Final

from flask import Request, Response

from app.errors import StorageUnavailable
from app.web.negotiation import media
from app.web.response.responses import empty, file

LIST: Final = "files.json"
"""The list of the files, in the folder itself. It is written last, so a folder with it is complete."""
INDEX: Final = "index.html"

_YEAR: Final = 31_536_000
_BUFFER: Final = 65_536
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}
_SUFFIXES: Final = {"zstd": ".zst", "gzip": ".gz", "": ""}
"""Content coding -> suffix of the file that has it. The coding that is preferred comes first; empty is no coding."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ViewerFiles:
    """The installed viewer. `sizes` has the size in bytes of each file, by its name and its content coding."""

    folder: Path
    version: str
    """The version of OHIF."""
    digest: str
    """Changes with the content of any file."""
    sizes: Mapping[str, Mapping[str, int]]

    def index(self) -> str:
        """Return the page of the viewer. Its links begin with `/`."""
        return (self.folder / INDEX).read_text("utf-8")

    def answer(self, request: Request, name: str, *, is_current: bool) -> Response | None:
        """Return the file, in a coding that the request accepts. None: it is none of the files.

        `is_current` says whether the URL has the digest of this viewer: then a browser may keep the file for ever.
        """
        sizes = self.sizes.get(name)
        if sizes is None or name == INDEX:
            return None
        coding = _chosen(request, sizes)
        etag = f"{self.digest}-{coding}" if coding else self.digest
        if request.if_none_match.contains_weak(etag):
            response = empty(304)
        else:
            content_type = _TYPES.get(Path(name).suffix, "application/octet-stream")
            response = file(partial(self._open, name + _SUFFIXES[coding]), content_type, sizes[coding])
            if coding:
                response.headers["Content-Encoding"] = coding
        response.set_etag(etag)
        if len(sizes) > 1:
            response.vary.add("Accept-Encoding")
        response.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable" if is_current else "public, no-cache"
        return response

    def _open(self, name: str, start: int, length: int | None) -> BinaryIO:
        """Return a file at a position. The server sends an unbuffered one by itself, up to its end (PEP 3333)."""
        try:
            opened: BinaryIO = (self.folder / name).open("rb", buffering=0 if length is None else _BUFFER)
        except OSError as error:
            raise StorageUnavailable from error
        opened.seek(start)
        return opened


def is_file_name(name: str) -> bool:
    """Return whether this is the name of a file, and not the path of a view."""
    return Path(name).suffix in _TYPES


def installed(folder: Path) -> ViewerFiles | None:
    """Return the viewer in a folder, None if there is none. A new installation is seen without a restart."""
    try:
        changed = (folder / LIST).stat().st_mtime_ns
        return _read(folder, changed)
    except (OSError, ValueError, KeyError, TypeError):
        return None


@lru_cache(maxsize=4)
def _read(folder: Path, _changed: int) -> ViewerFiles:
    listed = json.loads((folder / LIST).read_bytes())
    return ViewerFiles(folder=folder, version=listed["version"], digest=listed["digest"], sizes=listed["files"])


def _chosen(request: Request, sizes: Mapping[str, int]) -> str:
    """Return the preferred coding of those that the request accepts and the file has. Empty: no coding."""
    accepted = set()
    for entry in request.headers.get("Accept-Encoding", "").split(","):
        name, parameters = media.parse(entry)
        if media.quality(parameters.get("q", "1")):
            accepted.add(name.removeprefix("x-"))
    return next((coding for coding in _SUFFIXES if coding in accepted and coding in sizes), "")
