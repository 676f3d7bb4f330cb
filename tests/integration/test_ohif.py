"""OHIF 3.13 in headless Chromium: the study list, and studies of every kind as they are drawn."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.integration.copies import served
from tests.integration.viewer import DIST, PACKAGES, FileHandler, Viewer, browser, store, viewer_on
from tests.integration.viewer_studies import SIZE, SLICES, VIDEO_SIDE, body, colours, studies, study_uid

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is missing (Debian: nodejs)"),
    pytest.mark.skipif(browser() is None, reason="Chromium is missing (Debian: chromium)"),
]

POINTS = ((0.32, 0.38), (0.75, 0.48), (0.55, 0.3), (0.55, 0.7), (0.25, 0.75))
"""Where colours are compared, as parts of the width and the height."""
COMPRESSED = ("JPEG 2000", "JPEG LS", "RLE", "JPEG of 12 bits", "HTJ2K")


@pytest.fixture(scope="module")
def uids() -> dict[str, str]:
    """The Study Instance UIDs of the studies, by their names; filled by `viewer`."""
    return {}


@pytest.fixture(scope="module")
def viewer(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config, uids: dict[str, str]
) -> Iterator[Viewer]:
    """OHIF on a service with one study of each kind."""
    root = pytestconfig.rootpath
    if not (root / DIST / "index.html").is_file() or not (root / PACKAGES / "playwright-core").is_dir():
        pytest.fail("OHIF is missing: run `make integration`, which installs it with npm.", pytrace=False)
    folder = tmp_path_factory.mktemp("viewer")
    settings = {"BULKHEAD_DATA_DIR": str(folder / "archive"), "BULKHEAD_LOG_LEVEL": "error"}
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), FileHandler) as server,
        viewer_on(server, folder, root) as opened,
        served(settings | {"BULKHEAD_CORS_ORIGINS": opened.url}) as copy,
    ):
        opened.clinic = f"{copy.url}/v2/partitions/{uuid.uuid4().hex}"
        for name, files in studies().items():
            store(opened.clinic, files)
            uids[name] = study_uid(files)
        yield opened


def colours_of(picture: NDArray[Any]) -> list[list[int]]:
    """Return the colours of a picture at `POINTS`. A grey picture has 12 bits, all of which its window shows."""
    found = []
    for across, down in POINTS:
        value = picture[int(down * SIZE), int(across * SIZE)]
        found.append([int(each) for each in value] if picture.ndim == 3 else [int(value) * 255 // 4096] * 3)
    return found


def test_the_study_list(viewer: Viewer, uids: dict[str, str]) -> None:
    script = f"document.body.innerText.includes('1-{len(uids)} of {len(uids)}') && document.body.innerText"
    (page,) = viewer.open(("/", script))
    assert page.result, page.errors
    shown = page.result.split()
    for modalities in ("CT\\SEG", "SM", "ECG", "SR", "ES", "DOC", "XA", "US", "OT"):
        assert modalities in shown


@pytest.mark.parametrize(
    "name, picture",
    [
        *((name, body()) for name in COMPRESSED),
        ("CT", body((SLICES - 1) / SLICES)),
        ("Frames", body(0)),
        ("JPEG colour", colours()),
        ("Palette", colours()),
    ],
)
def test_an_image_is_drawn(viewer: Viewer, uids: dict[str, str], name: str, picture: NDArray[Any]) -> None:
    script = f"probe.image({[list(point) for point in POINTS]})"
    (page,) = viewer.open((f"/viewer?StudyInstanceUIDs={uids[name]}", script))
    assert page.result, page.errors
    assert np.abs(np.array(page.result) - colours_of(picture)).max() <= 4
    assert page.answers_to("/frames/1")
    assert {answer["status"] for answer in page.answers} == {200}


def test_a_segmentation_is_drawn_over_the_images(viewer: Viewer, uids: dict[str, str]) -> None:
    (page,) = viewer.open((f"/viewer?StudyInstanceUIDs={uids['CT']}", "probe.segmentation()"))
    assert page.result, page.errors
    assert {answer["status"] for answer in page.answers} == {200}


def test_a_document_is_shown(viewer: Viewer, uids: dict[str, str]) -> None:
    script = "document.querySelector('object') && document.querySelector('object').data"
    (page,) = viewer.open((f"/viewer?StudyInstanceUIDs={uids['PDF']}", script))
    assert page.result and page.result.endswith("/rendered"), page.errors
    first, *more = page.answers_to("/rendered")
    assert (first["status"], first["type"]) == (200, "application/pdf")
    assert all(answer["status"] == 200 for answer in more)  # the plugin of the browser hands it on


@pytest.mark.parametrize("name", ["Video", "Photographic video"])
def test_a_video_is_played(viewer: Viewer, uids: dict[str, str], name: str) -> None:
    (page,) = viewer.open((f"/viewer?StudyInstanceUIDs={uids[name]}", "probe.video()"))
    assert page.result, page.errors
    assert (page.result["width"], page.result["height"]) == (VIDEO_SIDE, VIDEO_SIDE)
    assert page.result["seconds"] == pytest.approx(30 * 0.04, abs=0.1)
    assert {(answer["status"], answer["type"]) for answer in page.answers_to("/rendered")} <= {
        (200, "video/mp4"),
        (206, "video/mp4"),
    }
    assert not page.answers_to("/frames/")


def test_a_report_and_a_waveform_are_shown(viewer: Viewer, uids: dict[str, str]) -> None:
    report, waveform = viewer.open(
        (f"/viewer?StudyInstanceUIDs={uids['Report']}", "document.body.innerText.includes('12.5 mm')"),
        (f"/viewer?StudyInstanceUIDs={uids['ECG']}", "document.querySelectorAll('canvas').length"),
    )
    assert report.result, report.errors
    assert waveform.result, waveform.errors
    (data,) = waveform.answers_to("/bulkdata/54000100/0/54001010")
    assert data["status"] == 200


def test_a_slide_is_drawn(viewer: Viewer, uids: dict[str, str]) -> None:
    script = "document.querySelector('.ol-viewport canvas') && probe.requested('/frames/') >= 16"
    (page,) = viewer.open((f"/microscopy?StudyInstanceUIDs={uids['Slide']}", script))
    assert page.result, page.errors
    assert {answer["status"] for answer in page.answers} == {200}
    assert page.answers_to("/bulkdata/00480105/0/00282000")  # the ICC profile
    left, right, top, bottom = 130, 820, 80, 500  # the map of the slide covers the corner at the left bottom
    corners = page.screenshot[[top, top, bottom], [left, right, right]].astype(int)
    assert (np.abs(corners[:, 2] - 200) < 12).all()
    assert corners[0, 0] > corners[1, 0] + 100  # the red of the tiles grows to the left as the slide lies
    assert corners[1, 1] > corners[2, 1] + 80


@pytest.mark.parametrize(
    "thumbnails, request_by",
    [
        *((each, "bulkDataRetrieve") for each in ("wadors", "thumbnail", "thumbnailDirect", "rendered")),
        *((each, "fetch") for each in ("thumbnail", "rendered")),
    ],
)
def test_thumbnails_are_shown(viewer: Viewer, uids: dict[str, str], thumbnails: str, request_by: str) -> None:
    viewer.thumbnails, viewer.request = thumbnails, request_by
    try:
        names = ("CT", "Palette", "JPEG of 12 bits")
        pages = viewer.open(*((f"/viewer?StudyInstanceUIDs={uids[name]}", "probe.thumbnail()") for name in names))
    finally:
        viewer.thumbnails, viewer.request = "wadors", "bulkDataRetrieve"
    for page in pages:
        assert page.result, page.errors
        if thumbnails != "wadors":
            kind = "rendered" if thumbnails == "rendered" else "thumbnail"
            answers = page.answers_to(f"/{kind}?")
            assert {(each["status"], each["type"]) for each in answers} == {(200, "image/jpeg")}
            assert all(("viewport=256" in each["url"]) == (request_by == "fetch") for each in answers)
