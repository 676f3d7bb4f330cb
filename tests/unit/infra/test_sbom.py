"""The list of the packages in the image (SBOM)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from infra import sbom, viewer
from infra.locked_packages import FOLDER, locked_packages
from tests.unit.infra.test_container import DOCKERFILE


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sbom") / "build" / "bulkhead.cdx.json"
    sbom.main([str(file)])
    return file


@pytest.fixture(scope="module")
def document(written: Path) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(written.read_text())
    return parsed


def test_it_follows_the_schema_of_cyclonedx(written: Path) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written.read_text()) is None


def test_it_has_each_locked_package_once_and_the_viewer(document: dict[str, Any]) -> None:
    listed = [each["name"] for each in document["components"]]
    assert sorted(listed) == sorted({each.name for each in locked_packages(FOLDER / "image.txt")} | {viewer.PACKAGE})


def test_a_component_has_version_digests_and_licence(document: dict[str, Any]) -> None:
    (flask,) = (each for each in document["components"] if each["name"] == "flask")
    (locked,) = (each for each in locked_packages(FOLDER / "image.txt") if each.name == "flask")
    assert flask["purl"] == f"pkg:pypi/flask@{locked.version}"
    assert [each["content"] for each in flask["hashes"]] == list(locked.digests)
    assert flask["licenses"] == [{"expression": "BSD-3-Clause"}]


def test_dependencies_lead_from_the_application_to_each_package(document: dict[str, Any]) -> None:
    edges = {each["ref"]: each["dependsOn"] for each in document["dependencies"]}
    reached, waiting = set(), [document["metadata"]["component"]["bom-ref"]]
    while waiting:
        ref = waiting.pop()
        reached.add(ref)
        waiting += [each for each in edges[ref] if each not in reached]
    assert reached == edges.keys()


def test_the_same_lock_gives_the_same_file(written: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    sbom.main([str(again)])
    assert again.read_bytes() == written.read_bytes()


def test_it_is_for_the_python_of_the_image() -> None:
    assert f"ARG PYTHON_IMAGE=python:{sbom.PYTHON}-slim" in DOCKERFILE
