"""kill -9 during stores and background work, and the state after a restart."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from app import bootstrap
from app.settings import Settings
from app.storage.table import keys
from tests.integration.copies import Copy, served
from tests.support.instances import make_instance, uid

pytestmark = pytest.mark.integration

CLINIC = "/v2/partitions/clinic-a"
AS_STORED = {"Accept": "application/dicom; transfer-syntax=*"}
BOUNDARY = b"0123456789abcdef"


@contextmanager
def archive(folder: Path) -> Iterator[Copy]:
    with served({"BULKHEAD_DATA_DIR": str(folder), "BULKHEAD_LOG_LEVEL": "error"}) as copy:
        yield copy


def kill(copy: Copy) -> None:
    """Kill all processes of the copy at once."""
    for process in reversed(_family(copy.process.pid)):
        os.kill(process, signal.SIGKILL)
    copy.process.wait()


def _family(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(each for child in children for each in _family(int(child)))]


class Writer(threading.Thread):
    """Stores instances of one study until the server ends. Remembers those that were acknowledged."""

    def __init__(self, url: str, study: str) -> None:
        super().__init__()
        self.stored: dict[tuple[str, str, str], bytes] = {}
        self.tried: set[tuple[str, str, str]] = set()
        self._url = url
        self._study = study

    def run(self) -> None:
        series = uid()
        session = requests.Session()
        while True:
            made = {
                (self._study, series, instance): make_instance(study=self._study, series=series, instance=instance)
                for instance in (uid() for _ in range(5))
            }
            self.tried |= made.keys()
            head = b"--" + BOUNDARY + b"\r\nContent-Type: application/dicom\r\n\r\n"
            body = b"".join(head + each + b"\r\n" for each in made.values()) + b"--" + BOUNDARY + b"--\r\n"
            related = f'multipart/related; type="application/dicom"; boundary={BOUNDARY.decode()}'
            try:
                answer = session.post(self._url + CLINIC + "/studies", data=body, headers={"Content-Type": related})
            except requests.RequestException:
                return
            assert answer.status_code == 200, answer.text
            self.stored |= made


def path(uids: tuple[str, str, str]) -> str:
    return f"{CLINIC}/studies/{uids[0]}/series/{uids[1]}/instances/{uids[2]}"


def feed(url: str) -> list[tuple[str, str, str]]:
    """Every entry of the feed, by sequence."""
    tip = requests.get(f"{url}/v1/changefeed/latest?includemetadata=false").json()["sequence"]
    found = []
    for offset in range(0, tip, 100):
        page = requests.get(f"{url}/v1/changefeed?offset={offset}&limit=100&includemetadata=false").json()
        found += [(each["studyInstanceUid"], each["seriesInstanceUid"], each["sopInstanceUid"]) for each in page]
    return found


@pytest.mark.parametrize("seconds", [0.15, 0.4, 0.9])
def test_every_acknowledged_instance_survives_and_none_is_incomplete(tmp_path: Path, seconds: float) -> None:
    studies = [uid() for _ in range(4)]
    with archive(tmp_path) as copy:
        writers = [Writer(copy.url, study) for study in studies]
        for writer in writers:
            writer.start()
        time.sleep(seconds)  # the writers store for so long
        kill(copy)
        for writer in writers:
            writer.join()
    acknowledged = {uids: body for writer in writers for uids, body in writer.stored.items()}
    tried = set().union(*(writer.tried for writer in writers))

    with archive(tmp_path) as copy:
        time.sleep(6)  # readers of the feed close a gap after five seconds
        requests.get(f"{copy.url}/v1/changefeed/latest")
        there = set()
        for uids in tried:
            answer = requests.get(copy.url + path(uids), headers=AS_STORED)
            metadata = requests.get(f"{copy.url}{path(uids)}/metadata")
            assert (answer.status_code, metadata.status_code) in ((200, 200), (404, 404))
            if answer.status_code == 200:
                there.add(uids)
                assert metadata.json()[0]["00080018"]["Value"] == [uids[2]]
            if uids in acknowledged:
                assert answer.status_code == 200
                assert answer.content[128:] == acknowledged[uids][128:]
        for study in studies:
            members = {uids for uids in there if uids[0] == study}
            query = f"{CLINIC}/studies?StudyInstanceUID={study}&includefield=NumberOfStudyRelatedInstances"
            found = requests.get(copy.url + query)
            counted = found.json()[0]["00201208"]["Value"][0] if found.status_code == 200 else 0
            assert counted == len(members)
            for uids in members:
                query = f"{CLINIC}/instances?SOPInstanceUID={uids[2]}"
                assert len(requests.get(copy.url + query).json()) == 1
        entries = feed(copy.url)
        assert len(entries) == len(set(entries))
        assert set(entries) == there

    assert swept(tmp_path) == len(there)


def swept(folder: Path) -> int:
    """Sweep as if every intent were due. Return how many files are left."""
    settings = Settings(data_dir=folder)
    engine = bootstrap.build_engine(settings)
    services = bootstrap.build_services(settings, engine)
    later = time.time() + 7200
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.storage.table.clock.now", lambda: later)
        while any(step() for step in services.background):
            pass
    assert not list(engine.table.query(keys.SWEEP, keys.due_by(int(later))))
    return len([blob for blob in engine.blobs.listed() if blob.key.endswith(".dcm")])


def test_an_operation_survives_its_worker(tmp_path: Path) -> None:
    """A bulk update and a re-index are killed several times. Both still end with the right result."""
    study, instances = uid(), [uid() for _ in range(300)]
    with archive(tmp_path) as copy:
        for start in range(0, 300, 50):
            head = b"--" + BOUNDARY + b"\r\nContent-Type: application/dicom\r\n\r\n"
            made = (
                make_instance(study=study, series="2.25.7", instance=each) for each in instances[start : start + 50]
            )
            body = b"".join(head + each + b"\r\n" for each in made) + b"--" + BOUNDARY + b"--\r\n"
            related = f'multipart/related; type="application/dicom"; boundary={BOUNDARY.decode()}'
            requests.post(f"{copy.url}{CLINIC}/studies", data=body, headers={"Content-Type": related})
        change = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Roe^Richard"}]}}
        asked = {"studyInstanceUids": [study], "changeDataset": change}
        update = requests.post(f"{copy.url}{CLINIC}/studies/$bulkUpdate", json=asked).json()["id"]
        tag = [{"path": "PatientSex", "level": "Study"}]
        reindex = requests.post(f"{copy.url}/v2/extendedquerytags", json=tag).json()["id"]
        time.sleep(0.3)
        kill(copy)
    for _ in range(2):
        with archive(tmp_path) as copy:
            time.sleep(0.5)
            kill(copy)
    with archive(tmp_path) as copy:
        ends = time.monotonic() + 110  # a dead worker's lease lasts a minute
        for operation in (update, reindex):
            while (answer := requests.get(f"{copy.url}/v2/operations/{operation}")).status_code == 202:
                assert time.monotonic() < ends
                time.sleep(0.5)
            assert answer.json()["status"] == "succeeded"
        metadata = requests.get(f"{copy.url}{CLINIC}/studies/{study}/metadata").json()
        assert len(metadata) == 300
        assert {each["00100010"]["Value"][0]["Alphabetic"] for each in metadata} == {"Roe^Richard"}
        original = {"msdicom-request-original": "true"}
        metadata = requests.get(f"{copy.url}{CLINIC}/studies/{study}/metadata", headers=original).json()
        assert {each["00100010"]["Value"][0]["Alphabetic"] for each in metadata} == {"Doe^Jane"}
        found = requests.get(f"{copy.url}{CLINIC}/studies?PatientName=Roe^Richard&includefield=00201208").json()
        assert found[0]["00201208"]["Value"] == [300]
        entries = feed(copy.url)
        assert len(entries) == 600  # each instance created once, and updated once
