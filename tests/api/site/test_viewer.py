"""The OHIF viewer, on a small package in its form."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import zstandard
from flask.testing import FlaskClient

from app.services.access.rights import Action
from app.settings import Settings
from app.web.routing.dispatch import SETTINGS
from app.web.site import viewer_configuration
from app.web.site.viewer import is_installed, viewer_path
from infra.viewer import unpack
from tests.support.callers import authenticate, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.viewer_package import SCRIPT, package

STUDY = "1.2.840.99"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the viewer."""
    made = tmp_path_factory.mktemp("viewer")
    unpack(package(tmp_path_factory.mktemp("package")), made)
    return made


@pytest.fixture
def viewer(tmp_path: Path, folder: Path) -> FlaskClient:
    """A client of a service with the viewer and partitions clinic-a and clinic-b."""
    client = embedded(tmp_path, viewer_dir=folder).test_client()
    for name in ("clinic-a", "clinic-b"):
        PartitionClient(client, f"/v2/partitions/{name}").stored(make_instance(study=STUDY))
    return client


def files_path(client: FlaskClient) -> str:
    """Return the path of the files, as the page names it."""
    found = re.search(r'src="([^"]*)/app\.bundle\.0f61\.js"', client.get("/viewer").text)
    assert found is not None
    return found[1]


def configuration(client: FlaskClient, path: str = "/viewer/app-config.js", **request: Any) -> dict[str, Any]:
    """Return the configuration that a browser reads from the script."""
    answer = client.get(path, **request)
    assert answer.status_code == 200
    found = re.search("^window.config = (.*);$", answer.text, re.MULTILINE)
    assert found is not None
    result: dict[str, Any] = json.loads(found[1])
    return result


def names(found: dict[str, Any]) -> list[str]:
    return [each["sourceName"] for each in found["dataSources"]]


# ---------------------------------------------------------------- the page


@pytest.mark.parametrize(
    "path",
    ["/viewer", "/viewer/", "/viewer/viewer/clinic-a?StudyInstanceUIDs=1.2", "/viewer/segmentation", "/viewer/x/y/z"],
)
def test_every_path_of_the_viewer_is_its_page(viewer: FlaskClient, path: str) -> None:
    answer = viewer.get(path)
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8")
    assert "app.bundle.0f61.js" in answer.text


def test_the_page_is_isolated_and_runs_only_its_own_scripts(viewer: FlaskClient) -> None:
    answer = viewer.get("/viewer")
    policy = answer.headers.getlist("Content-Security-Policy")[0]
    assert "script-src 'self' 'unsafe-eval';" in policy
    assert "http" not in policy
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "<script>" not in answer.text
    assert "service-worker" not in answer.text
    assert "manifest" not in answer.text


def test_the_page_finds_its_files_behind_a_base_path(tmp_path: Path, folder: Path) -> None:
    client = embedded(tmp_path, viewer_dir=folder, trusted_proxies=1).test_client()
    headers = {"X-Forwarded-Prefix": "/images"}
    text = client.get("/viewer", headers=headers).text
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert links
    assert all(link.startswith(("/images/viewer/files/", "/images/viewer/app-config.js")) for link in links)
    (source, *_) = configuration(client, headers=headers)["dataSources"]
    assert source["configuration"]["wadoRoot"].startswith("/images/v2/partitions/")


def test_the_page_is_the_same_with_and_without_a_base_path_before(tmp_path: Path, folder: Path) -> None:
    client = embedded(tmp_path, viewer_dir=folder, trusted_proxies=1).test_client()
    assert "/images/" in client.get("/viewer", headers={"X-Forwarded-Prefix": "/images"}).text
    assert "/images/" not in client.get("/viewer").text


def test_a_file_that_is_missing_is_not_the_page(viewer: FlaskClient) -> None:
    assert viewer.get("/viewer/dicom-microscopy-viewer/dataLoader.worker.min.js").status_code == 404


def test_a_component_finds_its_files(viewer: FlaskClient) -> None:
    text = viewer.get("/viewer/app-config.js").text
    assert f'window.VIEWER_FILES = "{files_path(viewer)}/";' in text
    assert 'window.PUBLIC_LIB_URL = window.VIEWER_FILES + "${component}/";' in text


