"""OHIF 3.13 in headless Chromium: the study list, and studies of every kind as they are drawn."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.integration.copies import served
from tests.integration.viewer import FOLDER, PACKAGES, SCREENSHOTS, Page, Viewer, browser, store
from tests.integration.viewer_studies import SIZE, SLICES, VIDEO_SIDE, body, colours, studies, study_uid, two_copies
from tests.support.instances import make_instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is missing (Debian: nodejs)"),
    pytest.mark.skipif(browser() is None, reason="Chromium is missing (Debian: chromium)"),
]

POINTS = ((0.32, 0.38), (0.75, 0.48), (0.55, 0.3), (0.55, 0.7), (0.25, 0.75))
"""Where colours are compared, as parts of the width and the height."""
CLINIC, OTHER = "clinic-a", "clinic-b"
COMPRESSED = ("JPEG 2000", "JPEG LS", "RLE", "JPEG of 12 bits", "HTJ2K")


@pytest.fixture(scope="module")
def uids() -> dict[str, str]:
    """The Study Instance UIDs of the studies, by their names; filled by `viewer`."""
    return {}


@pytest.fixture(scope="module")
def viewer(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config, uids: dict[str, str]
) -> Iterator[Viewer]:
    """OHIF on a service: one study of each kind in `CLINIC`, and a study that is in `CLINIC` and in `OTHER`."""
    root = pytestconfig.rootpath
    if not (root / FOLDER / "files.json").is_file() or not (root / PACKAGES / "playwright-core").is_dir():
        pytest.fail("OHIF is missing: run `make integration`, which installs it with npm.", pytrace=False)
    (root / SCREENSHOTS).mkdir(parents=True, exist_ok=True)
    settings = {
        "BULKHEAD_DATA_DIR": str(tmp_path_factory.mktemp("viewer") / "archive"),
        "BULKHEAD_VIEWER_DIR": str(root / FOLDER),
        "BULKHEAD_LOG_LEVEL": "error",
        "BULKHEAD_AUDIT": "off",
    }
    with served(settings) as copy:
        opened = Viewer(folder=root / SCREENSHOTS, repository=root, url=copy.url)
        for name, files in studies().items():
            store(opened.partition(CLINIC), files)
            uids[name] = study_uid(files)
        copies = two_copies()
        uids["Shared"] = study_uid(copies[:1])
        for name, file in zip((CLINIC, OTHER), copies, strict=True):
            store(opened.partition(name), [file])
        yield opened


def study(uid: str, partition: str = CLINIC) -> str:
    """Return the path that leads to a study in the viewer."""
    return f"/viewer/{partition}?StudyInstanceUIDs={uid}"


def require_quiet(page: Page) -> None:
    """Fail if the page wrote an error into the console of the browser, or asked another host."""
    assert page.errors == []
    assert page.foreign == []


def colours_of(picture: NDArray[Any], points: Sequence[tuple[float, float]] = POINTS) -> list[list[int]]:
    """Return the colours of a picture at points. A grey picture has 12 bits, all of which its window shows."""
    found = []
    for across, down in points:
        value = picture[int(down * SIZE), int(across * SIZE)]
        found.append([int(each) for each in value] if picture.ndim == 3 else [int(value) * 255 // 4096] * 3)
    return found


def test_the_study_list(viewer: Viewer, uids: dict[str, str]) -> None:
    script = f"document.body.innerText.includes('1-{len(uids)} of {len(uids)}') && document.body.innerText"
    (page,) = viewer.open((f"/viewer/{CLINIC}", script))
    assert page.result, page.errors
    require_quiet(page)
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
    (page,) = viewer.open((study(uids[name]), script))
    assert page.result, page.errors
    assert np.abs(np.array(page.result) - colours_of(picture)).max() <= 4
    assert page.answers_to("/frames/1")
    assert {answer["status"] for answer in page.answers} == {200}
    require_quiet(page)


def test_a_segmentation_is_drawn_over_the_images(viewer: Viewer, uids: dict[str, str]) -> None:
    (page,) = viewer.open((study(uids["CT"]), "probe.segmentation()"))
    assert page.result, page.errors
    assert {answer["status"] for answer in page.answers} == {200}
    require_quiet(page)


def test_a_document_is_shown(viewer: Viewer, uids: dict[str, str]) -> None:
    script = "document.querySelector('object') && document.querySelector('object').data"
    (page,) = viewer.open((study(uids["PDF"]), script))
    assert page.result and page.result.endswith("/rendered"), page.errors
    first, *more = page.answers_to("/rendered")
    assert (first["status"], first["type"]) == (200, "application/pdf")
    assert all(answer["status"] == 200 for answer in more)  # the plugin of the browser hands it on


@pytest.mark.parametrize("name", ["Video", "Photographic video"])
def test_a_video_is_played(viewer: Viewer, uids: dict[str, str], name: str) -> None:
    (page,) = viewer.open((study(uids[name]), "probe.video()"))
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
        (study(uids["Report"]), "document.body.innerText.includes('12.5 mm')"),
        (study(uids["ECG"]), "document.querySelectorAll('canvas').length"),
    )
    assert report.result, report.errors
    assert waveform.result, waveform.errors
    (data,) = waveform.answers_to("/bulkdata/54000100/0/54001010")
    assert data["status"] == 200


def test_a_slide_is_drawn(viewer: Viewer, uids: dict[str, str]) -> None:
    script = "document.querySelector('.ol-viewport canvas') && probe.requested('/frames/') >= 16"
    (page,) = viewer.open((f"/viewer/microscopy/{CLINIC}?StudyInstanceUIDs={uids['Slide']}", script))
    assert page.result, page.errors
    assert {answer["status"] for answer in page.answers} == {200}
    require_quiet(page)
    assert page.answers_to("/bulkdata/00480105/0/00282000")  # the ICC profile
    left, right, top, bottom = 130, 820, 80, 500  # the map of the slide covers the corner at the left bottom
    corners = page.screenshot[[top, top, bottom], [left, right, right]].astype(int)
    assert (np.abs(corners[:, 2] - 200) < 12).all()
    assert corners[0, 0] > corners[1, 0] + 100  # the red of the tiles grows to the left as the slide lies
    assert corners[1, 1] > corners[2, 1] + 80


def test_thumbnails_are_shown(viewer: Viewer, uids: dict[str, str]) -> None:
    pages = viewer.open(*((study(uids[name]), "probe.thumbnail()") for name in ("CT", "Palette", "JPEG of 12 bits")))
    for page in pages:
        assert page.result, page.errors
        require_quiet(page)
        answers = page.answers_to("/thumbnail?")
        assert {(each["status"], each["type"]) for each in answers} == {(200, "image/jpeg")}
        assert all("viewport=256" in each["url"] for each in answers)


@pytest.mark.parametrize(
    "thumbnails, request_by",
    [
        *((each, "bulkDataRetrieve") for each in ("wadors", "thumbnail", "thumbnailDirect", "rendered")),
        ("rendered", "fetch"),
    ],
)
def test_thumbnails_are_shown_by_a_viewer_with_another_configuration(
    viewer: Viewer, uids: dict[str, str], thumbnails: str, request_by: str
) -> None:
    viewer.changes = {"thumbnailRendering": thumbnails, "thumbnailRequestStrategy": request_by}
    try:
        names = ("CT", "Palette", "JPEG of 12 bits")
        pages = viewer.open(*((study(uids[name]), "probe.thumbnail()") for name in names))
    finally:
        viewer.changes = {}
    for page in pages:
        assert page.result, page.errors
        if thumbnails != "wadors":
            kind = "rendered" if thumbnails == "rendered" else "thumbnail"
            answers = page.answers_to(f"/{kind}?")
            assert {(each["status"], each["type"]) for each in answers} == {(200, "image/jpeg")}
            assert all(("viewport=256" in each["url"]) == (request_by == "fetch") for each in answers)


def test_each_partition_shows_its_own_copy_of_a_study(viewer: Viewer, uids: dict[str, str]) -> None:
    points = (*POINTS, (0.41, 0.38))  # the last one is in the hole of the second copy only
    script = f"probe.image({[list(point) for point in points]})"
    pages = viewer.open(*((study(uids["Shared"], name), script) for name in (CLINIC, OTHER)))
    for page, name, position in zip(pages, (CLINIC, OTHER), (0, 1), strict=True):
        assert page.result, page.errors
        require_quiet(page)
        assert np.abs(np.array(page.result) - colours_of(body(position), points)).max() <= 4
        assert all(answer["url"].startswith(f"{viewer.partition(name)}/") for answer in page.answers)
    assert pages[0].result[-1] != pages[1].result[-1]


def test_a_file_is_uploaded_into_the_partition_of_the_list(viewer: Viewer, tmp_path: Path) -> None:
    file = tmp_path / "upload.dcm"
    file.write_bytes(make_instance(patient_name="Uploaded^File"))
    script = "document.body.innerText.includes('1 file completed.')"
    (page,) = viewer.open((f"/viewer/{OTHER}", script), upload=file)
    assert page.result, page.errors
    (stored,) = [each for each in page.answers if each["url"].endswith("/studies") and "dicom+json" in each["type"]]
    assert stored["status"] == 200
    assert stored["url"] == f"{viewer.partition(OTHER)}/studies"
    (listed,) = viewer.open((f"/viewer/{OTHER}", "document.body.innerText.includes('Uploaded') && 'found'"))
    assert listed.result == "found"
