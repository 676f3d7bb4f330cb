"""MONAI Label and 3D Slicer: base URLs that end in a slash, lists without a limit, whole series."""

from __future__ import annotations

from tests.api.clients.conftest import CT, JPEG, MOVIE, STUDY
from tests.support.dicomweb import PartitionClient, parts, value
from tests.support.instances import make_instance

SERIES_ACCEPT = 'multipart/related; type="application/dicom"'


def test_a_base_url_that_ends_in_a_slash(clinic: PartitionClient, archive: list[bytes]) -> None:
    for path in (
        "//studies",
        f"//studies/{STUDY}/series",
        f"//series?StudyInstanceUID={STUDY}",
        f"//studies/{STUDY}/series/{CT}/instances",
        f"//studies/{STUDY}/series/{CT}/metadata",
        f"/studies//{STUDY}/series",
        "/studies/",
    ):
        assert clinic.get(path, "application/dicom+json").status_code == 200, path
    body = archive[0].replace(b"2.25.110", b"2.25.119")
    assert clinic.post(body, "application/dicom", "//studies").status_code == 200


def test_lists_without_a_limit(clinic: PartitionClient, archive: list[bytes]) -> None:
    """These programs take the first page for all, so the warning on it is all that tells them of more."""
    rows = clinic.get("/series", "application/dicom+json").get_json(force=True)
    assert {value(each, "0020000E") for each in rows} == {CT, MOVIE, JPEG}
    study = "2.25.40"
    more = [make_instance(study=study, series="2.25.41", pixel=False) for _ in range(101)]
    clinic.stored(*more)
    page = clinic.get(f"/studies/{study}/series/2.25.41/instances", "application/dicom+json")
    assert len(page.get_json(force=True)) == 100
    assert page.headers["Warning"] == '299 localhost: "There are additional results that can be requested."'


def test_a_whole_series(clinic: PartitionClient, archive: list[bytes]) -> None:
    for series, files in ((CT, archive[:2]), (MOVIE, archive[2:3]), (JPEG, archive[3:])):
        answer = clinic.get(f"//studies/{STUDY}/series/{series}", SERIES_ACCEPT)
        assert answer.status_code == 200
        assert sorted(part.body for part in parts(answer)) == sorted(files)


def test_filters_of_a_series_list(clinic: PartitionClient, archive: list[bytes]) -> None:
    for query, found in (("Modality=CT", 2), ("Modality=SEG", 0), (f"StudyInstanceUID={STUDY}&Modality=XA", 1)):
        answer = clinic.get(f"/series?{query}", "application/dicom+json")
        assert len(answer.get_json(force=True) if answer.status_code == 200 else []) == found, query
