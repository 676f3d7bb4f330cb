"""The JSON text of large elements goes to the spool folder of the service at store, and to no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.uid import ImplicitVRLittleEndian

from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.spool_folder import folder, spooling

__all__ = ["folder", "spooling"]  # fixtures

METADATA = "/studies/2.25.1/series/2.25.2/instances/2.25.3/metadata"
ORIENTATION = "00189089"


@pytest.fixture(scope="module")
def instance() -> bytes:
    """An instance of less than 1 MiB, one value of which is more than 1 MiB of JSON."""
    return make_instance(
        study="2.25.1",
        series="2.25.2",
        instance="2.25.3",
        pixel=False,
        transfer_syntax=ImplicitVRLittleEndian,
        DiffusionGradientOrientation=[1 / 3] * 100_000,
    )


def test_large_elements_are_written_in_the_spool_folder(
    spooling: PartitionClient, folder: Path, instance: bytes
) -> None:
    assert len(instance) < 1024 * 1024
    spooling.stored(instance)
    (dataset,) = spooling.get(METADATA).get_json(force=True)
    assert len(dataset[ORIENTATION]["Value"]) == 100_000
    assert not list(folder.iterdir())


def test_a_spool_folder_that_is_gone_is_503(spooling: PartitionClient, folder: Path, instance: bytes) -> None:
    folder.rmdir()
    assert spooling.store(instance).status_code == 503
    folder.mkdir()
    assert spooling.store(instance).status_code in (200, 202)
