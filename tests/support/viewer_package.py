"""A small npm package in the form of OHIF's, with one file of each kind."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

INDEX = (
    b'<!doctype html><head><script>window.PUBLIC_URL="/"</script><link rel="manifest" href="/manifest.json">'
    b'<link rel="icon" href="/assets/favicon.ico"><script src="/app-config.js"></script>'
    b'<script type="module" src="/init-service-worker.js"></script><script>function load(n){return import(n)}</script>'
    b'<script defer src="/app.bundle.0f61.js"></script><link href="/app.bundle.css" rel="stylesheet"></head>'
)
SCRIPT = b'(() => {\n__webpack_require__.p = "/";\n})();\n' + b"const text = 'a long line of a script';\n" * 100
FILES = {
    "package/LICENSE": b"MIT",
    "package/package.json": b"{}",
    "package/dist/index.html": INDEX,
    "package/dist/app.bundle.0f61.js": SCRIPT,
    "package/dist/app.bundle.js.map": b"{}",
    "package/dist/app.bundle.css": b"@font-face { src: url(/a34f.woff2) }",
    "package/dist/a34f.woff2": b"font",
    "package/dist/decoder.wasm": b"\0asm" + bytes(1000),
    "package/dist/assets/favicon.ico": b"icon",
    "package/dist/sw.js": b"importScripts('https://example.org/worker.js')",
    "package/dist/ort/ort.js": b"models of other hosts",
}


def package(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    """Write the package as a file into a folder."""
    path = folder / "app.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (FILES if files is None else files).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
