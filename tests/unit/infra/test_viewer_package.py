"""What the installation of the viewer accepts, changes and leaves out."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from pathlib import Path

import pytest

from infra import viewer
from tests.support.viewer_package import FILES, SCRIPT, package


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package. Its digest is the expected one."""
    made = package(tmp_path)
    digest = base64.b64encode(hashlib.sha512(made.read_bytes()).digest()).decode()
    monkeypatch.setattr(viewer, "INTEGRITY", f"sha512-{digest}")
    return made


def test_the_viewer_needs_its_scripts_at_any_path(published: Path, tmp_path: Path) -> None:
    folder = tmp_path / "viewer"
    viewer.main([str(folder), "--package", str(published)])
    script = (folder / "app.bundle.0f61.js").read_bytes()
    assert b'__webpack_require__.p = "/"' not in script
    assert b"globalThis.VIEWER_FILES" in script
    assert gzip.decompress((folder / "app.bundle.0f61.js.gz").read_bytes()) == script
    assert (folder / "app.bundle.css").read_bytes() == b"@font-face { src: url(a34f.woff2) }"


def test_the_list_names_the_files_with_their_sizes(published: Path, tmp_path: Path) -> None:
    folder = tmp_path / "viewer"
    viewer.main([str(folder), "--package", str(published)])
    listed = json.loads((folder / "files.json").read_text())
    assert listed["version"] == viewer.VERSION
    for name, sizes in listed["files"].items():
        assert (folder / name).stat().st_size == sizes[""]
    assert set(listed["files"]) == {
        *("LICENSE", "index.html", "app.bundle.0f61.js", "app.bundle.css", "a34f.woff2", "decoder.wasm"),
        "assets/favicon.ico",
    }


def test_a_package_with_another_digest_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "viewer"
    with pytest.raises(SystemExit, match=r"The viewer is not installed: app\.tgz has the digest sha512-"):
        viewer.main([str(folder), "--package", str(package(tmp_path))])
    assert not folder.exists()


def test_a_package_whose_scripts_are_unknown_is_refused(tmp_path: Path) -> None:
    unknown = package(tmp_path, FILES | {"package/dist/app.bundle.0f61.js": SCRIPT[100:]})
    with pytest.raises(ValueError, match="unknown"):
        viewer.unpack(unknown, tmp_path / "viewer")


def test_no_file_is_written_outside_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "viewer").mkdir()
    viewer.unpack(package(tmp_path, FILES | {"package/dist/../../../outside.js": b""}), tmp_path / "viewer")
    assert not list(tmp_path.rglob("outside.js"))


def test_an_older_viewer_is_replaced_and_the_same_one_is_kept(published: Path, tmp_path: Path) -> None:
    folder = tmp_path / "viewer"
    folder.mkdir()
    (folder / "files.json").write_text('{"version": "3.0.0"}')
    (folder / "old.js").write_text("")
    viewer.main([str(folder), "--package", str(published)])
    assert not (folder / "old.js").exists()
    (folder / "kept.js").write_text("")
    viewer.main([str(folder), "--package", str(published)])
    assert (folder / "kept.js").exists()


def test_a_missing_npm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="npm is missing"):
        viewer.main([str(tmp_path / "viewer")])


def test_the_image_fetches_the_version_that_is_installed() -> None:
    dockerfile = (Path(viewer.__file__).parent / "Dockerfile").read_text()
    assert f"npm pack --silent {viewer.PACKAGE}@{viewer.VERSION}" in dockerfile
