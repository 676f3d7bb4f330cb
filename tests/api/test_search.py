"""Search through HTTP (conformance §5): every row of its tables, on one archive that does not change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydicom.dataelem import DataElement
from werkzeug.test import TestResponse

from app import bootstrap, create_app
from app.errors import IDENTIFIER_RULE
from app.settings import Settings
from tests.support.aws import mocked_aws
from tests.support.dicomweb import DICOM_JSON, PartitionClient, value
from tests.support.instances import make_instance
from tests.support.selection import ENGINES

S1, S2, S3, S4, S5 = "2.25.1", "2.25.2", "2.25.3", "2.25.4", "2.25.5"
"""Studies in the order of storing. The UIDs below a study start with the UID of the study."""

FILES: list[dict[str, Any]] = [
    {
        "study": S1,
        "series": f"{S1}.1",
        "instance": f"{S1}.1.1",
        "patient_id": "P1",
        "patient_name": "Müller^Jörg=山田^太郎=やまだ^たろう",
        "study_date": "20240115",
        "AccessionNumber": b"ACC-1\0",
        "StudyDescription": "Chest CT ",
        "ReferringPhysicianName": "House^Gregory",
        "PatientBirthDate": "19700101",
        "modality": "CT",
        "PerformedProcedureStepStartDate": "20240115",
        "ManufacturerModelName": "Scanner 64",
        "StudyTime": "101500",
        "SeriesDescription": "Axial",
        "PatientSex": "M",
        "StudyID": "ID1",
        "extra": [
            DataElement(0x00091001, "LO", "private"),
            DataElement(0x00090010, "LO", "ACME"),
        ],
    },
    {"study": S1, "series": f"{S1}.1", "instance": f"{S1}.1.2", "patient_id": "P1", "patient_name": None},
    {
        "study": S1,
        "series": f"{S1}.2",
        "instance": f"{S1}.2.1",
        "patient_id": "P1",
        "patient_name": None,
        "modality": "MR",
        "ManufacturerModelName": "Magnet*",
        "PerformedProcedureStepStartDate": "20240116",
    },
    {
        "study": S2,
        "series": f"{S2}.1",
        "instance": f"{S2}.1.1",
        "patient_id": "p1",
        "patient_name": "Smith^Ann Mary",
        "study_date": "20240116",
        "AccessionNumber": "Acc-2",
        "StudyDescription": "Überblick",
        "ReferringPhysicianName": "Wilson^James",
        "PatientBirthDate": "19800101",
        "modality": "CT",
    },
    {
        "study": S3,
        "series": f"{S3}.1",
        "instance": f"{S3}.1.1",
        "patient_id": "P*",
        "patient_name": "SMITH^JOHN^Q",
        "study_date": "20231231",
        "AccessionNumber": "A,B",
        "StudyDescription": "Uberblick",
        "modality": "US",
    },
    {
        "study": S4,
        "series": f"{S4}.1",
        "instance": f"{S4}.1.1",
        "patient_id": "P1234",
        "patient_name": "Mary^Smithson",
        "study_date": None,
        "modality": None,
    },
    {
        "study": S5,
        "series": f"{S5}.1",
        "instance": f"{S5}.1.1",
        "patient_id": "Q/1 & 100%",
        "patient_name": "Ångström^Åsa",
        "study_date": "20240229",
        "StudyDescription": "Vu à Zoë",
        "AccessionNumber": "A+B",
        "modality": "CT",
        "NumberOfStudyRelatedInstances": "77",
    },
]

NAMES = ["=山田^太郎", "==やまだ^たろう", "Yamada^^=山田^太郎^^", "홍^길동", "Doe^A\U0010fffe\U0010ffff"]
"""Of the studies 2.25.1, 2.25.2, …"""


@pytest.fixture(scope="module", params=ENGINES)
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartitionClient]:
    """A client of an archive with the files above in clinic-a, another in clinic-b, and the names in clinic-n."""
    folder: Path = tmp_path_factory.mktemp("library")
    settings = Settings(data_dir=folder, log_level="error")
    with mocked_aws():
        if request.param == "moto":
            settings = Settings(engine="aws", table="archive", bucket="archive", log_level="error")
        bootstrap.initialise(settings)
        caller = PartitionClient(create_app(settings, bootstrap.build_engine(settings)).test_client())
        for file in FILES:
            caller.stored(make_instance(pixel=False, **{"SpecificCharacterSet": "ISO_IR 192", **file}))
        PartitionClient(caller.client, "/v2/partitions/clinic-b").stored(
            make_instance(patient_id="P1", pixel=False, extra=[DataElement(0x60020010, "US", 512)])
        )
        for i, name in enumerate(NAMES, 1):
            PartitionClient(caller.client, "/v2/partitions/clinic-n").stored(
                make_instance(study=f"2.25.{i}", patient_name=name, SpecificCharacterSet="ISO_IR 192", pixel=False)
            )
        yield caller


@pytest.fixture
def v2(library: PartitionClient) -> PartitionClient:
    return library


@pytest.fixture
def v1(library: PartitionClient) -> PartitionClient:
    return PartitionClient(library.client, "/v1/partitions/clinic-a")


def rows(response: TestResponse) -> list[dict[str, Any]]:
    """The matches of an answer that must be a success."""
    assert response.status_code in (200, 204), response.text
    if response.status_code == 204:
        assert (response.data, "Content-Type" in response.headers) == (b"", False)
        return []
    assert response.headers["Content-Type"] == DICOM_JSON
    found: list[dict[str, Any]] = response.get_json(force=True)
    assert found
    assert all(list(row) == sorted(row) for row in found)
    return found


def studies(response: TestResponse) -> list[str]:
    return [value(row, "0020000D") for row in rows(response)]


def refused(response: TestResponse) -> str:
    assert response.status_code == 400, response.text
    return response.text


# --- resources, order, levels -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "tag", "found"),
    [
        ("/studies", "0020000D", [S5, S4, S3, S2, S1]),
        ("/series", "0020000E", [f"{S5}.1", f"{S4}.1", f"{S3}.1", f"{S2}.1", f"{S1}.2", f"{S1}.1"]),
        (
            "/instances",
            "00080018",
            [f"{S5}.1.1", f"{S4}.1.1", f"{S3}.1.1", f"{S2}.1.1", f"{S1}.2.1", f"{S1}.1.2", f"{S1}.1.1"],
        ),
        (f"/studies/{S1}/series", "0020000E", [f"{S1}.2", f"{S1}.1"]),
        (f"/studies/{S1}/instances", "00080018", [f"{S1}.2.1", f"{S1}.1.2", f"{S1}.1.1"]),
        (f"/studies/{S1}/series/{S1}.1/instances", "00080018", [f"{S1}.1.2", f"{S1}.1.1"]),
        ("/studies/2.25.99/series", "0020000E", []),
        ("/studies/2.25.99/instances", "00080018", []),
        (f"/studies/{S1}/series/{S2}.1/instances", "00080018", []),
    ],
)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_each_resource_returns_the_newest_match_first(
    library: PartitionClient, version: str, path: str, tag: str, found: list[str]
) -> None:
    response = PartitionClient(library.client, f"/{version}/partitions/clinic-a").get(path)
    assert [value(row, tag) for row in rows(response)] == found


LEVELS = {
    "StudyDate=20240115": 1,
    "ModalitiesInStudy=CT": 1,
    "PatientName=x": 1,
    f"SeriesInstanceUID={S1}.1": 2,
    "Modality=CT": 2,
    f"SOPInstanceUID={S1}.1.1": 3,
}
RESOURCES = {
    "/studies": (1,),
    "/series": (1, 2),
    "/instances": (1, 2, 3),
    f"/studies/{S1}/series": (2,),
    f"/studies/{S1}/instances": (2, 3),
    f"/studies/{S1}/series/{S1}.1/instances": (3,),
}


@pytest.mark.parametrize("path", RESOURCES)
@pytest.mark.parametrize("filter_", LEVELS)
def test_a_resource_filters_on_its_level_and_those_above(v2: PartitionClient, path: str, filter_: str) -> None:
    response = v2.get(f"{path}?{filter_}")
    if LEVELS[filter_] in RESOURCES[path]:
        assert response.status_code in (200, 204)
    else:
        name = filter_.partition("=")[0]
        assert refused(response).startswith(f"Invalid query: AttributeId {name} is not queryable.")


@pytest.mark.parametrize("path", RESOURCES)
def test_a_study_uid_filters_everywhere(v2: PartitionClient, path: str) -> None:
    assert {value(row, "0020000D") for row in rows(v2.get(f"{path}?StudyInstanceUID={S1}"))} == {S1}
    assert (v2.get(f"{path}?StudyInstanceUID=2.25.99").status_code) == 204
    if S1 in path:
        assert v2.get(f"{path}?StudyInstanceUID={S2}").status_code == 204


SERIES = ("0020000E", "00080060", "00400244", "00081090")


# --- attributes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "tag", "asked", "found"),
    [
        ("StudyDate", "00080020", "20240115", [S1]),
        ("StudyInstanceUID", "0020000D", S2, [S2]),
        ("StudyDescription", "00081030", "Chest CT", [S1]),
        ("AccessionNumber", "00080050", "Acc-2", [S2]),
        ("PatientID", "00100020", "P1234", [S4]),
        ("PatientName", "00100010", "Smith^Ann Mary", [S2]),
        ("ReferringPhysicianName", "00080090", "House^Gregory", [S1]),
        ("PatientBirthDate", "00100030", "19800101", [S2]),
        ("ModalitiesInStudy", "00080061", "MR", [S1]),
        ("SeriesInstanceUID", "0020000E", f"{S1}.2", [S1]),
        ("Modality", "00080060", "US", [S3]),
        ("PerformedProcedureStepStartDate", "00400244", "20240116", [S1]),
        ("ManufacturerModelName", "00081090", "Scanner 64", [S1]),
        ("SOPInstanceUID", "00080018", f"{S4}.1.1", [S4]),
    ],
)
def test_each_searchable_attribute_filters(
    v1: PartitionClient, v2: PartitionClient, keyword: str, tag: str, asked: str, found: list[str]
) -> None:
    path = "/series" if tag in SERIES else "/instances" if tag == "00080018" else "/studies"
    for name in (keyword, tag, tag.lower()):
        for caller in (v1, v2):
            (row,) = rows(caller.get(f"{path}?{name}={asked}"))
            assert [value(row, "0020000D")] == found
    assert tag in row


@pytest.mark.parametrize("name", ["SeriesTime", "00080031", "SOPClassUID", "PatientSex", "SeriesNumber"])
def test_other_attributes_are_not_queryable(v1: PartitionClient, v2: PartitionClient, name: str) -> None:
    for caller in (v1, v2):
        assert refused(caller.get(f"/studies?{name}=1")) == NOT_QUERYABLE.format(name)


def test_the_misspelt_attribute_of_the_documentation_is_refused(v2: PartitionClient) -> None:
    assert refused(v2.get("/studies?00090090=House")) == NOT_QUERYABLE.format("00090090")


# --- matching -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        # letter case and trailing spaces do not count, accents do
        ("PatientID=P1", [S2, S1]),
        ("PatientID=p1", [S2, S1]),
        ("PatientID=P1%20%20", [S2, S1]),
        ("PatientID=%20P1", [S2, S1]),
        ("PatientID=%20%09P1%20%00", [S2, S1]),
        ("PatientID=P", []),
        ("StudyDescription=chest%20ct", [S1]),
        ("StudyDescription=CHEST+CT", [S1]),
        ("StudyDescription=Chest%20CT%20", [S1]),
        (f"StudyDescription={quote('überblick')}", [S2]),
        ("StudyDescription=uberblick", [S3]),
        (f"StudyDescription={quote('VU À ZOË')}", [S5]),
        (f"StudyDescription={quote('Vu à Zoë')}", [S5]),  # decomposed
        # UIDs and dates
        (f"StudyInstanceUID={S1}%20", [S1]),
        ("StudyDate=20240229", [S5]),
        ("StudyDate=20200101", []),
        # NULs at the end, in the file and in the query
        ("AccessionNumber=ACC-1", [S1]),
        ("AccessionNumber=ACC-1%00", [S1]),
        ("AccessionNumber=acc-1%20%00", [S1]),
        ("PatientID=P1%00%00", [S2, S1]),
        ("PatientID=%00P1", []),
        # characters with a meaning in URLs, and in lists
        ("PatientID=Q%2F1%20%26%20100%25", [S5]),
        ("AccessionNumber=A%2BB", [S5]),
        ("AccessionNumber=A+B", []),
        ("AccessionNumber=A,B", [S3]),
        ("AccessionNumber=A%5CB", []),
        ("PatientID=%FF", []),
        ("PatientID=P%EF%BC%91", []),  # a full-width 1
        # person names: accents do not count; a value without `=` is the alphabetic group
        ("PatientName=muller%5Ejorg", [S1]),
        (f"PatientName={quote('MÜLLER^JÖRG')}", [S1]),
        (f"PatientName={quote('山田^太郎')}", []),
        (f"PatientName={quote('=山田^太郎')}", [S1]),
        (f"PatientName={quote('==やまだ^たろう')}", [S1]),
        (f"PatientName={quote('Müller^Jörg=')}", [S1]),
        (f"PatientName={quote('Müller^Jörg==やまだ^たろう')}", [S1]),
        (f"PatientName={quote('Müller^Jörg=やまだ^たろう')}", []),
        (f"PatientName={quote('Müller^Jörg=山田^太郎=やまだ^たろう')}", [S1]),
        ("PatientName=muller%5Ejorg%5E%5E", [S1]),
        ("PatientName=muller", []),
        ("PatientName=smith%5Eann%20mary", [S2]),
        ("PatientName=angstrom%5Easa", [S5]),
        # modalities
        ("ModalitiesInStudy=CT", [S5, S2, S1]),
        ("ModalitiesInStudy=mr", [S1]),
        ("ModalitiesInStudy=XA", []),
        # several attributes: all must match
        ("PatientID=P1&ModalitiesInStudy=MR", [S1]),
        ("PatientID=P1&StudyDate=20240116", [S2]),
        ("PatientID=P1&StudyDate=20240116&ModalitiesInStudy=MR", []),
    ],
)
def test_exact_matching(v2: PartitionClient, query: str, found: list[str]) -> None:
    assert studies(v2.get(f"/studies?{query}")) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("StudyDate=20240115-20240116", [S2, S1]),
        ("StudyDate=20240115-20240115", [S1]),
        ("StudyDate=20240116-", [S5, S2]),
        ("StudyDate=-20240115", [S3, S1]),
        ("StudyDate=19000101-19000102", []),
        ("StudyDate=%2020240115%20-%2020240116", [S2, S1]),
        ("PatientBirthDate=19700101-19791231", [S1]),
        ("PatientBirthDate=-19991231", [S2, S1]),
        ("PatientID=P1&StudyDate=20240116-", [S2]),
        ("StudyDate=20240101-&PatientBirthDate=-19751231", [S1]),
        ("ModalitiesInStudy=CT&StudyDate=20240116-", [S5, S2]),
    ],
)
def test_range_matching(v2: PartitionClient, query: str, found: list[str]) -> None:
    assert studies(v2.get(f"/studies?{query}")) == found


def test_a_range_of_a_series_date(v2: PartitionClient) -> None:
    found = rows(v2.get("/series?PerformedProcedureStepStartDate=20240116-20241231"))
    assert [value(row, "0020000E") for row in found] == [f"{S1}.2"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("smi", [S4, S3, S2]),
        ("SMITH", [S4, S3, S2]),
        ("smith", [S4, S3, S2]),
        ("smithson", [S4]),
        ("ith", []),
        ("mary", [S4, S2]),
        (" mary ", [S4, S2]),
        ("ann mary", [S2]),
        ("an ma", [S2]),
        ("mary ann", []),
        ("smith mary", []),
        ("smith ann mary", [S2]),
        ("smith^john", [S3]),
        ("smith^q", []),
        ("joh q", [S3]),
        ("muller", [S1]),
        ("mül", [S1]),
        ("山", [S1]),
        ("たろ", [S1]),
        ("angs", [S5]),
        ("Åsa", [S5]),
        ("smith*", [S4, S3, S2]),
        ("nobody", []),
    ],
)
def test_fuzzy_matching_of_names(v2: PartitionClient, name: str, found: list[str]) -> None:
    assert studies(v2.get(f"/studies?PatientName={quote(name)}&fuzzymatching=true")) == found
    assert studies(v2.get(f"/studies?fuzzyMatching=TRUE&00100010={quote(name)}")) == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("山田^太郎", []),
        ("=山田^太郎", ["2.25.3", "2.25.1"]),
        ("Yamada=山田^太郎", ["2.25.3"]),
        ("yam*=山田*", ["2.25.3"]),
        ("Doe=山田^太郎", []),
        ("*=山田?太郎", ["2.25.3", "2.25.1"]),
        ("山田*", []),
        ("=山田*", ["2.25.3", "2.25.1"]),
        ("=*太郎", ["2.25.3", "2.25.1"]),
        ("=山田*=", ["2.25.3", "2.25.1"]),
        ("=やまだ*", []),
        ("やまだ^たろう", []),
        ("==やまだ^たろう", ["2.25.2"]),
        ("==やま*", ["2.25.2"]),
        ("==*", ["2.25.5", "2.25.4", "2.25.3", "2.25.2", "2.25.1"]),
        ("=", ["2.25.5", "2.25.4", "2.25.3", "2.25.2", "2.25.1"]),
        ("===Doe", []),
        ("홍^길동", ["2.25.4"]),
        ("홍^?동", ["2.25.4"]),
        ("홍?길동", ["2.25.4"]),
        ("Doe^A\U0010fffe*", ["2.25.5"]),
        ("Doe^A*", ["2.25.5"]),
    ],
)
def test_component_groups_and_characters_of_names(library: PartitionClient, name: str, found: list[str]) -> None:
    clinic = PartitionClient(library.client, "/v2/partitions/clinic-n")
    assert studies(clinic.get(f"/studies?PatientName={quote(name)}")) == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("山田 太", ["2.25.3", "2.25.1"]),
        ("やまだ", ["2.25.2"]),
        ("yam", ["2.25.3"]),
        ("=山田*", ["2.25.3", "2.25.1"]),
        ("=太", ["2.25.3", "2.25.1"]),
        ("yam=太郎", ["2.25.3"]),
        ("==山田", []),
        ("==たろ", ["2.25.2"]),
        ("=yam", []),
        ("홍 길", ["2.25.4"]),
    ],
)
def test_fuzzy_matching_of_any_or_one_component_group(library: PartitionClient, name: str, found: list[str]) -> None:
    clinic = PartitionClient(library.client, "/v2/partitions/clinic-n")
    assert studies(clinic.get(f"/studies?PatientName={quote(name)}&fuzzymatching=true")) == found


def test_fuzzy_matching_is_only_for_names_and_off_by_default(v2: PartitionClient) -> None:
    assert studies(v2.get("/studies?PatientName=smi")) == []
    assert studies(v2.get("/studies?PatientName=smi&fuzzymatching=false")) == []
    assert studies(v2.get("/studies?PatientID=P12&fuzzymatching=true")) == []
    assert studies(v2.get("/studies?ReferringPhysicianName=hou&fuzzymatching=true")) == [S1]
    found = rows(v2.get("/instances?PatientName=smi&fuzzymatching=true"))
    assert [value(row, "0020000D") for row in found] == [S4, S3, S2]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("PatientID=P1*", [S4, S2, S1]),
        ("PatientID=p*4", [S4]),
        ("PatientID=*1*", [S5, S4, S2, S1]),
        ("PatientID=P?", [S3, S2, S1]),
        ("PatientID=?1", [S2, S1]),
        ("PatientID=P12??", [S4]),
        ("PatientID=P1??", []),
        ("PatientID=**", [S5, S4, S3, S2, S1]),
        ("PatientName=smith*", [S3, S2]),
        ("PatientName=m%C3%BCll*", [S1]),
        ("PatientName=*%5Emary*", []),
        ("PatientName=*mary*", [S4, S2]),
        ("StudyDescription=chest*", [S1]),
        ("AccessionNumber=acc-?", [S2, S1]),
        ("ModalitiesInStudy=?R", [S1]),
        ("PatientID=P1*&StudyDate=20240101-", [S2, S1]),
        # `*` alone matches everything, also an object without a value
        ("PatientID=*", [S5, S4, S3, S2, S1]),
        ("StudyDescription=*", [S5, S4, S3, S2, S1]),
        ("ModalitiesInStudy=*", [S5, S4, S3, S2, S1]),
        ("PatientName=*&fuzzymatching=true", [S5, S4, S3, S2, S1]),
        ("StudyDescription=%20**%20", [S5, S4, S3, S2, S1]),
        *(
            (f"{name}={value}", [S5, S4, S3, S2, S1])
            for name in ("PatientID", "PatientName", "StudyDate", "StudyInstanceUID", "ModalitiesInStudy", "00080050")
            for value in ("", "%20", "%00", "*", "%20*%20", "&fuzzymatching=true")
        ),
        ("PatientID", [S5, S4, S3, S2, S1]),
        ("PatientID=&StudyDate=20240116-", [S5, S2]),
        # wildcards do not count as characters of the value
        ("AccessionNumber=*ABCDEFGHIJKLMNOP*", []),
    ],
)
def test_wildcard_matching(v2: PartitionClient, query: str, found: list[str]) -> None:
    assert studies(v2.get(f"/studies?{query}")) == found


def test_a_universal_match_is_returned(v1: PartitionClient, v2: PartitionClient) -> None:
    for caller, value_of_all in ((v1, "*"), (v2, "*"), (v1, ""), (v2, "")):
        asked = f"StudyDescription={value_of_all}&ModalitiesInStudy={value_of_all}"
        (row,) = rows(caller.get(f"/studies?StudyInstanceUID={S2}&{asked}"))
        assert value(row, "00081030") == "Überblick"
        assert row["00080061"]["Value"] == ["CT"]


@pytest.mark.parametrize("sign", [",", "%2C", "%5C"])
def test_a_list_of_uids_matches_each_of_them(v2: PartitionClient, sign: str) -> None:
    assert studies(v2.get(f"/studies?StudyInstanceUID={S3}{sign}{S1}{sign}2.25.99")) == [S3, S1]
    assert studies(v2.get(f"/studies?StudyInstanceUID=%20{S3}{sign}%20{S1}")) == [S3, S1]
    found = rows(v2.get(f"/series?SeriesInstanceUID={S1}.2{sign}{S4}.1"))
    assert [value(row, "0020000E") for row in found] == [f"{S4}.1", f"{S1}.2"]
    found = rows(v2.get(f"/studies/{S1}/instances?SOPInstanceUID={S1}.2.1{sign}{S4}.1.1{sign}{S1}.1.1"))
    assert [value(row, "00080018") for row in found] == [f"{S1}.2.1", f"{S1}.1.1"]
    found = rows(v2.get(f"/instances?StudyInstanceUID={S1}{sign}{S2}&Modality=CT"))
    assert [value(row, "00080018") for row in found] == [f"{S2}.1.1", f"{S1}.1.2", f"{S1}.1.1"]


@pytest.mark.parametrize("sign", [",", "%5C"])
def test_a_list_of_modalities_matches_each_of_them(v2: PartitionClient, sign: str) -> None:
    assert studies(v2.get(f"/studies?ModalitiesInStudy=MR{sign}us")) == [S3, S1]
    assert studies(v2.get(f"/studies?ModalitiesInStudy=MR{sign}US{sign}XA{sign}DX{sign}CR{sign}MG")) == [S3, S1]
    assert studies(v2.get(f"/studies?ModalitiesInStudy=%20MR%20{sign}%20us{sign}%20")) == [S3, S1]
    found = rows(v2.get(f"/series?Modality=MR{sign}US&PatientID=P1"))
    assert [value(row, "0020000E") for row in found] == [f"{S1}.2"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/series?PatientID=P1", [f"{S2}.1", f"{S1}.2", f"{S1}.1"]),
        ("/series?PatientID=P1&Modality=CT", [f"{S2}.1", f"{S1}.1"]),
        ("/series?ModalitiesInStudy=MR", [f"{S1}.2", f"{S1}.1"]),
        ("/series?StudyDate=20240101-20240115&Modality=?R", [f"{S1}.2"]),
        (f"/studies/{S1}/series?Modality=MR", [f"{S1}.2"]),
        (f"/studies/{S1}/series?ManufacturerModelName=magnet*", [f"{S1}.2"]),
    ],
)
def test_filters_of_the_levels_above(v2: PartitionClient, path: str, found: list[str]) -> None:
    assert [value(row, "0020000E") for row in rows(v2.get(path))] == found


def test_filters_on_instances(v2: PartitionClient) -> None:
    found = rows(v2.get("/instances?PatientID=P1&Modality=CT&StudyDate=-20240115"))
    assert [value(row, "00080018") for row in found] == [f"{S1}.1.2", f"{S1}.1.1"]


def test_a_search_does_not_see_another_partition(v2: PartitionClient) -> None:
    other = PartitionClient(v2.client, "/v2/partitions/clinic-b")
    assert len(rows(other.get("/studies?PatientID=P1"))) == 1
    assert not set(studies(other.get("/studies"))) & {S1, S2, S3, S4, S5}


# --- errors -------------------------------------------------------------------------------------------------------

TAIL = (
    "If the parameter is an attribute keyword, check the casing as they are case-sensitive. "
    "The conformance statement has a list of supported query parameters, attributes and the levels."
)
NOT_QUERYABLE = "Invalid query: AttributeId {} is not queryable.  " + TAIL
UNKNOWN = "Invalid query: unknown query parameter '{}'. " + TAIL
TWICE = "Invalid QIDO-RS query. Duplicate AttributeId '{}'. Each attribute is only allowed to be specified once."
BOTH = (
    "Invalid query: attribute '{}' has been specified more than once using different ID formats. "
    "Each attribute is only allowed to be specified once."
)
DATE = (
    "Invalid query: specified Date value '{}' is invalid for attribute '{}'. "
    "Date should be valid and formatted as yyyyMMdd."
)
SEQUENCE = "Dicom element '{}' failed validation for VR 'SQ': Sequential dicom tags are currently not supported."
NO_NUMBER = "The query parameter '{}' is invalid. The value '{}' is not valid for {}."
LIMIT = "The query parameter 'Limit' is invalid. The field Limit must be between 1 and 200."


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("nonsense=1", UNKNOWN.format("nonsense")),
        ("patientid=P1", UNKNOWN.format("patientid")),
        ("PATIENTID=P1", UNKNOWN.format("PATIENTID")),
        ("=1", UNKNOWN.format("")),
        ("0010002=P1", UNKNOWN.format("0010002")),
        ("001000200=P1", UNKNOWN.format("001000200")),
        ("00110011a=P1", UNKNOWN.format("00110011a")),
        ("FFFEFFFE=P1", UNKNOWN.format("FFFEFFFE")),
        ("orderby=PatientID", UNKNOWN.format("orderby")),
        ("PatientSex=F", NOT_QUERYABLE.format("PatientSex")),
        ("00100040=F", NOT_QUERYABLE.format("00100040")),
        ("00091001=private", NOT_QUERYABLE.format("00091001")),
        ("Modality=CT", NOT_QUERYABLE.format("Modality")),
        ("PatientID=P1&PatientID=P1", TWICE.format("PatientID")),
        ("PatientID=P1&PatientID=P2", TWICE.format("PatientID")),
        ("00100020=P1&00100020=P2", TWICE.format("00100020")),
        ("PatientID=P1&00100020=P1", BOTH.format("00100020")),
        ("00100020=P1&PatientID=P1", BOTH.format("PatientID")),
        ("StudyDate=2024", DATE.format("2024", "StudyDate")),
        ("StudyDate=20240230", DATE.format("20240230", "StudyDate")),
        ("StudyDate=2024-01-15", DATE.format("2024", "StudyDate")),
        ("StudyDate=today", DATE.format("today", "StudyDate")),
        ("StudyDate=20240115-x", DATE.format("x", "StudyDate")),
        ("00080020=00000000", DATE.format("00000000", "00080020")),
        ("PatientBirthDate=20240115.5", DATE.format("20240115.5", "PatientBirthDate")),
        ("RequestAttributesSequence=1", SEQUENCE.format("RequestAttributesSequence")),
        ("00400275=1", SEQUENCE.format("00400275")),
        ("RequestAttributesSequence.AccessionNumber=1", SEQUENCE.format("RequestAttributesSequence.AccessionNumber")),
        ("00400275.00080050=1", SEQUENCE.format("00400275.00080050")),
        ("limit=0", LIMIT),
        ("limit=201", LIMIT),
        ("limit=-1", LIMIT),
        ("limit=99999999999999999999", LIMIT),
        ("limit=abc", NO_NUMBER.format("Limit", "abc", "Limit")),
        ("limit=", NO_NUMBER.format("Limit", "", "Limit")),
        ("limit=1.0", NO_NUMBER.format("Limit", "1.0", "Limit")),
        ("limit=1_0", NO_NUMBER.format("Limit", "1_0", "Limit")),
        ("limit=%D9%A5", NO_NUMBER.format("Limit", "\u0665", "Limit")),
        ("offset=abc", NO_NUMBER.format("Offset", "abc", "Offset")),
        (
            "fuzzymatching=true&PatientName=O%22Brien",
            "Invalid query: fuzzy value 'O\"Brien' of attribute 'PatientName' has a quotation mark.",
        ),
        ("includefield=Nonsense", "Invalid query: IncludeField has unknown attribute 'Nonsense'."),
        ("includefield=PatientID,nonsense", "Invalid query: IncludeField has unknown attribute 'nonsense'."),
        ("includefield=", "Invalid query: IncludeField has unknown attribute ''."),
        ("includefield=patientid", "Invalid query: IncludeField has unknown attribute 'patientid'."),
        (
            "StudyInstanceUID=x",
            f"Dicom element 'StudyInstanceUID' failed validation for VR 'UI': {IDENTIFIER_RULE}",
        ),
        (
            f"0020000D={S1},x",
            f"Dicom element '0020000D' failed validation for VR 'UI': {IDENTIFIER_RULE}",
        ),
        ("PatientID=%3Cscript%3E", "The query string included invalid characters."),
    ],
)
def test_a_bad_query_is_400(v1: PartitionClient, v2: PartitionClient, query: str, text: str) -> None:
    for caller in (v1, v2):
        assert refused(caller.get(f"/studies?{query}")) == text


@pytest.mark.parametrize(
    "query",
    [
        "offset=-1",
        "offset=x",
        "offset=",
        "offset=2147483648",
        "fuzzymatching=maybe",
        "fuzzymatching=",
        "StudyDate=-",
        "StudyDate=20240116-20240115",
        "StudyDate=20240101-20240102-20240103",
        "PatientID=" + "x" * 65,
        "AccessionNumber=" + "x" * 17,
        "limit=1&limit=2",
        "limit=1&Limit=1",
    ],
)
def test_a_bad_query_without_a_text_of_microsoft_is_400(v2: PartitionClient, query: str) -> None:
    name = query.partition("=")[0]
    assert name.lower() in refused(v2.get(f"/studies?{query}")).lower()


def test_a_reversed_range_names_value_and_attribute(v2: PartitionClient) -> None:
    text = refused(v2.get("/studies?StudyDate=20240116-20240115"))
    assert "'20240116-20240115'" in text
    assert "'StudyDate'" in text


@pytest.mark.parametrize(
    "path",
    ["/studies/x/series", "/studies/x/instances", f"/studies/{S1}/series/x/instances", f"/studies/{'1' * 65}/series"],
)
def test_a_bad_uid_in_the_path_is_400(v2: PartitionClient, path: str) -> None:
    assert refused(v2.get(path)).endswith(IDENTIFIER_RULE)


# --- limit and offset ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("limit=1", [S5]),
        ("limit=200", [S5, S4, S3, S2, S1]),
        ("LIMIT=2", [S5, S4]),
        ("Limit=2&Offset=1", [S4, S3]),
        ("limit=2&offset=4", [S1]),
        ("offset=0", [S5, S4, S3, S2, S1]),
        ("offset=5", []),
        ("offset=10000", []),
        ("ModalitiesInStudy=CT&limit=1&offset=1", [S2]),
        ("StudyDate=-20240116&limit=2&offset=1", [S2, S1]),
        ("PatientName=smi&fuzzymatching=true&limit=1&offset=2", [S2]),
        ("PatientID=P1*&offset=1&limit=5", [S2, S1]),
    ],
)
def test_limit_and_offset(v2: PartitionClient, query: str, found: list[str]) -> None:
    assert studies(v2.get(f"/studies?{query}")) == found


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/studies?limit=1", True),
        ("/studies?limit=4", True),
        ("/studies?limit=5", False),
        ("/studies?limit=4&offset=1", False),
        ("/studies?limit=3&offset=1", True),
        ("/studies?offset=5", False),
        ("/studies", False),
        ("/studies?PatientID=P1&limit=1", True),
        ("/studies?PatientID=P1&limit=2", False),
        ("/studies?PatientName=smi&fuzzymatching=true&limit=2", True),
        ("/studies?PatientName=smi&fuzzymatching=true&limit=3", False),
        ("/studies?StudyDate=20240101-&limit=2", True),
        ("/studies?StudyDate=20240101-&limit=3", False),
        ("/studies?ModalitiesInStudy=CT&limit=2", True),
        ("/studies?ModalitiesInStudy=CT&limit=3", False),
        (f"/studies?StudyInstanceUID={S1},{S2}&limit=1", True),
        (f"/studies?StudyInstanceUID={S1},{S2}&limit=2", False),
        ("/series?limit=5", True),
        ("/series?limit=6", False),
        ("/instances?PatientID=P1&limit=3", True),
        ("/instances?PatientID=P1&limit=4", False),
        (f"/studies/{S1}/series?limit=1", True),
        (f"/studies/{S1}/instances?limit=3", False),
    ],
)
def test_a_full_page_warns_that_more_match(v1: PartitionClient, v2: PartitionClient, path: str, more: bool) -> None:
    for caller in (v1, v2):
        headers = caller.get(path, Host="pacs.example:8443").headers
        text = '299 pacs.example: "There are additional results that can be requested."'
        assert headers.getlist("Warning") == ([text] if more else [])
        assert ("Link" in headers) == more
        assert "X-Total-Count" not in headers


# --- what is returned ---------------------------------------------------------------------------------------------

V1_STUDY = "00080005 00080020 00080030 00100010 00100020 00100040 0020000D 00200010 00080050 00080090 00100030"
V1_SERIES = "00080005 00080060 0008103E 0020000E 00400244"
V1_INSTANCE = "00080005 00080016 00080018 00200013"
V2_STUDY = "0020000D 00080020 00081030 00080050 00080090 00100010 00100020 00100030"
V2_SERIES = "0020000E 00080060 00400244 00081090"
V2_INSTANCE = "00080018"
LINKS = "00080056 00081190"

FIRST = f"SOPInstanceUID={S1}.1.1"


def tags(row: dict[str, Any]) -> set[str]:
    return set(row)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/studies", [V2_STUDY]),
        ("/series", [V2_STUDY, V2_SERIES]),
        ("/instances", [V2_STUDY, V2_SERIES, V2_INSTANCE]),
        (f"/studies/{S1}/series", [V2_SERIES, "0020000D"]),
        (f"/studies/{S1}/instances", [V2_SERIES, V2_INSTANCE, "0020000D"]),
        (f"/studies/{S1}/series/{S1}.1/instances", [V2_INSTANCE, "0020000D 0020000E"]),
    ],
)
def test_the_attributes_that_v2_returns_by_default(v2: PartitionClient, path: str, expected: list[str]) -> None:
    row = rows(v2.get(f"{path}?limit=200"))[-1]
    assert tags(row) == set(" ".join([*expected, LINKS]).split())
    assert row["00080056"] == {"vr": "CS", "Value": ["ONLINE"]}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"/instances?{FIRST}", [V1_STUDY, V1_SERIES, V1_INSTANCE]),
        (f"/studies/{S1}/instances?{FIRST}", [V1_SERIES, V1_INSTANCE, "0020000D"]),
        (f"/studies/{S1}/series/{S1}.1/instances?{FIRST}", [V1_INSTANCE, "0020000D 0020000E"]),
    ],
)
def test_the_attributes_that_v1_returns_by_default(v1: PartitionClient, path: str, expected: list[str]) -> None:
    (row,) = rows(v1.get(path))
    assert tags(row) == set(" ".join(expected).split())


def test_v1_returns_values_of_the_newest_instance_and_v2_of_the_index(v1: PartitionClient, v2: PartitionClient) -> None:
    """The newest instance of the study has no name, no date of birth, and another modality."""
    (old,) = rows(v1.get(f"/studies?StudyInstanceUID={S1}&includefield=StudyDescription"))
    assert not tags(old) & {"00100010", "00100030", "00081030"}
    (new,) = rows(v2.get(f"/studies?StudyInstanceUID={S1}&includefield=PatientSex"))
    assert new["00100010"]["Value"] == [
        {"Alphabetic": "Müller^Jörg", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]
    assert value(new, "00081030") == "Chest CT"
    assert "00100040" not in new  # not in the index, and the newest instance has none


def test_v2_adds_links(v2: PartitionClient) -> None:
    (row,) = rows(v2.get(f"/studies?StudyInstanceUID={S1}"))
    assert value(row, "00081190") == f"http://localhost/v2/partitions/clinic-a/studies/{S1}"
    (row,) = rows(v2.get(f"/instances?{FIRST}"))
    path = f"/v2/partitions/clinic-a/studies/{S1}/series/{S1}.1/instances/{S1}.1.1"
    assert value(row, "00081190") == f"http://localhost{path}"
    assert v2.client.get(path).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "includefield=StudyTime&includefield=SeriesDescription",
        "includefield=StudyTime,SeriesDescription",
        "IncludeField=00080030,%200008103e",
        "includefield=StudyTime,SeriesDescription,PatientID,StudyTime",
    ],
)
def test_includefield_adds_attributes(v2: PartitionClient, query: str) -> None:
    (row,) = rows(v2.get(f"/instances?{FIRST}&{query}"))
    assert (value(row, "00080030"), value(row, "0008103E")) == ("101500", "Axial")


def test_includefield_accepts_repeating_groups(library: PartitionClient) -> None:
    clinic = PartitionClient(library.client, "/v2/partitions/clinic-b")
    (row,) = rows(clinic.get("/studies?includefield=60020010,60003000"))
    assert row["60020010"] == {"vr": "US", "Value": [512]}


def test_includefield_accepts_private_tags_and_attributes_of_any_level(v2: PartitionClient) -> None:
    (row,) = rows(v2.get(f"/instances?{FIRST}&includefield=00091001,InstanceNumber,00090010"))
    assert (value(row, "00091001"), value(row, "00090010"), value(row, "00200013")) == ("private", "ACME", 1)
    (row,) = rows(v2.get(f"/studies?StudyInstanceUID={S1}&includefield=SOPInstanceUID,SeriesInstanceUID"))
    assert (value(row, "00080018"), value(row, "0020000E")) == (f"{S1}.2.1", f"{S1}.2")
    assert rows(v2.get(f"/studies?StudyInstanceUID={S4}&includefield=0009FFFF"))[0].keys() >= {"0020000D"}


@pytest.mark.parametrize(
    "query",
    ["includefield=all", "includefield=ALL", "includefield=all,StudyTime", "includefield=all&includefield=PatientID"],
)
def test_includefield_all_returns_all_attributes_of_the_level(
    v1: PartitionClient, v2: PartitionClient, query: str
) -> None:
    for caller in (v1, v2):
        (row,) = rows(caller.get(f"/instances?{FIRST}&{query}"))
        assert tags(row) >= set(" ".join([V1_STUDY, V1_SERIES, V1_INSTANCE, "00081030"]).split())


@pytest.mark.parametrize(
    ("path", "expected", "absent"),
    [
        (f"/studies?StudyInstanceUID={S2}", "00100020 00081030", "0020000E 00080060 00080018 00080016"),
        (f"/series?StudyInstanceUID={S2}", "00100020 0020000E 00080060 00200011", "00080018 00080016"),
        (f"/studies/{S2}/series?Modality=CT", "0020000D 0020000E 00080060 00200011", "00100020 00080018"),
        (f"/studies/{S2}/series/{S2}.1/instances", "0020000D 0020000E 00080018 00080016", "00100020 00080060"),
    ],
)
def test_includefield_all_returns_only_attributes_of_the_levels_shown(
    v1: PartitionClient, path: str, expected: str, absent: str
) -> None:
    (row,) = rows(v1.get(f"{path}{'&' if '?' in path else '?'}includefield=all"))
    assert tags(row) >= set(expected.split())
    assert not tags(row) & set(absent.split())


def test_includefield_all_does_not_return_the_model_name(v1: PartitionClient) -> None:
    (row,) = rows(v1.get(f"/instances?{FIRST}&includefield=all"))
    assert "00081090" not in row


# --- what viewers send --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (
            "studies?limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060"
            "&PatientName=*mary*&StudyDate=19000101-20991231&ModalitiesInStudy=CT%2CMR",
            [S2],
        ),
        ("studies?00100020=*P1*&limit=25&offset=0&fuzzymatching=true&includefield=00081030%2C00080060", [S4, S2, S1]),
        (f"studies?limit=101&offset=0&fuzzymatching=false&StudyInstanceUID={S1}%5C{S2}", [S2, S1]),  # OHIF
        ("studies?00100020=P1&includefield=00080020,00080030,00080050,00080061,00100021,0020000D", [S2, S1]),  # Weasis
        ("studies?PatientName=SMITH*&fuzzymatching=true&limit=50&includefield=StudyTime&includefield=StudyID", None),
        (f"studies/{S1}/series?includefield=00080021%2C00080031%2C0008103E%2C00200011", [S1, S1]),
        (f"studies/{S1}/series/{S1}.1/instances?includefield=00080018,00200013,00280008", [S1, S1]),
    ],
)
def test_the_queries_of_viewers_find_their_studies(v2: PartitionClient, query: str, found: list[str] | None) -> None:
    assert studies(v2.get(f"/{query}", "application/dicom+json, multipart/related; q=0.5")) == (found or [S4, S3, S2])


# --- computed -----------------------------------------------------------------------------------------------------


def test_computed_counts(v1: PartitionClient, v2: PartitionClient) -> None:
    for caller in (v1, v2):
        found = rows(caller.get("/studies?includefield=00201208,NumberOfStudyRelatedSeries,ModalitiesInStudy"))
        counts = [
            (value(row, "00201208"), value(row, "00201206"), row.get("00080061", {}).get("Value")) for row in found
        ]
        assert counts == [
            (1, 1, ["CT"]),
            (1, 1, None),
            (1, 1, ["US"]),
            (1, 1, ["CT"]),
            (3, 2, ["CT", "MR"]),
        ]
        found = rows(caller.get("/series?includefield=00201209"))
        assert [value(row, "00201209") for row in found] == [1, 1, 1, 1, 1, 2]
        assert {row["00201209"]["vr"] for row in found} == {"IS"}


def test_modalities_in_study_is_returned_if_it_is_a_filter(v1: PartitionClient, v2: PartitionClient) -> None:
    for caller in (v1, v2):
        assert "00080061" not in rows(caller.get("/studies"))[0]
        (row,) = rows(caller.get("/studies?ModalitiesInStudy=MR"))
        assert row["00080061"] == {"vr": "CS", "Value": ["CT", "MR"]}


def test_counts_at_other_levels_are_those_of_the_metadata(v2: PartitionClient) -> None:
    (row,) = rows(v2.get(f"/series?SeriesInstanceUID={S5}.1&includefield=00201208,00201209"))
    assert (value(row, "00201208"), value(row, "00201209")) == (77, 1)
    (row,) = rows(v2.get(f"/instances?SOPInstanceUID={S5}.1.1&includefield=00201208,00201209"))
    assert value(row, "00201208") == 77
    assert "00201209" not in row


# --- Accept -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "application/*",
        "application/dicom+json",
        "application/json",
        "text/html, application/dicom+json;q=0.1",
    ],
)
def test_an_accept_that_allows_dicom_json(v2: PartitionClient, accept: str | None) -> None:
    assert v2.get("/studies", accept).status_code == 200


@pytest.mark.parametrize("accept", ["text/html", "application/dicom", 'multipart/related; type="application/dicom"'])
def test_another_accept_is_406(v2: PartitionClient, accept: str) -> None:
    assert v2.get("/studies", accept).status_code == 406


def test_an_unknown_partition_is_400_and_is_not_created(v2: PartitionClient) -> None:
    other = PartitionClient(v2.client, "/v2/partitions/nobody")
    assert refused(other.get("/studies")) == "Specified PartitionName nobody doesn't exist."
