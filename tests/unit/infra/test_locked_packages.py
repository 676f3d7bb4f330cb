"""The locks agree with pyproject.toml: each package that it needs is locked, in an allowed version, with digests."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.locked_packages import FOLDER, LockedPackage, locked_packages

ROOT: Final = Path(__file__).parents[3]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: Final[dict[str, list[str]]] = PROJECT["project"]["optional-dependencies"]
NEEDED: Final[dict[str, list[str]]] = {
    "build.txt": PROJECT["build-system"]["requires"],
    "development.txt": [*PROJECT["project"]["dependencies"], *(each for extra in EXTRAS.values() for each in extra)],
    "image.txt": [*PROJECT["project"]["dependencies"], *EXTRAS["dimse"]],
}
"""What pyproject.toml asks for, by the file that locks it."""
RENEW: Final = "pyproject.toml and the lock disagree. Run: make lock"


def locked(file: str) -> dict[str, list[LockedPackage]]:
    """Return the packages of a lock by name. A package may have one version for each of some environments."""
    by_name: dict[str, list[LockedPackage]] = {}
    for each in locked_packages(FOLDER / file):
        by_name.setdefault(each.name, []).append(each)
    return by_name


def disagreements(needed: list[str], packages: dict[str, list[LockedPackage]]) -> Iterator[str]:
    """Yield what pyproject.toml needs and the lock has not, and what the lock has for pyproject.toml without need."""
    names = set()
    for text in needed:
        requirement = Requirement(text)
        names.add(canonicalize_name(requirement.name))
        versions = packages.get(canonicalize_name(requirement.name), [])
        if not versions or any(each.version not in requirement.specifier for each in versions):
            yield text
    for name, versions in packages.items():
        if name not in names and any("bulkhead" in each.needed_by for each in versions):
            yield f"{name} is not needed any more"


@pytest.mark.parametrize("file", NEEDED)
def test_each_requirement_of_the_project_is_locked_in_an_allowed_version(file: str) -> None:
    assert list(disagreements(NEEDED[file], locked(file))) == [], RENEW


@pytest.mark.parametrize(
    ("needed", "disagreement"),
    [("flask>=99", "flask>=99"), ("leftpad>=1", "leftpad>=1"), (None, "flask is not needed any more")],
)
def test_a_disagreement_is_found(needed: str | None, disagreement: str) -> None:
    others = [each for each in NEEDED["image.txt"] if not each.startswith("flask>")]
    assert disagreement in list(disagreements([*others, needed] if needed else others, locked("image.txt")))


def test_whatever_the_packages_need_is_locked_too() -> None:
    """pip checks this when it installs with digests. Here the installed packages say what they need."""
    packages = locked("development.txt")
    for name in [*packages]:
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # it is for another system
        for requirement in map(Requirement, requirements):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert canonicalize_name(requirement.name) in packages, f"{name} needs {requirement}. {RENEW}"


def test_the_image_has_the_versions_that_the_tests_run_with() -> None:
    tested = locked("development.txt")
    for name, versions in locked("image.txt").items():
        assert [each.version for each in versions] == [each.version for each in tested[name]]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_each_supported_python_gets_one_version_of_each_package(python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.1"}
    for name, versions in locked("image.txt").items():
        assert len([each for each in versions if each.is_for(environment)]) <= 1, name
    needed = {canonicalize_name(Requirement(each).name) for each in NEEDED["image.txt"]}
    installed = {each.name for each in locked_packages(FOLDER / "image.txt") if each.is_for(environment)}
    assert needed <= installed


@pytest.mark.parametrize("file", NEEDED)
def test_each_package_has_digests_and_none_names_an_index(file: str) -> None:
    assert all(each.digests for each in locked_packages(FOLDER / file))
    assert not re.search(r"^\s*-(?!-hash)|://|@", (FOLDER / file).read_text(), flags=re.MULTILINE)


def test_a_package_without_a_pinned_version_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("# a lock\nflask>=3 \\\n    --hash=sha256:" + "0" * 64 + "\n    # via bulkhead (pyproject.toml)\n")
    with pytest.raises(ValueError, match=r"flask>=3 is no pinned version\."):
        locked_packages(lock)
