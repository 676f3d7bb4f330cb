"""Large files without pixels that are transcoded go to the spool folder, and to no other (conformance §4.3).

The embedded engine maps its own files and copies none. Files with pixels are read by byte range.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import pytest
from werkzeug.test import TestResponse

from tests.support.dicomweb import PartitionClient
from tests.support.instances import EXPLICIT_BIG, make_instance, read
from tests.support.spool_folder import folder, spooling

__all__ = ["folder", "spooling"]  # fixtures

pytestmark = pytest.mark.parametrize("settings", ["moto"], indirect=True)

INSTANCE = "/studies/2.25.1/series/2.25.2/instances/2.25.3"
DOCUMENT = b"%PDF" * (1 << 19)
ACCEPT = 'application/dicom; transfer-syntax="1.2.840.10008.1.2.1"'


@pytest.fixture
def clinic(spooling: PartitionClient) -> PartitionClient:
    """A client of a service that holds an instance of 2 MiB. Only its spool folder takes temporary files."""
    spooling.stored(
        make_instance(
            study="2.25.1",
            series="2.25.2",
            instance="2.25.3",
            transfer_syntax=EXPLICIT_BIG,
            pixel=False,
            EncapsulatedDocument=DOCUMENT,
        )
    )
    return spooling


def transcoded(clinic: PartitionClient) -> TestResponse:
    return clinic.get(INSTANCE, ACCEPT)


def unavailable(response: TestResponse) -> bool:
    return (response.status_code, response.text) == (503, "The data store operation failed.")


def test_a_large_file_is_transcoded_in_the_spool_folder(clinic: PartitionClient, folder: Path) -> None:
    response = transcoded(clinic)
    assert response.status_code == 200
    assert read(response.data).EncapsulatedDocument == DOCUMENT
    assert not list(folder.iterdir())


def test_a_spool_folder_that_is_gone_is_503(clinic: PartitionClient, folder: Path) -> None:
    folder.rmdir()
    assert unavailable(transcoded(clinic))
    folder.mkdir()
    assert transcoded(clinic).status_code == 200


def test_a_spool_folder_that_is_full_is_503(clinic: PartitionClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_a_full_disk(*_: Any, **__: Any) -> IO[bytes]:
        return Path("/dev/full").open("r+b", buffering=0)

    with monkeypatch.context() as patch:
        patch.setattr("app.services.store.spool._unnamed_file", on_a_full_disk)
        assert unavailable(transcoded(clinic))
    assert transcoded(clinic).status_code == 200
