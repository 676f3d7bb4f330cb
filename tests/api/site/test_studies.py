"""The page of a partition's studies and its search box (conformance §15.1)."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app.settings import Settings
from app.web.site.study_search import PAGE_SIZE, StudySearch
from tests.conftest import QUIET, Serve
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

PAGE = "/ui/partitions/clinic-a/studies"
TODAY = date(2024, 3, 1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, **QUIET)


def patients(page: str) -> list[str]:
    return re.findall(r'studies/[0-9.]+"><bdi>([^<]*)</bdi></a>', page)


@pytest.fixture
def archive(client: FlaskClient, clinic: PartitionClient) -> FlaskClient:
    """Three studies: of Berg and Bauer with CT, of Alder with MR."""
    clinic.stored(
        make_instance(
            patient_name="Alder^Ann", patient_id="A1", modality="MR", study_date="20240301", AccessionNumber="7"
        ),
        make_instance(patient_name="Bauer^Bea", patient_id="B1", study_date="20240229", StudyDescription="Thorax scan"),
        make_instance(
            patient_name="Berg^Ann", patient_id="B2", study_date="20230101", ReferringPhysicianName="Koch^Ida"
        ),
    )
    return client


def test_a_study_shows_what_people_look_for(archive: FlaskClient) -> None:
    page = archive.get(f"{PAGE}?PatientID=A1").text
    assert patients(page) == ["Alder, Ann"]
    for text in ("A1", "2024-03-01", ">MR<", "Accession <bdi>7</bdi>", 'alt="Picture of the study"', 'loading="lazy"'):
        assert text in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Berg, Ann", "Bauer, Bea", "Alder, Ann"]),
        ("PatientName=ann", ["Berg, Ann", "Alder, Ann"]),
        ("PatientName=be+ann", ["Berg, Ann"]),
        ("PatientName=Berg,+Ann", ["Berg, Ann"]),
        ("PatientName=B*", ["Berg, Ann", "Bauer, Bea"]),
        ("PatientName=b*&ReferringPhysicianName=koch", ["Berg, Ann"]),
        ("ReferringPhysicianName=ida", ["Berg, Ann"]),
        ("PatientID=B?", ["Berg, Ann", "Bauer, Bea"]),
        ("AccessionNumber=7", ["Alder, Ann"]),
        ("StudyDescription=thorax", ["Bauer, Bea"]),
        ("StudyDescription=*scan", ["Bauer, Bea"]),
        ("ModalitiesInStudy=mr", ["Alder, Ann"]),
        ("ModalitiesInStudy=MR,CT&PatientID=A1", ["Alder, Ann"]),
        ("from=2024-02-29", ["Bauer, Bea", "Alder, Ann"]),
        ("to=20231231", ["Berg, Ann"]),
        ("from=2024-02-29&to=2024-02-29", ["Bauer, Bea"]),
        ("PatientID=B1&unknown=1", ["Bauer, Bea"]),
        ("PatientID=+&offset=1", ["Bauer, Bea", "Alder, Ann"]),
    ],
)
def test_the_search_box_finds_studies(archive: FlaskClient, query: str, found: list[str]) -> None:
    assert patients(archive.get(f"{PAGE}?{query}").text) == found


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("from=2024-13-01", "&#39;2024-13-01&#39; is not a date. Write it as 2024-01-31."),
        ("PatientBirthDate=soon", "&#39;soon&#39; is not a date."),
        ("from=2024-02-01&to=2024-01-01", "The first day 2024-02-01 is after the last day 2024-01-01."),
        ("StudyInstanceUID=abc", "Dicom element &#39;StudyInstanceUID&#39; failed validation"),
        ("PatientName=a%22", "has a quotation mark"),
        ("AccessionNumber=" + "9" * 20, "Value length exceeds maximum length."),
    ],
)
def test_what_is_wrong_in_the_search_box_is_said_in_the_page(archive: FlaskClient, query: str, message: str) -> None:
    answer = archive.get(f"{PAGE}?{query}")
    assert answer.status_code == 400
    assert message in answer.text
    assert 'role="search"' in answer.text


@pytest.mark.parametrize(
    ("period", "dates"),
    [
        ("today", "20240301-20240301"),
        ("yesterday", "20240229-20240229"),
        ("week", "20240224-20240301"),
        ("month", "20240201-20240301"),
        ("year", "20240101-20240301"),
    ],
)
def test_a_period_is_a_range_of_study_dates(period: str, dates: str) -> None:
    assert ("StudyDate", dates) in StudySearch.of({"period": period}).parameters(TODAY)


def test_days_replace_a_period() -> None:
    search = StudySearch.of({"period": "today", "from": "2020-01-02"})
    assert ("StudyDate", "20200102-") in search.parameters(TODAY)
    assert search.query() == {"from": "2020-01-02", "offset": ""}


@pytest.mark.parametrize("offset", ["-1", "x", "", "\u0661"])
def test_an_offset_that_is_no_number_is_the_first_page(archive: FlaskClient, offset: str) -> None:
    assert len(patients(archive.get(PAGE, query_string={"offset": offset}).text)) == 3


def test_pages_of_studies_follow_each_other(client: FlaskClient, clinic: PartitionClient) -> None:
    clinic.stored(*[make_instance(patient_id="P") for _ in range(PAGE_SIZE + 1)])
    first = client.get(f"{PAGE}?PatientID=P").text
    assert first.count('scope="row"') == PAGE_SIZE
    found = re.search('rel="next" href="([^"]*)"', first)
    assert found
    following = found[1].replace("&amp;", "&")
    assert following.startswith(f"{PAGE}?PatientID=P&offset={PAGE_SIZE}&cursor=")
    clinic.stored(make_instance(patient_id="P"))
    second = client.get(following).text
    assert second.count('scope="row"') == 1
    assert f"Studies {PAGE_SIZE + 1} to {PAGE_SIZE + 1}" in second
    assert f'rel="prev" href="{PAGE}?PatientID=P"' in second
    assert 'rel="next"' not in second
    by_offset = client.get(f"{PAGE}?PatientID=P&offset={PAGE_SIZE}").text
    assert by_offset.count('scope="row"') == 2


def test_the_page_before_one_beyond_the_highest_offset_is_the_first_page(serve: Serve) -> None:
    client = serve(max_offset=PAGE_SIZE)
    PartitionClient(client).stored(make_instance())
    for offset, before in ((2 * PAGE_SIZE, f"{PAGE}?offset={PAGE_SIZE}"), (3 * PAGE_SIZE, PAGE)):
        page = client.get(f"{PAGE}?offset={offset}&cursor=x").text
        assert f'rel="prev" href="{before}"' in page


def test_a_study_opens_in_the_viewer_if_that_is_installed(
    archive: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/viewer/viewer/clinic-a?StudyInstanceUIDs="
    for page in ("front", "studies"):
        monkeypatch.setattr(f"app.web.site.{page}.is_installed", lambda _: False)
    assert path not in archive.get(PAGE).text + archive.get("/").text
    for page in ("front", "studies"):
        monkeypatch.setattr(f"app.web.site.{page}.is_installed", lambda _: True)
    assert archive.get(PAGE).text.count(path) == 3
    assert archive.get("/").text.count(path) == 3


def test_an_empty_partition_says_how_to_store(client: FlaskClient) -> None:
    page = client.get("/ui/partitions/Microsoft.Default/studies").text
    assert "bulkhead store FOLDER --url http://localhost --partition Microsoft.Default" in page


def test_a_search_without_matches_is_told_from_an_empty_partition(archive: FlaskClient) -> None:
    page = archive.get(f"{PAGE}?PatientID=none").text
    assert "No study matches" in page
    assert "bulkhead store" not in page


def test_a_partition_that_does_not_exist_has_an_error_page(client: FlaskClient) -> None:
    answer = client.get("/ui/partitions/missing/studies")
    assert (answer.status_code, answer.mimetype) == (400, "text/html")
    assert "Specified PartitionName missing doesn&#39;t exist." in answer.text


@pytest.mark.parametrize("path", ["/ui/nothing", "/ui/partitions/clinic-a/nothing", "/ui/operations/x/y"])
def test_an_address_below_ui_that_is_no_page_has_an_error_page(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")


def test_hostile_values_become_text(client: FlaskClient, clinic: PartitionClient) -> None:
    clinic.store(
        make_instance(
            patient_name='<script>alert(1)</script>^"><img src=x onerror=alert(2)>',
            patient_id="'\"><svg onload=alert(3)>",
            StudyDescription="</td><script>alert(4)</script>{{ 7*7 }}",
            AccessionNumber="<b>",
        )
    )
    for page in (client.get(PAGE).text, client.get("/").text):
        assert "&lt;script&gt;alert(1)" in page
        assert not re.search(r"<(script>|svg|img src=x|b>)", page)
        assert "49" not in page.partition("{{ 7*7 }}")[0][-20:]


def test_the_search_box_shows_hostile_input_as_text(archive: FlaskClient) -> None:
    page = archive.get(PAGE, query_string={"PatientID": '"onfocus="alert(1)" x="'}).text
    assert 'value="&#34;onfocus=&#34;alert(1)&#34; x=&#34;"' in page


def test_text_that_turns_its_direction_is_kept_in_its_place(client: FlaskClient, clinic: PartitionClient) -> None:
    clinic.store(make_instance(patient_name="\u202eevil^\u05d3\u05d5\u05d3", SpecificCharacterSet="ISO_IR 192"))
    page = client.get(PAGE).text
    assert "\u202e" not in page
    assert patients(page) == ["\N{REPLACEMENT CHARACTER}evil, \u05d3\u05d5\u05d3"]
