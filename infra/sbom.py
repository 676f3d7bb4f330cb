"""Writes the list of the packages in the image (SBOM): `python -m infra.sbom build/bulkhead.cdx.json`.

The format is CycloneDX 1.6 in JSON. Names, versions, digests and dependencies come from the lock of the image. Licences
come from the packages that are installed beside this program, if they have the same version. The same lock gives the
same file. The packages of the base image are not in it: a scanner of images lists those.
"""

from __future__ import annotations

import argparse
import base64
import importlib.metadata
import json
import uuid
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from app import __version__
from infra import viewer
from infra.locked_packages import FOLDER, LockedPackage, locked_packages

PYTHON: Final = "3.12"
"""The version of Python in the image."""

_ENVIRONMENT: Final = {
    "os_name": "posix",
    "platform_system": "Linux",
    "platform_python_implementation": "CPython",
    "python_full_version": f"{PYTHON}.0",
    "python_version": PYTHON,
    "sys_platform": "linux",
}
_ROOT: Final = f"pkg:pypi/bulkhead@{__version__}"
_NAMESPACE: Final = uuid.UUID("5d3b6b0e-6c1d-5c0a-9a55-3f1f1c0b7d52")
"""Any constant: the serial number is computed from it and from the contents."""


def main(arguments: list[str] | None = None) -> None:
    """Write the SBOM of the image into a file."""
    parser = argparse.ArgumentParser(prog="python -m infra.sbom", description="List the packages of the image.")
    parser.add_argument("file", type=Path, help="the file to write, for example build/bulkhead.cdx.json")
    file: Path = parser.parse_args(arguments).file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(sbom(locked_packages(FOLDER / "image.txt")), indent=1) + "\n")


def sbom(packages: list[LockedPackage]) -> dict[str, Any]:
    """Return the document for those of the packages that the image has."""
    installed = [each for each in packages if each.is_for(_ENVIRONMENT)]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": _ROOT,
                "name": "bulkhead",
                "version": __version__,
                "purl": _ROOT,
                "licenses": [{"license": {"id": "MIT"}}],
            }
        },
        "components": [*map(_component, installed), _viewer()],
        "dependencies": _dependencies(installed),
    }
    return {"serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps(document))}", **document}


def _purl(package: LockedPackage) -> str:
    return f"pkg:pypi/{package.name}@{package.version}"


def _component(package: LockedPackage) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": _purl(package),
        "name": package.name,
        "version": package.version,
        "purl": _purl(package),
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in package.digests],
        "licenses": _licences(package),
    }


def _viewer() -> dict[str, Any]:
    purl = f"pkg:npm/{quote(viewer.PACKAGE, safe='/')}@{viewer.VERSION}"
    digest = base64.b64decode(viewer.INTEGRITY.removeprefix("sha512-")).hex()
    return {
        "type": "application",
        "bom-ref": purl,
        "name": viewer.PACKAGE,
        "version": viewer.VERSION,
        "purl": purl,
        "hashes": [{"alg": "SHA-512", "content": digest}],
        "licenses": [{"license": {"id": "MIT"}}],
    }


def _licences(package: LockedPackage) -> list[dict[str, Any]]:
    """Return the licences that the installed package states. Nothing if another version is installed."""
    try:
        metadata = importlib.metadata.metadata(package.name)
    except importlib.metadata.PackageNotFoundError:
        return []
    if metadata["Version"] != package.version:
        return []
    if "License-Expression" in metadata:
        return [{"expression": metadata["License-Expression"]}]
    classifiers = [each for each in metadata.get_all("Classifier") or () if each.startswith("License :: ")]
    names = [each.rpartition(" :: ")[2] for each in classifiers]
    if not names and "License" in metadata:
        names = metadata["License"].strip().splitlines()[:1]  # some packages have the whole text of the licence
    return [{"license": {"name": name}} for name in dict.fromkeys(names)]


def _dependencies(packages: list[LockedPackage]) -> list[dict[str, Any]]:
    names = {"bulkhead": _ROOT} | {each.name: _purl(each) for each in packages}
    return [
        {"ref": ref, "dependsOn": sorted(_purl(each) for each in packages if name in each.needed_by)}
        for name, ref in names.items()
    ]


if __name__ == "__main__":
    main()
