"""Orthanc as a peer: it sends instances to the service, queries it and retrieves from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.integration.orthanc import Orthanc, orthanc, orthanc_installed
from tests.support.instances import encapsulated, make_instance

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not orthanc_installed(),
        reason="Orthanc or its DICOMweb plugin is missing (Debian: orthanc orthanc-dicomweb)",
    ),
]

STUDY, SERIES = "2.25.1", "2.25.2"
FILES = {
    "2.25.3": make_instance(study=STUDY, series=SERIES, instance="2.25.3"),
    "2.25.4": encapsulated([[b"first frame!"], [b"second frame"]], study=STUDY, series=SERIES, instance="2.25.4"),
}


@pytest.fixture
def peer(clinic: str, tmp_path: Path) -> Iterator[Orthanc]:
    """Orthanc whose peer is an empty partition of the service."""
    with orthanc(tmp_path, clinic) as started:
        yield started


def found(peer: Orthanc) -> set[str]:
    """Return the SOP Instance UIDs that Orthanc finds in the service."""
    matches = peer.query("/instances", StudyInstanceUID=STUDY)
    return {match["00080018"]["Value"] for match in matches}


def test_instances_sent_by_orthanc_are_found_and_retrieved_unchanged(peer: Orthanc, clinic: str) -> None:
    identifiers = [peer.store(file) for file in FILES.values()]
    peer.send(identifiers)
    for instance, file in FILES.items():
        url = f"{clinic}/studies/{STUDY}/series/{SERIES}/instances/{instance}"
        answer = requests.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"})
        assert answer.content == file
    assert found(peer) == FILES.keys()

    for identifier in identifiers:
        peer.delete(identifier)
    peer.retrieve(STUDY)
    assert set(peer.instances()) == set(identifiers)
    assert [peer.file(identifier) for identifier in identifiers] == list(FILES.values())


def test_orthanc_does_not_find_a_deleted_instance(peer: Orthanc, clinic: str) -> None:
    peer.send([peer.store(file) for file in FILES.values()])
    answer = requests.delete(f"{clinic}/studies/{STUDY}/series/{SERIES}/instances/2.25.3")
    assert answer.status_code == 204
    assert found(peer) == {"2.25.4"}
