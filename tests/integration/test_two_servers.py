"""Two copies of Bulkhead behind nginx share one archive, on both engines."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.benchmarks.processes import family
from tests.integration.copies import Archive, Copy, balanced, bulkhead, served
from tests.integration.servers import KEYS, dynamodb_local, s3_server
from tests.support.instances import make_instance, read, uid

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PUBLIC_URL = "https://dicom.test/archive"
PREAMBLE = 128
STORED, EXISTS = "00081199", "00081198"
REASON, ALREADY_THERE = "00081197", {45070, 45071}


@pytest.fixture(scope="module", params=["embedded", "aws"])
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as running:
        environment = _environment(request.param, folder, request.config.rootpath, running)
        subprocess.run(bulkhead("init"), env={**os.environ, **environment}, check=True)
        copies = [running.enter_context(served(environment)) for _ in range(2)]
        yield running.enter_context(balanced(folder, copies))


def _environment(engine: str, folder: Path, repository: Path, running: ExitStack) -> dict[str, str]:
    """Return the settings of both copies. With aws they have a public URL, with embedded they trust nginx."""
    shared = {"BULKHEAD_ENGINE": engine, "BULKHEAD_TRUSTED_PROXIES": "1", "BULKHEAD_LOG_LEVEL": "warning"}
    if engine == "embedded":
        return shared | {"BULKHEAD_DATA_DIR": str(folder / "data")}
    return shared | {
        "BULKHEAD_TABLE": "archive",
        "BULKHEAD_BUCKET": "archive",
        "BULKHEAD_PUBLIC_URL": PUBLIC_URL,
        "AWS_ENDPOINT_URL_DYNAMODB": running.enter_context(dynamodb_local(folder, repository)),
        "AWS_ENDPOINT_URL_S3": running.enter_context(s3_server(folder)),
        "AWS_ACCESS_KEY_ID": KEYS[0],
        "AWS_SECRET_ACCESS_KEY": KEYS[1],
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


class Partition:
    """One partition as seen through one address."""

    def __init__(self, url: str, name: str) -> None:
        self.url = f"{url}/v2/partitions/{name}"

    def store(self, instance: bytes) -> requests.Response:
        return requests.post(f"{self.url}/studies", data=instance, headers={"Content-Type": "application/dicom"})

    def retrieve(self, instance: bytes) -> requests.Response:
        accept = {"Accept": "application/dicom; transfer-syntax=*"}
        return requests.get(self.url + _path(instance), headers=accept)

    def search(self, **query: str) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.url}/instances", params=query, headers={"Accept": "application/dicom+json"})
        answer.raise_for_status()
        return answer.json() if answer.status_code == 200 else []


def _path(instance: bytes) -> str:
    found = read(instance)
    return f"/studies/{found.StudyInstanceUID}/series/{found.SeriesInstanceUID}/instances/{found.SOPInstanceUID}"


def _reasons(answer: requests.Response) -> list[int]:
    return [item[REASON]["Value"][0] for item in answer.json()[EXISTS]["Value"]]


def _uids(found: list[dict[str, Any]]) -> set[str]:
    return {each["00080018"]["Value"][0] for each in found}


def _sop(instance: bytes) -> str:
    return str(read(instance).SOPInstanceUID)


def test_nginx_sends_requests_to_both_copies(archive: Archive) -> None:
    answers = [requests.get(f"{archive.url}/health/check") for _ in range(8)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["X-Copy"] for answer in answers}) == 2


def test_what_one_copy_stores_the_other_has_at_once(archive: Archive) -> None:
    first, second = (Partition(copy.url, "shared") for copy in archive.copies)
    study = uid()
    for here, there in [(first, second), (second, first)] * 3:
        instance = make_instance(study=study)
        assert here.store(instance).status_code == 200
        answer = there.retrieve(instance)
        assert answer.status_code == 200
        assert answer.content[PREAMBLE:] == instance[PREAMBLE:]
        assert _sop(instance) in _uids(there.search(StudyInstanceUID=study))
    assert _uids(first.search(StudyInstanceUID=study)) == _uids(second.search(StudyInstanceUID=study))


def test_what_one_copy_deletes_is_gone_from_the_other(archive: Archive) -> None:
    first, second = (Partition(copy.url, "emptied") for copy in archive.copies)
    instance = make_instance()
    first.store(instance).raise_for_status()
    assert requests.delete(second.url + _path(instance)).status_code == 204
    assert first.retrieve(instance).status_code == 404


def test_twenty_first_stores_make_one_partition(archive: Archive) -> None:
    study = uid()
    instances = [make_instance(study=study) for _ in range(20)]
    balanced_partition = Partition(archive.url, "newborn")
    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(balanced_partition.store, instances))
    assert [answer.status_code for answer in answers] == [200] * 20
    for copy in archive.copies:
        listed = requests.get(f"{copy.url}/v2/partitions").json()
        assert [each["partitionName"] for each in listed].count("newborn") == 1
        keys = [each["partitionKey"] for each in listed]
        assert len(keys) == len(set(keys))
        found = Partition(copy.url, "newborn").search(StudyInstanceUID=study)
        assert _uids(found) == {_sop(each) for each in instances}


def test_one_of_sixteen_stores_of_one_instance_succeeds(archive: Archive) -> None:
    instance = make_instance()
    contested = Partition(archive.url, "contested")
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(contested.store, [instance] * 16))
    won = [answer for answer in answers if answer.status_code == 200]
    lost = [answer for answer in answers if answer.status_code == 409]
    assert (len(won), len(lost)) == (1, 15)
    assert {reason for answer in lost for reason in _reasons(answer)} <= ALREADY_THERE
    assert len(contested.search(StudyInstanceUID=str(read(instance).StudyInstanceUID))) == 1


def test_links_have_the_address_that_the_client_used(archive: Archive, request: pytest.FixtureRequest) -> None:
    outside = PUBLIC_URL if "aws" in request.node.name else archive.url
    instance = make_instance()
    stored = Partition(archive.url, "linked").store(instance).json()
    link = stored[STORED]["Value"][0]["00081190"]["Value"][0]
    assert link == f"{outside}/v2/partitions/linked{_path(instance)}"


def test_the_feed_is_one_for_both_copies(archive: Archive) -> None:
    instances = [make_instance() for _ in range(6)]
    for copy, instance in zip(list(archive.copies) * 3, instances, strict=True):
        Partition(copy.url, "feed").store(instance).raise_for_status()

    def feed(copy: Copy) -> list[tuple[int, str]]:
        url = f"{copy.url}/v1/changefeed"
        latest = requests.get(f"{url}/latest").json()["sequence"]
        pages = [requests.get(url, params={"offset": after, "limit": 100}).json() for after in range(0, latest, 100)]
        return [(each["sequence"], each["sopInstanceUid"]) for page in pages for each in page]

    first, second = (feed(copy) for copy in archive.copies)
    assert first == second
    assert [sequence for sequence, _ in first] == sorted({sequence for sequence, _ in first})
    assert [each for _, each in first][-6:] == [_sop(each) for each in instances]


def test_a_killed_copy_loses_no_instance(tmp_path: Path) -> None:
    environment = {"BULKHEAD_DATA_DIR": str(tmp_path / "data"), "BULKHEAD_LOG_LEVEL": "warning"}
    with served(environment) as staying, ExitStack() as leaving:
        going = leaving.enter_context(served(environment))
        instances = [make_instance() for _ in range(8)]

        def store(instance: bytes) -> bool:
            try:
                return Partition(going.url, "survivor").store(instance).status_code == 200
            except requests.RequestException:  # also a body that broke off: nothing was acknowledged
                return False

        with ThreadPoolExecutor(4) as clients:
            acknowledged = [clients.submit(store, each) for each in instances]
            acknowledged[1].result()
            _kill_family(going)
            stored = [each for each, stored_it in zip(instances, acknowledged, strict=True) if stored_it.result()]
        assert stored
        survivor = Partition(staying.url, "survivor")
        for instance in stored:
            assert survivor.retrieve(instance).content[PREAMBLE:] == instance[PREAMBLE:]
        assert {_sop(each) for each in stored} <= _uids(survivor.search())
        assert survivor.store(make_instance()).status_code == 200


def _kill_family(copy: Copy) -> None:
    """Kill all processes of the copy."""
    for pid in family(copy.process.pid):
        os.kill(pid, signal.SIGKILL)
