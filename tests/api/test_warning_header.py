"""The header `Warning`: its host, for the clients that parse it (conformance §1.3)."""

from __future__ import annotations

import pytest

from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.worklist import WorklistClient

SEVERAL = "One or more indexed Dicom tag(s) have multiple values, only first value is indexed."


@pytest.mark.parametrize(
    ("host", "agent"),
    [
        ("archive.example", "archive.example"),
        ("archive.example:8080", "archive.example"),
        ("127.0.0.1:8080", "127.0.0.1"),
        ("[::1]:8080", "[::1]"),
        ("[::1]", "[::1]"),
        ("upstream_1:80", "upstream_1"),
        ("", "-"),
    ],
)
def test_the_host_of_a_warning_has_no_port(clinic: PartitionClient, host: str, agent: str) -> None:
    stored = clinic.store(make_instance(patient_id="A\\B"), Host=host)
    assert stored.headers.getlist("Warning") == [f'299 {agent}: "{SEVERAL}"']


def test_a_warning_of_the_worklist_has_no_port(clinic: PartitionClient) -> None:
    worklist = WorklistClient(clinic.client)
    worklist.add("2.25.7")
    path = "/v2/partitions/clinic-a/workitems/2.25.7/state"
    answer = clinic.client.put(path, data=b"{", content_type="application/dicom+json", headers={"Host": "a.example:81"})
    assert answer.headers["Warning"] == '299 a.example: "The syntax of the request body is invalid."'