def test_without_a_viewer_the_page_says_what_to_do(client: FlaskClient, settings: Settings, tmp_path: Path) -> None:
    client.application.extensions[SETTINGS] = replace(settings, viewer_dir=tmp_path / "missing")
    for path in ("/viewer", "/viewer/clinic-a?StudyInstanceUIDs=1.2"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "make viewer" in answer.text
    assert client.get("/viewer/app-config.js").status_code == 404
    assert client.get("/viewer/files/x/app.bundle.css").status_code == 404


def test_a_viewer_is_found_without_a_restart(folder: Path, tmp_path: Path) -> None:
    assert not is_installed(Settings(viewer_dir=tmp_path))
    unpack(package(tmp_path), tmp_path)
    assert is_installed(Settings(viewer_dir=tmp_path))


def test_a_damaged_list_of_files_is_no_viewer(tmp_path: Path) -> None:
    for text in ("", "[]", "{}"):
        (tmp_path / "files.json").write_text(text)
        assert not is_installed(Settings(viewer_dir=tmp_path))
        (tmp_path / "files.json").unlink()


# ---------------------------------------------------------------- links to partitions


@pytest.mark.parametrize(
    "path, target",
    [
        ("/viewer/clinic-a", "/viewer?datasources=clinic-a"),
        ("/viewer/CLINIC-A/", "/viewer?datasources=clinic-a"),
        (f"/viewer/clinic-b?StudyInstanceUIDs={STUDY}", f"/viewer/viewer/clinic-b?StudyInstanceUIDs={STUDY}"),
    ],
)
def test_the_path_of_a_partition_leads_to_the_viewer(viewer: FlaskClient, path: str, target: str) -> None:
    answer = viewer.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (302, target)


def test_links_of_pages_name_the_data_source() -> None:
    assert viewer_path("clinic-a") == "/viewer?datasources=clinic-a"
    assert viewer_path("clinic-a", "1.2.3") == "/viewer/viewer/clinic-a?StudyInstanceUIDs=1.2.3"


@pytest.mark.parametrize("path", ['/viewer/viewer/"><script>alert', "/viewer?datasources=%22%3E%3Cscript%3Ealert"])
def test_the_name_of_a_data_source_is_no_markup(viewer: FlaskClient, path: str) -> None:
    answer = viewer.get(path)
    assert "<script>" not in answer.text


# ---------------------------------------------------------------- the configuration


def test_each_partition_is_a_data_source(viewer: FlaskClient) -> None:
    found = configuration(viewer)
    assert set(names(found)) == {"Microsoft.Default", "clinic-a", "clinic-b"}
    source = next(each for each in found["dataSources"] if each["sourceName"] == "clinic-a")["configuration"]
    assert source["wadoRoot"] == "/v2/partitions/clinic-a"
    assert viewer.get(f"{source['wadoRoot']}/studies").status_code == 200
    assert source["omitQuotationForMultipartRequest"] is True
    assert source["bulkDataURI"] == {"enabled": True}
    assert source["thumbnailRendering"] == "thumbnail"


def test_the_partition_of_the_page_is_the_default_source(viewer: FlaskClient) -> None:
    text = viewer.get("/viewer/viewer/Clinic-B?StudyInstanceUIDs=1.2").text
    script = re.search(r'src="(/viewer/app-config\.js[^"]*)"', text)
    assert script is not None
    found = configuration(viewer, script[1])
    assert found["defaultDataSourceName"] == names(found)[0] == "clinic-b"


def test_the_number_of_sources_is_bounded(viewer: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer_configuration, "MOST_SOURCES", 2)
    found = configuration(viewer, "/viewer/app-config.js?partition=clinic-b")
    assert len(names(found)) == 2
    assert names(found)[0] == "clinic-b"


def test_the_only_partition_has_no_name_in_urls_while_partitions_are_off(tmp_path: Path, folder: Path) -> None:
    client = embedded(tmp_path, viewer_dir=folder, enable_data_partitions=False).test_client()
    (source,) = configuration(client)["dataSources"]
    assert source["configuration"]["wadoRoot"] == "/v2"
    assert client.get("/v2/studies").status_code == 204


def test_a_caller_finds_what_it_may_read_and_uploads_where_it_may_write(viewer: FlaskClient) -> None:
    authenticate(
        viewer.application,
        {"some": granted(Action.READ, to="clinic-a") | granted(Action.READ, Action.WRITE, to="clinic-b")},
    )
    headers = {"Authorization": "Bearer some"}
    found = configuration(viewer, headers=headers)
    uploads = {each["sourceName"]: each["configuration"]["dicomUploadEnabled"] for each in found["dataSources"]}
    assert uploads == {"clinic-a": False, "clinic-b": True}
    answer = viewer.get("/viewer/app-config.js", headers=headers)
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "Bearer" not in answer.text


def test_who_may_read_nothing_gets_no_viewer(viewer: FlaskClient) -> None:
    authenticate(viewer.application, {"writer": granted(Action.WRITE, to="clinic-a")})
    headers = {"Authorization": "Bearer writer"}
    assert viewer.get("/viewer", headers=headers).status_code == 403
    assert viewer.get("/viewer/app-config.js", headers=headers).status_code == 403
    assert viewer.get("/viewer/app-config.js", headers={"Sec-Fetch-Dest": "script"}).status_code == 401


def test_a_person_without_a_session_is_led_to_the_sign_in_and_back(viewer: FlaskClient) -> None:
    authenticate(viewer.application, {})
    answer = viewer.get(f"/viewer/clinic-a?StudyInstanceUIDs={STUDY}")
    assert answer.status_code == 303
    target = urlsplit(answer.headers["Location"])
    assert target.path == "/ui/sign-in"
    assert parse_qs(target.query) == {"next": [f"/viewer/clinic-a?StudyInstanceUIDs={STUDY}"]}


def test_a_session_is_enough_for_the_viewer(viewer: FlaskClient) -> None:
    authenticate(viewer.application, {"reader": granted(Action.READ, to="clinic-a")})
    field = re.search(r'name="form_token" value="([^"]*)"', viewer.get("/ui/sign-in").text)
    token = field[1] if field else ""
    answer = viewer.post("/ui/sign-in", data={"token": "reader", "next": "/viewer", "form_token": token})
    assert answer.status_code == 303
    assert names(configuration(viewer)) == ["clinic-a"]
    assert viewer.get("/v2/partitions/clinic-a/studies").status_code == 200


# ---------------------------------------------------------------- the files


def test_files_need_no_credentials_and_may_be_kept_for_ever(viewer: FlaskClient) -> None:
    path = f"{files_path(viewer)}/app.bundle.0f61.js"
    authenticate(viewer.application, {})
    answer = viewer.get(path)
    assert (answer.status_code, answer.content_type) == (200, "text/javascript; charset=utf-8")
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Content-Length"] == str(len(answer.data))


@pytest.mark.parametrize(
    "name, content_type",
    [
        ("app.bundle.css", "text/css; charset=utf-8"),
        ("decoder.wasm", "application/wasm"),
        ("a34f.woff2", "font/woff2"),
        ("assets/favicon.ico", "image/x-icon"),
    ],
)
def test_each_file_has_its_type(viewer: FlaskClient, name: str, content_type: str) -> None:
    assert viewer.get(f"{files_path(viewer)}/{name}").content_type == content_type


@pytest.mark.parametrize(
    "accepted, coding", [("gzip, deflate, br, zstd", "zstd"), ("gzip, zstd;q=0", "gzip"), ("br", None), ("", None)]
)
def test_a_file_comes_in_a_coding_that_the_browser_accepts(
    viewer: FlaskClient, accepted: str, coding: str | None
) -> None:
    path = f"{files_path(viewer)}/app.bundle.0f61.js"
    answer = viewer.get(path, headers={"Accept-Encoding": accepted})
    assert answer.headers.get("Content-Encoding") == coding
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert answer.headers["Content-Length"] == str(len(answer.data))
    decode = {"zstd": zstandard.decompress, "gzip": gzip.decompress, None: bytes}[coding]
    text = decode(answer.data)
    assert text.endswith(SCRIPT[-1000:])
    assert b"globalThis.VIEWER_FILES" in text


def test_a_browser_that_has_the_file_gets_no_body(viewer: FlaskClient) -> None:
    path = f"{files_path(viewer)}/app.bundle.0f61.js"
    for accepted in ("zstd", "gzip", "identity"):
        headers = {"Accept-Encoding": accepted}
        etag = viewer.get(path, headers=headers).headers["ETag"]
        again = viewer.get(path, headers=headers | {"If-None-Match": etag})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == etag


def test_head_and_ranges_of_a_file(viewer: FlaskClient) -> None:
    path = f"{files_path(viewer)}/decoder.wasm"
    head = viewer.head(path)
    assert (head.status_code, head.headers["Content-Length"], head.data) == (200, "1004", b"")
    part = viewer.get(path, headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.data) == (206, b"\0asm")
    assert viewer.get(path, headers={"Range": "bytes=9999-"}).status_code == 416


def test_a_page_of_an_older_viewer_finds_the_files_that_are_the_same(viewer: FlaskClient) -> None:
    answer = viewer.get("/viewer/files/0123456789abcdef/a34f.woff2")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "public, no-cache"


@pytest.mark.parametrize(
    "name",
    [
        "missing.js",
        "files.json",
        "index.html",
        "app.bundle.0f61.js.gz",
        "../files.json",
        "..%2ffiles.json",
        "%2e%2e/%2e%2e/etc/passwd",
        "assets/../files.json",
        "//etc/passwd.js",
        "/etc/passwd.js",
        "app.bundle.css%00.js",
        "ort/ort.js",
        "sw.js",
    ],
)
def test_only_the_listed_files_are_given(viewer: FlaskClient, name: str) -> None:
    assert viewer.get(f"{files_path(viewer)}/{name}").status_code == 404


def test_a_file_that_is_gone_is_a_failure_of_the_storage(tmp_path: Path) -> None:
    unpack(package(tmp_path), tmp_path / "viewer")
    client = embedded(tmp_path / "archive", viewer_dir=tmp_path / "viewer").test_client()
    path = f"{files_path(client)}/a34f.woff2"
    (tmp_path / "viewer/a34f.woff2").unlink()
    assert client.get(path).status_code == 503
