"""The spool: what is durable when, and what its files and counts are."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from app.gateway.outcomes import Verdict
from app.gateway.spool import MIB, IncomingFile, Queued, Spool, SpoolFull
from tests.gateway.conftest import StartGateway
from tests.support import dicom_network as network
from tests.support.fixed_sender import FixedSender
from tests.support.instances import make_instance


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files and folders that were made durable, in order."""
    paths: list[Path] = []
    monkeypatch.setattr("os.fsync", lambda number: paths.append(Path(f"/proc/self/fd/{number}").readlink()))
    return paths


def test_the_file_and_then_its_folder_are_durable_before_the_answer(
    start: StartGateway, spool_folder: Path, tmp_path: Path, synced: list[Path]
) -> None:
    gateway = start(sender=FixedSender(Verdict.LATER))
    synced.clear()
    assert network.sent(gateway.address, tmp_path, make_instance()) == [0x0000]
    file, folder = synced
    assert file.parent == spool_folder / "incoming"
    assert folder == spool_folder / "queue"


def test_new_folders_are_durable_and_private(spool: Spool, spool_folder: Path, synced: list[Path]) -> None:
    spool.open()
    assert synced == [spool_folder.parent, *[spool_folder] * 3]
    assert {stat.S_IMODE(each.stat().st_mode) for each in spool_folder.iterdir() if each.is_dir()} == {0o700}
    spool.close()


def test_a_dataset_is_not_kept_in_memory(spool: Spool) -> None:
    spool.open()
    incoming = IncomingFile(spool, b"start")
    for _ in range(5):
        incoming.write(bytes(100_000))
    assert len(incoming.getvalue()) == 0
    queued = spool.keep(incoming, "clinic-a")
    assert spool.path(queued).stat().st_size == queued.size == spool.held == 500_005
    spool.close()


def test_the_bytes_of_each_end_are_given_back(spool: Spool) -> None:
    spool.open()
    kept = []
    for _ in range(3):
        incoming = IncomingFile(spool, b"start")
        incoming.write(b"dataset")
        kept.append(spool.keep(incoming, "clinic-a"))
    discarded = IncomingFile(spool, b"start")
    assert spool.held == 4 * 5 + 3 * 7
    discarded.discard()
    discarded.discard()
    spool.delivered(kept[0])
    spool.refuse(kept[1], {"failureReason": 43264})
    assert spool.held == kept[2].size == 12
    assert list(spool.queued()) == [kept[2]]
    spool.close()


def test_a_disk_with_too_little_space_takes_nothing(start: StartGateway, spool_folder: Path, tmp_path: Path) -> None:
    spool = Spool(spool_folder, limit=2**60, minimum_free=2**60)
    gateway = start(spool=spool, sender=FixedSender(Verdict.STORED))
    assert network.sent(gateway.address, tmp_path, make_instance()) == [0xA700]
    assert spool.held == 0


def test_the_space_of_the_disk_is_read_again_within_a_large_file(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.open()
    incoming = IncomingFile(spool, b"start")
    monkeypatch.setattr(spool, "_minimum_free", 2**60)
    incoming.write(bytes(4 * MIB))
    assert incoming.failure is None
    incoming.write(bytes(4 * MIB))
    assert isinstance(incoming.failure, SpoolFull)
    incoming.discard()
    spool.close()


def test_files_of_others_in_the_queue_are_left_alone(spool: Spool, spool_folder: Path) -> None:
    spool.open()
    (spool_folder / "queue" / "notes.txt").write_text("x")
    assert list(spool.queued()) == []
    spool.close()


@pytest.mark.parametrize("partition", ["", "clinic-a", "A" * 64, "a.b_c-d"])
def test_the_name_of_a_file_holds_its_partition(spool: Spool, partition: str) -> None:
    spool.open()
    incoming = IncomingFile(spool, b"start")
    queued = spool.keep(incoming, partition)
    assert queued.partition == partition
    assert all(character in "0123456789abcdef-.cdm" for character in queued.name)
    spool.close()


def test_a_name_without_a_partition_is_refused() -> None:
    with pytest.raises(ValueError, match="other"):
        _ = Queued("other.dcm", 1).partition
