"""Installs the OHIF viewer: `python -m infra.viewer .viewer` fetches it with npm and unpacks what the viewer needs.

The package has the files for a viewer at `/`. Three texts are changed, so that they work at any path: the folder of the
files that scripts load, and the folder of the fonts. Everything else stays as published.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import zstandard

PACKAGE: Final = "@ohif/app"
VERSION: Final = "3.13.2"
INTEGRITY: Final = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
"""The digest that the registry names for the package (npm: dist.integrity)."""

_DIST: Final = "package/dist/"
_LICENCE: Final = "package/LICENSE"
_LIST: Final = "files.json"
"""What the service reads. It is written last."""
_SUFFIXES: Final = (".js", ".css", ".html", ".wasm", ".png", ".svg", ".ico", ".woff2")
_LEFT_OUT: Final = re.compile(
    r"ort/|customizations/|(?:app-config|google|init-service-worker|oidc-client\.min|polyfill\.min|es6-shim\.min|sw)\.js$"
    r"|silent-refresh\.html$|assets/(?:apple-touch-startup|android|firefox|mstile|yandex)"
)
"""Files that no page needs: configurations of others, service workers, and a runtime for models of other hosts."""

_COMPRESSED: Final = (".js", ".css", ".wasm", ".svg")
_PUBLIC_PATH: Final = b'__webpack_require__.p = "/";'
_ANY_PATH: Final = (
    b'__webpack_require__.p = globalThis.VIEWER_FILES || new URL(".", globalThis.location.href).pathname;'
)
"""A page says where its files are. A worker is beside the other files."""
_FONT: Final = (b"url(/", b"url(")


def main(arguments: list[str] | None = None) -> None:
    """Install the viewer. Exit with one line on stderr if that is not possible; the folder stays as it was."""
    parser = argparse.ArgumentParser(prog="python -m infra.viewer", description="Install the OHIF viewer.")
    parser.add_argument("folder", type=Path, help="the folder of the viewer; an older one is replaced")
    parser.add_argument("--package", type=Path, help="the npm package as a file, if it is at hand")
    options = parser.parse_args(arguments)
    if is_current(options.folder):
        return
    with tempfile.TemporaryDirectory() as temporary:
        try:
            package = options.package or fetched(Path(temporary))
            install(package, options.folder)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            sys.exit(f"The viewer is not installed: {error} `make viewer` tries again.")


def is_current(folder: Path) -> bool:
    """Return whether the folder has this version of the viewer."""
    try:
        return bool(json.loads((folder / _LIST).read_bytes())["version"] == VERSION)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def fetched(folder: Path) -> Path:
    """Fetch the package into a folder with npm. Return its file. Raises `OSError` if npm is missing."""
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is missing (Debian: npm).")
    sys.stdout.write(f"npm fetches the viewer: {PACKAGE} {VERSION}, 50 MB.\n")
    sys.stdout.flush()
    command = [
        npm,
        "pack",
        "--silent",
        "--fetch-retries=1",
        "--fetch-timeout=60000",
        "--pack-destination",
        str(folder),
        f"{PACKAGE}@{VERSION}",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  (a constant command)
    return next(folder.glob("*.tgz"))


def install(package: Path, folder: Path) -> None:
    """Unpack a package into a folder. An older viewer is replaced at the end, so a stop leaves it as it was.

    Raises `ValueError` if the package is not the expected one.
    """
    digest = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != INTEGRITY:
        raise ValueError(f"{package.name} has the digest sha512-{digest}, expected {INTEGRITY}.")
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    unpack(package, new)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def unpack(package: Path, folder: Path) -> None:
    """Write the files of a package, their compressed forms, and their list."""
    digest = hashlib.sha256()
    names = []
    replaced = 0
    for name, published in _members(package):
        data = published.replace(_PUBLIC_PATH, _ANY_PATH) if name.endswith(".js") else published
        if name.endswith(".css"):
            data = data.replace(*_FONT)
        replaced += name.endswith(".js") and data != published
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        digest.update(f"{name} {len(data)} {hashlib.sha256(data).hexdigest()}\n".encode())
        names.append(name)
    if not replaced:
        raise ValueError("The scripts of this package are unknown: they do not say where their files are.")
    with ThreadPoolExecutor() as pool:  # both compressors release the interpreter
        sizes = list(pool.map(lambda name: _sizes(folder / name), names))
    listed = {"version": VERSION, "digest": digest.hexdigest()[:16], "files": dict(zip(names, sizes, strict=True))}
    (folder / _LIST).write_text(json.dumps(listed, indent=1))


def _members(package: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files that the viewer needs, in the order of their names."""
    with tarfile.open(package) as archive:
        for member in sorted(archive, key=lambda member: member.name):
            name = "LICENSE" if member.name == _LICENCE else member.name.removeprefix(_DIST)
            opened = archive.extractfile(member) if member.isfile() else None
            is_kept = name.endswith(_SUFFIXES) and member.name.startswith(_DIST) and not _LEFT_OUT.match(name)
            if opened and ".." not in name and (is_kept or name == "LICENSE"):
                yield name, opened.read()


def _sizes(file: Path) -> dict[str, int]:
    """Compress a file if that saves a tenth. Return the sizes in bytes by content coding; empty is no coding."""
    data = file.read_bytes()
    sizes = {"": len(data)}
    if file.suffix not in _COMPRESSED:
        return sizes
    packed = {"gzip": (".gz", gzip.compress(data, 9, mtime=0)), "zstd": (".zst", zstandard.compress(data, 17))}
    for coding, (suffix, compressed) in packed.items():
        if len(compressed) < 0.9 * len(data):
            file.with_name(file.name + suffix).write_bytes(compressed)
            sizes[coding] = len(compressed)
    return sizes


if __name__ == "__main__":
    main()
