"""A large instance is stored and read through HTTP, with `BULKHEAD_DIRECT_WRITES` on and off."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import create_app
from app.settings import Settings
from tests.conftest import QUIET
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.traced_writes import traced_writes

INSTANCE = "/studies/2.25.1/series/2.25.2/instances/2.25.3"


@pytest.mark.parametrize("in_other_folder", [False, True])
@pytest.mark.parametrize("direct", [True, False])
def test_a_large_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct: bool, in_other_folder: bool) -> None:
    spool = tmp_path / "spool" if in_other_folder else None
    if spool:
        spool.mkdir()
    writes = traced_writes(monkeypatch)
    file = make_instance(study="2.25.1", series="2.25.2", instance="2.25.3", rows=128, columns=128, frames=100)
    settings = Settings(data_dir=tmp_path / "data", spool_dir=spool, direct_writes=direct, **QUIET)
    clinic = PartitionClient(create_app(settings).test_client(), "/partitions/clinic")
    clinic.stored(file)
    answer = clinic.get(INSTANCE, accept='multipart/related; type="application/dicom"')
    assert file in answer.data
    sizes = [written for is_direct, written in writes if is_direct]
    assert bool(sizes) <= direct  # a file system without direct writes has none
    if in_other_folder:
        assert sizes == []  # the body is read again soon
    elif sizes:
        assert sum(sizes) == len(file) - len(file) % 4096
