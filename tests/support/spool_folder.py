"""A spool folder that alone takes temporary files. A test module imports both fixtures to use them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The spool folder, empty."""
    folder = tmp_path / "spool"
    folder.mkdir()
    return folder


@pytest.fixture
def spooling(serve: Serve, folder: Path, monkeypatch: pytest.MonkeyPatch) -> PartitionClient:
    """A client of a service with this spool folder. A temporary file without a folder of its own is an error."""
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "nowhere"))
    return PartitionClient(serve(spool_dir=folder))
