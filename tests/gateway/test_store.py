"""C-STORE and C-ECHO: what a peer sends is in the partition, unchanged (conformance §15.7)."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import httpx
import pydicom
import pytest
from flask import Flask

from app import create_app
from app.client.connection import ArchiveClient
from app.gateway.admission import Admission, PartitionBy, Peer
from app.gateway.file_meta import file_start
from app.gateway.http_sender import HttpSender
from app.gateway.outcomes import Verdict
from app.gateway.spool import Spool, SpoolUnusable
from app.settings import Settings
from tests.conftest import QUIET
from tests.gateway.conftest import StartGateway
from tests.support import dicom_network as network
from tests.support.bundled_files import complete
from tests.support.fixed_sender import FixedSender
from tests.support.instances import CT_STORAGE, DEFLATED_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE, make_instance, uid
from tests.support.waiting import wait_until

PRIVATE_SYNTAX = "1.2.826.0.1.3680043.8.498.77"
META_KEYWORDS = ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")


def dataset_of(file: bytes) -> bytes:
    """Return the dataset of a file as it is encoded."""
    meta_length = int.from_bytes(file[140:144], "little")
    return file[144 + meta_length :]


def in_private_syntax(file: bytes) -> bytes:
    """Return the file with another transfer syntax in its file meta information."""
    sop_class, instance, _ = meta_of(file)
    return file_start(sop_class=sop_class, sop_instance=instance, transfer_syntax=PRIVATE_SYNTAX) + dataset_of(file)


def meta_of(file: bytes) -> list[str]:
    meta = pydicom.dcmread(BytesIO(file), stop_before_pixels=True).file_meta
    return [str(meta[keyword].value) for keyword in META_KEYWORDS]


def number_of_instances(archive: Flask, partition: str) -> int:
    answer = archive.test_client().get(f"/v2/partitions/{partition}/instances")
    return len(answer.json or []) if answer.status_code == 200 else 0


def queue_of(folder: Path) -> list[Path]:
    return sorted((folder / "queue").iterdir())


def test_a_peer_gets_an_answer_to_its_echo(start: StartGateway) -> None:
    with network.association(start().address) as peer:
        assert peer.send_c_echo().Status == 0x0000


@pytest.mark.parametrize(
    "file",
    [
        make_instance(),
        make_instance(transfer_syntax=IMPLICIT_LITTLE),
        make_instance(transfer_syntax=EXPLICIT_BIG),
        make_instance(transfer_syntax=DEFLATED_LITTLE),
        complete("JPEG2000.dcm"),
        make_instance(SOPClassUID="1.3.46.670589.11.0.0.12.1"),
        in_private_syntax(make_instance()),
    ],
    ids=["explicit", "implicit", "big endian", "deflated", "JPEG 2000", "private SOP class", "private syntax"],
)
def test_an_instance_arrives_byte_for_byte(start: StartGateway, tmp_path: Path, file: bytes) -> None:
    server = FixedSender(Verdict.STORED)
    assert network.sent(start(sender=server).address, tmp_path, file) == [0x0000]
    wait_until(lambda: bool(server.files))
    ((partition, stored),) = server.files
    assert partition == "clinic-a"
    assert dataset_of(stored) == dataset_of(file)
    assert meta_of(stored) == meta_of(file)


def test_an_instance_is_found_in_its_partition(
    start: StartGateway, archive: Flask, tmp_path: Path, spool_folder: Path
) -> None:
    files = [make_instance() for _ in range(3)]
    assert network.sent(start().address, tmp_path, *files) == [0x0000] * 3
    wait_until(lambda: number_of_instances(archive, "clinic-a") == 3)
    wait_until(lambda: queue_of(spool_folder) == [])


@pytest.mark.parametrize("by", [PartitionBy.CALLED, PartitionBy.CALLING])
def test_ae_titles_choose_the_partition_of_one_study(
    start: StartGateway, archive: Flask, tmp_path: Path, by: PartitionBy
) -> None:
    admission = Admission(titles=frozenset({"*"}), partition_by=by, partitions={"CT 2": "clinic-b"})
    address = start(admission=admission).address
    file = make_instance()
    for title in ("clinic-a", "CT 2"):
        titles = {"called" if by is PartitionBy.CALLED else "calling": title}
        assert network.sent(address, tmp_path, file, **titles) == [0x0000]
    wait_until(lambda: [number_of_instances(archive, name) for name in ("clinic-a", "clinic-b")] == [1, 1])


def test_a_server_without_partitions_takes_instances(start: StartGateway, tmp_path: Path) -> None:
    server = create_app(Settings(data_dir=tmp_path / "plain", enable_data_partitions=False, **QUIET))
    client = ArchiveClient("http://archive", transport=httpx.WSGITransport(app=server))
    admission = Admission(titles=frozenset({"BULKHEAD"}), partition_by=PartitionBy.FIXED)
    gateway = start(admission=admission, sender=HttpSender(client))
    assert network.sent(gateway.address, tmp_path, make_instance()) == [0x0000]
    wait_until(lambda: len(server.test_client().get("/v2/instances").json or []) == 1)


def test_unknown_titles_are_rejected_with_their_reason(start: StartGateway) -> None:
    admission = Admission(
        titles=frozenset({"BULKHEAD"}),
        partition_by=PartitionBy.CALLING,
        peers=(Peer.parsed("CT1@127.0.0.0/8"), Peer.parsed("CT2@10.0.0.1"), Peer.parsed("CT 3")),
    )
    address = start(admission=admission).address
    with network.association(address, calling="CT1"):
        pass
    assert network.rejection(address, calling="CT1", called="OTHER") == (1, 1, 7)
    assert network.rejection(address, calling="CT2") == (1, 1, 3)
    assert network.rejection(address, calling="CT 3") == (1, 1, 3)  # a blank is in no name of a partition
    assert network.rejection(address, calling="MR1") == (1, 1, 3)


def test_an_instance_stays_until_the_server_has_it(
    start: StartGateway, archive: Flask, tmp_path: Path, spool_folder: Path
) -> None:
    down = start(sender=FixedSender(Verdict.LATER))
    assert network.sent(down.address, tmp_path, make_instance(), make_instance()) == [0x0000] * 2
    down.stop(0)
    assert len(queue_of(spool_folder)) == 2
    start()
    wait_until(lambda: number_of_instances(archive, "clinic-a") == 2)
    wait_until(lambda: queue_of(spool_folder) == [])


def test_an_instance_that_exists_counts_as_stored(
    start: StartGateway, archive: Flask, tmp_path: Path, spool_folder: Path
) -> None:
    file = make_instance()
    assert network.sent(start().address, tmp_path, file, file) == [0x0000] * 2
    wait_until(lambda: queue_of(spool_folder) == [])
    assert number_of_instances(archive, "clinic-a") == 1
    assert list((spool_folder / "refused").iterdir()) == []


def test_a_refused_instance_is_kept_with_its_reason(start: StartGateway, tmp_path: Path, spool_folder: Path) -> None:
    file = make_instance(PatientID=None)
    assert network.sent(start().address, tmp_path, file) == [0x0000]
    wait_until(lambda: queue_of(spool_folder) == [])
    reason, kept = sorted((spool_folder / "refused").iterdir(), key=lambda each: each.suffix, reverse=True)
    assert dataset_of(kept.read_bytes()) == dataset_of(file)
    report = json.loads(reason.read_text())
    assert report["partition"] == "clinic-a"
    assert report["failureReason"] == 43264
    assert "(0010,0020)" in report["comments"][0]


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        (Verdict.STORED, 0x0000),
        (Verdict.REFUSED, 0xC000),
        (Verdict.UNAUTHORIZED, 0x0124),
        (Verdict.LATER, 0xA700),
    ],
)
def test_the_status_is_that_of_the_server_if_the_peer_waits_for_it(
    start: StartGateway, tmp_path: Path, spool_folder: Path, verdict: Verdict, status: int
) -> None:
    gateway = start(sender=FixedSender(verdict), wait_for_server=True)
    assert network.sent(gateway.address, tmp_path, make_instance()) == [status]
    assert [*queue_of(spool_folder), *(spool_folder / "incoming").iterdir()] == []


def test_a_full_spool_is_out_of_resources(start: StartGateway, tmp_path: Path, spool_folder: Path) -> None:
    spool = Spool(spool_folder, limit=10_000, minimum_free=0)
    gateway = start(spool=spool, sender=FixedSender(Verdict.LATER))
    large = make_instance(pixel=bytes(20_000), rows=100, columns=100)
    assert network.sent(gateway.address, tmp_path, large, make_instance()) == [0xA700, 0x0000]
    assert list((spool_folder / "incoming").iterdir()) == []
    assert spool.held == queue_of(spool_folder)[0].stat().st_size


def test_a_failing_disk_is_out_of_resources(
    start: StartGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = start()

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.gateway.spool.os.fsync", fail)
    assert network.sent(gateway.address, tmp_path, make_instance()) == [0xA700]


def test_an_instance_of_another_sop_class_than_its_context_is_refused(
    start: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with network.association(start().address, make_instance()) as peer:
        dataset = pydicom.dcmread(BytesIO(make_instance()))
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        context = next(each for each in peer.accepted_contexts if each.abstract_syntax == CT_STORAGE)
        monkeypatch.setattr(peer, "_get_valid_context", lambda *_, **__: context)
        assert peer.send_c_store(dataset).Status == 0x0122


def test_an_association_that_breaks_leaves_nothing(start: StartGateway, spool: Spool, spool_folder: Path) -> None:
    gateway = start()
    with network.association(gateway.address, make_instance()) as peer:
        network.send_start_of_store(peer, uid())
        wait_until(lambda: len(list((spool_folder / "incoming").iterdir())) == 1)
        peer.abort()
    wait_until(lambda: list((spool_folder / "incoming").iterdir()) == [])
    assert spool.held == 0


def test_one_process_uses_a_spool(start: StartGateway, spool_folder: Path) -> None:
    start()
    with pytest.raises(SpoolUnusable, match="Another process uses the spool"):
        start(spool=Spool(spool_folder, limit=1, minimum_free=0))


def test_unfinished_files_are_removed_at_start(start: StartGateway, spool_folder: Path) -> None:
    (spool_folder / "incoming").mkdir(parents=True)
    (spool_folder / "incoming" / "unfinished.dcm").write_bytes(b"x")
    start()
    assert list((spool_folder / "incoming").iterdir()) == []
