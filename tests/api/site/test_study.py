"""The pages of a study, a series and an instance, and their download (conformance §15.1)."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from app import create_app
from app.settings import Settings
from tests.conftest import QUIET
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance, multiframe

STUDIES = "/ui/partitions/clinic-a/studies"
STUDY = f"{STUDIES}/1.2.3"
SERIES = f"{STUDY}/series/1.2.3.4"
INSTANCE = f"{SERIES}/instances/1.2.3.4.5"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, **QUIET)


def made(**attributes: object) -> bytes:
    return make_instance(**({"study": "1.2.3", "series": "1.2.3.4", "instance": "1.2.3.4.5"} | attributes))


def test_a_study_shows_its_patient_and_its_series_by_their_numbers(
    client: FlaskClient, clinic: PartitionClient
) -> None:
    clinic.stored(
        made(SeriesDescription="First"),
        made(series="1.2.3.9", instance="1.2.3.9.1", SeriesDescription="Tenth", SeriesNumber="10"),
        made(
            series="1.2.3.8",
            instance="1.2.3.8.1",
            SeriesDescription="Second",
            SeriesNumber="2",
            StudyDescription="Thorax",
            PatientSex="F",
            StudyTime="101112",
        ),
    )
    page = client.get(STUDY).text
    for text in ("<bdi>Thorax</bdi></h1>", "Doe, Jane", "2024-01-15 10:11:12", "<dt>Sex</dt><dd><bdi>F</bdi>"):
        assert text in page
    assert re.findall(r"<h3><a [^>]*><bdi>(\w+)</bdi>", page) == ["First", "Second", "Tenth"]
    assert "/v2/partitions/clinic-a/studies/1.2.3/series/1.2.3.8/thumbnail?viewport=256%2C256" in page
    assert 'value="http://localhost/ui/partitions/clinic-a/studies/1.2.3"' in page


def test_many_series_have_pages(client: FlaskClient, clinic: PartitionClient) -> None:
    clinic.stored(*[made(series=f"1.2.3.{number}", instance=f"1.2.3.{number}.1") for number in range(1, 53)])
    first, second = client.get(STUDY).text, client.get(f"{STUDY}?offset=50").text
    assert (first.count("series-head"), second.count("series-head")) == (50, 2)
    assert f'rel="next" href="{STUDY}?offset=50"' in first
    assert f'rel="prev" href="{STUDY}"' in second


def test_a_series_shows_its_instances_in_the_order_of_storing(client: FlaskClient, clinic: PartitionClient) -> None:
    for number in range(1, 62):
        clinic.stored(made(instance=f"1.2.3.4.{number}", InstanceNumber=str(number)))
    first, second = client.get(SERIES).text, client.get(f"{SERIES}?offset=60").text
    assert re.findall(r"Instance (\d+)<", first) == [str(number) for number in range(1, 61)]
    assert re.findall(r"Instance (\d+)<", second) == ["61"]
    assert f'rel="next" href="{SERIES}?offset=60"' in first


def test_an_instance_shows_its_picture_and_its_attributes(client: FlaskClient, clinic: PartitionClient) -> None:
    item = Dataset()
    item.CodeValue = "T-A0100"
    clinic.stored(
        made(
            AnatomicRegionSequence=[item],
            extra=[DataElement(0x00091001, "LO", "secret"), DataElement(0x00090010, "LO", "ACME")],
        )
    )
    page = client.get(INSTANCE).text
    picture = f"/v2{INSTANCE.removeprefix('/ui')}/rendered?viewport=1024%2C1024"
    assert f'<img src="{picture}" alt="Picture of the instance">' in page
    assert client.get(picture, headers={"Accept": "image/avif,image/png,*/*;q=0.8"}).mimetype in (
        "image/jpeg",
        "image/png",
    )
    for text in ("(0010,0010)", "Patient&#39;s Name", "Doe, Jane", "(CT Image Storage)", "T-A0100", "1 item<", "ACME"):
        assert text in page
    assert re.search(r'<a href="/v2/partitions/clinic-a/studies/1\.2\.3/[^"]*" download>Bulk data</a>', page)


def test_each_frame_of_an_instance_has_its_picture(client: FlaskClient, clinic: PartitionClient) -> None:
    clinic.stored(multiframe(3, rows=4, columns=4, study="1.2.3", series="1.2.3.4", instance="1.2.3.4.5"))
    page = client.get(f"{INSTANCE}?frame=2").text
    assert "/frames/2/rendered" in page
    assert f'rel="prev" href="{INSTANCE}?frame=1"' in page
    assert f'rel="next" href="{INSTANCE}?frame=3"' in page
    for wanted, shown in (("0", 1), ("9", 3), ("x", 1)):
        assert f"/frames/{shown}/rendered" in client.get(f"{INSTANCE}?frame={wanted}").text


@pytest.mark.parametrize("path", [STUDY, SERIES, INSTANCE, f"{STUDY}/download", f"{SERIES}/download"])
def test_what_does_not_exist_has_an_error_page(client: FlaskClient, clinic: PartitionClient, path: str) -> None:
    clinic.stored(make_instance())
    answer = client.get(path)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "cannot be found" in answer.text


def test_a_uid_that_is_none_has_an_error_page(client: FlaskClient, clinic: PartitionClient) -> None:
    clinic.stored(make_instance())
    answer = client.get(f"{STUDIES}/abc")
    assert (answer.status_code, answer.mimetype) == (400, "text/html")


def test_the_file_of_an_instance_can_be_saved(client: FlaskClient, clinic: PartitionClient) -> None:
    file = made()
    clinic.stored(file)
    address = re.search(r'download="1\.2\.3\.4\.5\.dcm" href="([^"]*)"', client.get(INSTANCE).text)
    assert address
    assert client.get(address[1].replace("&amp;", "&")).data == file


@pytest.mark.parametrize("path", [STUDY, SERIES])
def test_the_files_can_be_saved_as_one_zip_file(client: FlaskClient, clinic: PartitionClient, path: str) -> None:
    first, second = made(), made(instance="1.2.3.4.6", patient_name="Other^Text")
    clinic.stored(first, second, make_instance())
    answer = client.get(f"{path}/download")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{path.rpartition("/")[2]}.zip"'
    assert answer.headers["Cache-Control"] == "private, no-store"
    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    assert archive.testzip() is None
    assert {name: archive.read(name) for name in archive.namelist()} == {
        "1.2.3/1.2.3.4/1.2.3.4.5.dcm": first,
        "1.2.3/1.2.3.4/1.2.3.4.6.dcm": second,
    }


def test_a_head_request_opens_no_file(client: FlaskClient, clinic: PartitionClient) -> None:
    clinic.stored(made())
    answer = client.head(f"{STUDY}/download")
    assert (answer.status_code, answer.content_type, answer.data) == (200, "application/zip", b"")


def test_hostile_values_become_text(client: FlaskClient, clinic: PartitionClient) -> None:
    text = "</bdi><script>alert(1)</script>"
    clinic.stored(
        made(
            PatientName=text,
            StudyDescription=text,
            SeriesDescription=text,
            Modality="<B>",
            PatientComments="\x1b[31m" + "long " * 2000,
            extra=[
                DataElement(0x00090010, "LO", text),
                DataElement(0x00091001, "LO", '"><img src=x onerror=alert(1)>'),
            ],
        )
    )
    for path in (STUDY, SERIES, INSTANCE):
        page = client.get(path).text
        assert not re.search(r"<(script>|img src=x|B>)", page)
        assert "\x1b" not in page
        assert len(page) < 40_000


def test_without_partitions_the_pages_have_no_partition(settings: Settings) -> None:
    client = create_app(replace(settings, enable_data_partitions=False)).test_client()
    PartitionClient(client, "/v2").stored(made())
    for path in ("/ui/studies", "/ui/studies/1.2.3", "/ui/studies/1.2.3/series/1.2.3.4"):
        page = client.get(path)
        assert page.status_code == 200
        assert "/v2/studies/1.2.3/" in page.text
        assert "/partitions/" not in page.text
