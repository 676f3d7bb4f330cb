"""Promise 10: slow clients do not hold up others. The default server has 2 processes with 8 work slots each.

64 slow downloads of a study, 64 trickling uploads and 500 idle connections are open at the same time. Health checks are
answered within a second and searches within two. All downloads and uploads complete.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

from tests.integration.copies import served
from tests.support.instances import make_instance
from tests.support.slow_clients import RawConnection, exchange, slow_download, slow_upload

pytestmark = pytest.mark.integration

CLINIC = "/v2/partitions/clinic-a"
STUDY = "2.25.1"
DOWNLOADS = UPLOADS = 64
IDLE = 500
DOWNLOAD_RATE, UPLOAD_RATE = 2000, 800
"""Bytes a second."""

SECONDS = 12
"""How long the answers to others are timed."""

AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("archive")
    environment = {"BULKHEAD_DATA_DIR": str(folder), "BULKHEAD_LOG_LEVEL": "error", "BULKHEAD_AUDIT": "off"}
    with served(environment) as copy:
        for number in range(6):  # more than the kernel takes for a client that does not read
            data = make_instance(study=STUDY, instance=f"2.25.1.{number}", rows=512, columns=1024)
            stored = requests.post(
                f"{copy.url}{CLINIC}/studies", data=data, headers={"Content-Type": "application/dicom"}
            )
            assert stored.status_code == 200, stored.text
        yield int(urlsplit(copy.url).port or 0)


def get(path: str, accept: str = "*/*") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nConnection: close\r\n\r\n".encode()


def upload(number: int) -> tuple[bytes, bytes]:
    body = make_instance(study="2.25.2", series="2.25.3", instance=f"2.25.4.{number}", rows=90, columns=90)
    head = f"POST {CLINIC}/studies HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/dicom\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode(), body


def content(answer: bytes) -> tuple[bytes, bytes]:
    """Return the status line and the body. The boundary, which each answer has for itself, is left out of the body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    boundary = body.partition(b"--")[2].partition(b"\r\n")[0]
    return head.partition(b"\r\n")[0], body.replace(boundary, b"")


async def slowest(port: int, path: str, seconds: float) -> float:
    """Return the longest time in seconds until an answer to this path was complete. Each must be a 200."""
    longest, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.monotonic()
        answer = await asyncio.wait_for(exchange(port, get(path)), 20)
        assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]
        longest = max(longest, time.monotonic() - begun)
        await asyncio.sleep(0.2)
    return longest


async def scenario(port: int) -> None:
    study = get(f"{CLINIC}/studies/{STUDY}", AS_STORED)
    expected = content(await exchange(port, study))
    end = asyncio.Event()
    idle = [await RawConnection.opened(port) for _ in range(IDLE)]
    downloads = [asyncio.create_task(slow_download(port, study, DOWNLOAD_RATE, end)) for _ in range(DOWNLOADS)]
    uploads = [asyncio.create_task(slow_upload(port, *upload(number), UPLOAD_RATE, end)) for number in range(UPLOADS)]
    await asyncio.sleep(2)
    live, ready, check, search = await asyncio.gather(
        slowest(port, "/health/live", SECONDS),
        slowest(port, "/health/ready", SECONDS),
        slowest(port, "/health/check", SECONDS),
        slowest(port, f"{CLINIC}/studies?PatientID=P1", SECONDS),
    )
    assert not any(task.done() for task in (*downloads, *uploads))
    end.set()
    for download in downloads:
        assert content(await download) == expected
    for sent in uploads:
        assert (await sent).startswith(b"HTTP/1.1 200 ")
    for connection in idle:
        connection.sock.close()
    found = await exchange(port, get(f"{CLINIC}/studies/2.25.2/instances?limit=200"))
    assert len(json.loads(found.partition(b"\r\n\r\n")[2])) == UPLOADS
    assert max(live, ready, check) < 1, (live, ready, check)
    assert search < 2


def test_slow_clients_do_not_hold_up_others(port: int) -> None:
    asyncio.run(asyncio.wait_for(scenario(port), 120))
