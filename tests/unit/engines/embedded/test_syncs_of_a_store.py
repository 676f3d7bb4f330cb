"""How often a store waits for the disk, and how many folders it creates."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from app import bootstrap
from app.engines.embedded import files
from app.engines.embedded.commits import GroupCommit
from app.services.policy import V2
from app.settings import Settings
from tests.support.instances import ct

SMALL: dict[str, Any] = {"rows": 32, "columns": 64}
LARGE: dict[str, Any] = {"rows": 256, "columns": 256}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often what happened since the last `clear`.

    "sync FILE" is a sync of a file with this suffix or of a "folder". "log" is a commit that waits for the log of
    the index. The file system needs no syncs of folders.
    """
    counts: Counter[str] = Counter()
    commit, mkdir = GroupCommit._commit, os.mkdir

    def traced(sync: Callable[[int], None]) -> Callable[[int], None]:
        def call(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            counts["sync folder" if path.is_dir() else f"sync {path.suffix}"] += 1
            sync(descriptor)

        return call

    def traced_commit(self: GroupCommit, batch: Sequence[Any]) -> None:
        if any(write.durable for write in batch):
            counts["log"] += 1
        commit(self, batch)  # type: ignore[arg-type]  # the class of a write is private

    def traced_mkdir(*arguments: Any, **options: Any) -> None:
        mkdir(*arguments, **options)
        counts["mkdir"] += 1

    monkeypatch.setattr(files, "file_sync_includes_names", lambda _: True)
    monkeypatch.setattr(os, "fsync", traced(os.fsync))
    monkeypatch.setattr(os, "fdatasync", traced(os.fdatasync))
    monkeypatch.setattr(os, "mkdir", traced_mkdir)
    monkeypatch.setattr(GroupCommit, "_commit", traced_commit)
    return counts


class Archive:
    """The services on an embedded engine in `folder`."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(data_dir=folder, log_level="error")
        self.services = bootstrap.build_services(settings, bootstrap.build_engine(settings))
        self.partition = self.services.partitions.resolve("clinic", create=True)

    def store(self, *files: bytes) -> None:
        """Store the files in one request."""
        assert not self.services.store(self.partition, map(BytesIO, files), None, V2).failed


@pytest.fixture
def archive(tmp_path: Path, counted: Counter[str]) -> Archive:
    """An archive that has stored one small instance and one large one."""
    archive = Archive(tmp_path)
    archive.store(instance(1, SMALL), instance(2, LARGE))
    counted.clear()
    return archive


def instance(study: int, size: dict[str, Any], number: int = 0) -> bytes:
    names: dict[str, Any] = {
        "study": f"2.25.{study}",
        "series": f"2.25.{study}.1",
        "instance": f"2.25.{study}.1.{number}",
    }
    return ct(**names, **size, pixel=bytes(2 * size["rows"] * size["columns"]))


def test_a_small_new_study_syncs_the_small_objects_and_the_index(archive: Archive, counted: Counter[str]) -> None:
    archive.store(instance(3, SMALL))
    assert counted == {"sync .sqlite-wal": 1, "log": 1}


def test_small_instances_of_one_request_share_the_syncs(archive: Archive, counted: Counter[str]) -> None:
    archive.store(*(instance(1, SMALL, number) for number in range(1, 9)))
    assert counted == {"sync .sqlite-wal": 1, "log": 1}


def test_a_large_new_study_syncs_its_file_and_the_index(archive: Archive, counted: Counter[str]) -> None:
    archive.store(instance(3, LARGE))
    assert counted == {"sync .dcm": 1, "log": 1, "mkdir": 2}


def test_a_large_instance_of_a_known_series_creates_no_folder(archive: Archive, counted: Counter[str]) -> None:
    archive.store(*(instance(2, LARGE, number) for number in (1, 2)))
    assert counted == {"sync .dcm": 2, "log": 1}


def test_a_store_is_four_transactions(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of the commit, the small object, the numbers, and the instance with everything that belongs to it."""
    seen: list[bool] = []
    commit = GroupCommit._commit

    def traced(self: GroupCommit, batch: Sequence[Any]) -> None:
        seen.append(any(write.durable for write in batch))
        commit(self, batch)  # type: ignore[arg-type]  # the class of a write is private

    monkeypatch.setattr(GroupCommit, "_commit", traced)
    archive.store(instance(4, SMALL))
    assert seen == [False, False, False, True]


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_kernel_sees_no_other_sync(tmp_path: Path) -> None:
    """SQLite syncs by itself. The counts of two runs differ by what the last ten stores of new small studies need."""

    def syncs(stores: int) -> int:
        code = f"""
from pathlib import Path
from tests.unit.engines.embedded.test_syncs_of_a_store import SMALL, Archive, instance
archive = Archive(Path({str(tmp_path / str(stores))!r}))
for number in range({stores}):
    archive.store(instance(number + 1, SMALL))
import os
os._exit(0)
"""
        log = tmp_path / f"{stores}.strace"
        command = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(log), sys.executable, "-c", code]
        subprocess.run(command, check=True)
        return sum("sync(" in line for line in log.read_text().splitlines())

    assert syncs(15) - syncs(5) == 20
