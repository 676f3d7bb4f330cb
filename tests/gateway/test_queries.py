"""C-FIND: the matches are those of a search in the partition of the association (conformance §15.7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from flask import Flask
from pydicom.dataset import Dataset

from app.client.connection import ArchiveClient
from app.client.errors import ClientError, CredentialsRefused, Refused, ServerUnreachable
from app.gateway import queries
from app.gateway.admission import Admission, PartitionBy
from app.gateway.gateway import Gateway
from app.gateway.http_search import HttpSearch
from app.gateway.query_keys import PATIENT_ROOT, STUDY_ROOT
from tests.gateway.conftest import StartGateway
from tests.support import dicom_network as network
from tests.support.instances import make_instance

STUDIES = [
    {"study": "2.25.1", "patient_id": "P1", "patient_name": "Doe^Jane", "study_date": "20240115", "modality": "CT"},
    {"study": "2.25.2", "patient_id": "P1", "patient_name": "Doe^Jane", "study_date": "20240220", "modality": "MR"},
    {"study": "2.25.3", "patient_id": "P2", "patient_name": "Roe^Rick", "study_date": "20240301", "modality": "CT"},
]


@pytest.fixture
def gateway(start: StartGateway, archive: Flask, client: ArchiveClient) -> Gateway:
    """A gateway that answers queries, in front of three studies of two patients. The AE title is the partition."""
    calls = archive.test_client()
    for study in STUDIES:
        file = make_instance(series=f"{study['study']}.1", instance=f"{study['study']}.1.1", **study)
        url = "/v2/partitions/clinic-a/studies"
        assert calls.post(url, data=file, content_type="application/dicom").status_code == 200
    admission = Admission(titles=frozenset({"*"}), partition_by=PartitionBy.CALLED)
    return start(admission=admission, search=HttpSearch(client))


def keys(level: str | None, **values: Any) -> Dataset:
    identifier = Dataset()
    if level is not None:
        identifier.QueryRetrieveLevel = level
    for keyword, value in values.items():
        setattr(identifier, keyword, value)
    return identifier


def find(gateway: Gateway, identifier: Dataset, sop_class: str = STUDY_ROOT) -> list[tuple[int, Any]]:
    return network.found(gateway.address, sop_class, identifier, called="clinic-a")


def values(gateway: Gateway, keyword: str, identifier: Dataset, sop_class: str = STUDY_ROOT) -> list[str]:
    """Return an attribute of each match, sorted. The query must succeed, with all keys supported."""
    *matches, (status, _) = find(gateway, identifier, sop_class)
    assert status == 0x0000
    assert {status for status, _ in matches} <= {0xFF00}
    return sorted(str(match[keyword].value) for _, match in matches)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["2.25.1", "2.25.2", "2.25.3"]),
        ({"PatientID": "P1"}, ["2.25.1", "2.25.2"]),
        ({"PatientName": "doe*"}, ["2.25.1", "2.25.2"]),
        ({"PatientName": "?oe^*"}, ["2.25.1", "2.25.2", "2.25.3"]),
        ({"StudyDate": "20240201-20240301"}, ["2.25.2", "2.25.3"]),
        ({"StudyDate": "20240201-"}, ["2.25.2", "2.25.3"]),
        ({"ModalitiesInStudy": "MR"}, ["2.25.2"]),
        ({"StudyInstanceUID": ["2.25.1", "2.25.3"]}, ["2.25.1", "2.25.3"]),
        ({"PatientID": "P3"}, []),
    ],
)
def test_studies_by_key(gateway: Gateway, given: dict[str, Any], expected: list[str]) -> None:
    identifier = keys("STUDY", **{"StudyInstanceUID": "", **given})
    assert values(gateway, "StudyInstanceUID", identifier) == expected


@pytest.mark.parametrize(
    ("level", "keyword", "expected"),
    [("SERIES", "SeriesInstanceUID", ["2.25.1.1"]), ("IMAGE", "SOPInstanceUID", ["2.25.1.1.1"])],
)
def test_series_and_instances_of_a_study(gateway: Gateway, level: str, keyword: str, expected: list[str]) -> None:
    identifier = keys(level, **{"StudyInstanceUID": "2.25.1", keyword: ""})
    for model in (STUDY_ROOT, PATIENT_ROOT):
        assert values(gateway, keyword, identifier, model) == expected


def test_patients_are_found_once(gateway: Gateway) -> None:
    identifier = keys("PATIENT", PatientID="", PatientName="")
    assert values(gateway, "PatientID", identifier, PATIENT_ROOT) == ["P1", "P2"]


def test_a_match_has_the_keys_that_were_asked_for(gateway: Gateway) -> None:
    asked = keys("STUDY", StudyInstanceUID="2.25.1", PatientName="", StudyTime="", NumberOfStudyRelatedInstances="")
    (_, match), _ = find(gateway, asked)
    assert match.PatientName == "Doe^Jane"
    assert match.StudyTime == ""
    assert match.NumberOfStudyRelatedInstances == 1
    assert match.QueryRetrieveLevel == "STUDY"
    assert match.RetrieveAETitle == "clinic-a"
    assert "PatientID" not in match


def test_a_key_that_does_not_filter_is_reported(gateway: Gateway) -> None:
    (status, match), *_ = find(gateway, keys("STUDY", StudyInstanceUID="2.25.1", PatientSex="M"))
    assert status == 0xFF01
    assert match.StudyInstanceUID == "2.25.1"


@pytest.mark.parametrize(
    ("identifier", "model"),
    [
        (keys(None, StudyInstanceUID=""), STUDY_ROOT),
        (keys("STUDIES", StudyInstanceUID=""), STUDY_ROOT),
        (keys("PATIENT", PatientID=""), STUDY_ROOT),
    ],
)
def test_a_level_that_the_model_does_not_have(gateway: Gateway, identifier: Dataset, model: str) -> None:
    assert [status for status, _ in find(gateway, identifier, model)] == [0xA900]


def test_a_partition_that_does_not_exist_has_no_matches(gateway: Gateway) -> None:
    asked = keys("STUDY", StudyInstanceUID="")
    assert [status for status, _ in network.found(gateway.address, STUDY_ROOT, asked, called="clinic-x")] == [0x0000]


def test_a_value_that_the_server_refuses(gateway: Gateway) -> None:
    assert [status for status, _ in find(gateway, keys("STUDY", AccessionNumber="X" * 17))] == [0xC000]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ServerUnreachable("http://archive"), 0xA700),
        (CredentialsRefused(401, ""), 0x0124),
        (Refused(400, "wrong"), 0xC000),
    ],
)
def test_a_failure_of_the_server_is_a_status(start: StartGateway, error: ClientError, status: int) -> None:
    class Failing:
        def matches(self, *_: object) -> Iterator[dict[str, Any]]:
            raise error

    asked = keys("STUDY", StudyInstanceUID="")
    answers = network.found(start(search=Failing()).address, STUDY_ROOT, asked)
    assert [given for given, _ in answers] == [status]


def test_the_number_of_matches_is_bounded(start: StartGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        def matches(self, *_: object) -> Iterator[dict[str, Any]]:
            while True:
                yield {"0020000D": {"vr": "UI", "Value": ["2.25.1"]}}

    monkeypatch.setattr(queries, "MATCH_LIMIT", 3)
    answers = network.found(start(search=Endless()).address, STUDY_ROOT, keys("STUDY", StudyInstanceUID=""))
    assert [status for status, _ in answers] == [0xFF00] * 3 + [0xA700]


def test_pages_are_read_one_after_the_other(client: ArchiveClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[tuple[str, str]]] = []

    def page(_self: HttpSearch, _path: str, parameters: list[tuple[str, str]]) -> tuple[list[dict[str, Any]], str]:
        asked.append(parameters)
        return ([{}] * 200, "after 200") if len(asked) == 1 else ([{}] * 7, "")

    monkeypatch.setattr(HttpSearch, "_page", page)
    assert len(list(HttpSearch(client).matches("clinic-a", "/studies", [("PatientID", "P1")]))) == 207
    assert [dict(each).get("cursor") for each in asked] == [None, "after 200"]


def test_without_queries_their_sop_classes_are_rejected(start: StartGateway) -> None:
    with network.association(start().address, contexts=[(STUDY_ROOT, "1.2.840.10008.1.2")]) as peer:
        assert [context.abstract_syntax for context in peer.rejected_contexts] == [STUDY_ROOT]
