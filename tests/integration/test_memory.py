"""Promise 9: memory does not grow with what is stored or read, in either direction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.integration.copies import served
from tests.support.instances import make_instance

pytestmark = pytest.mark.integration

MEBIBYTE = 1024 * 1024
PIXELS = 300 * MEBIBYTE
MOST = 64 * MEBIBYTE
"""How much memory one request may add to a server process. This does not depend on the size of the request."""

CLINIC = "/v2/partitions/clinic-a"
STUDY = "/studies/2.25.1"
ITSELF = f"{CLINIC}{STUDY}/series/2.25.2/instances/2.25.3"


def large() -> Iterator[bytes]:
    """An instance of 300 MiB, in pieces."""
    head = make_instance(study="2.25.1", series="2.25.2", instance="2.25.3", pixel=b"\0" * 8)
    at = head.rindex(b"\xe0\x7f\x10\x00OW\0\0") + 8
    yield head[:at] + PIXELS.to_bytes(4, "little")
    for number in range(PIXELS // MEBIBYTE):
        yield number.to_bytes(2, "little") * (MEBIBYTE // 2)


def related() -> Iterator[bytes]:
    yield b"--b1\r\nContent-Type: application/dicom\r\n\r\n"
    yield from large()
    yield b"\r\n--b1--\r\n"


def digest(chunks: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
    return found.hexdigest()


class Peak:
    """The largest growth of the memory of any of these processes since this object was made, in bytes."""

    def __init__(self, parent: int) -> None:
        self._before = {process: _bytes(process, "VmRSS") for process in _family(parent)}
        for process in self._before:
            Path(f"/proc/{process}/clear_refs").write_text("5")  # resets the peak

    def grown(self) -> int:
        return max(_bytes(process, "VmHWM") - before for process, before in self._before.items())


def _family(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(each for child in children for each in _family(int(child)))]


def _bytes(process: int, field: str) -> int:
    (line,) = (each for each in Path(f"/proc/{process}/status").read_text().splitlines() if each.startswith(field))
    return int(line.split()[1]) * 1024


def test_an_instance_of_300_megabytes_streams_in_and_out(tmp_path: Path) -> None:
    with served({"BULKHEAD_DATA_DIR": str(tmp_path), "BULKHEAD_LOG_LEVEL": "error"}) as copy:
        small = make_instance(study="2.25.9")
        for _ in range(8):  # each process then has loaded its modules
            requests.post(f"{copy.url}{CLINIC}/studies", data=small, headers={"Content-Type": "application/dicom"})
            requests.get(f"{copy.url}{CLINIC}/studies/2.25.9")
        peak = Peak(copy.process.pid)

        form = 'multipart/related; type="application/dicom"; boundary=b1'
        answer = requests.post(f"{copy.url}{CLINIC}/studies", data=related(), headers={"Content-Type": form})
        assert answer.status_code == 200, answer.text
        assert peak.grown() < MOST

        expected = digest(large())
        with requests.get(
            copy.url + ITSELF, headers={"Accept": "application/dicom; transfer-syntax=*"}, stream=True
        ) as got:
            assert digest(got.iter_content(MEBIBYTE)) == expected
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        with requests.get(f"{copy.url}{CLINIC}{STUDY}", headers={"Accept": accept}, stream=True) as got:
            assert sum(map(len, got.iter_content(MEBIBYTE))) > PIXELS
        assert peak.grown() < MOST


class GaveUp(Exception):
    """The client goes away."""


def test_a_body_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    with served({"BULKHEAD_DATA_DIR": str(tmp_path), "BULKHEAD_LOG_LEVEL": "error"}) as copy:

        def broken() -> Iterator[bytes]:
            for number, piece in enumerate(related()):
                if number == 50:
                    raise GaveUp
                yield piece

        with pytest.raises(GaveUp):
            requests.post(
                f"{copy.url}{CLINIC}/studies",
                data=broken(),
                headers={"Content-Type": "multipart/related; boundary=b1; type=application/dicom"},
            )
        assert requests.get(f"{copy.url}{CLINIC}/studies").status_code == 204
        small = make_instance(study="2.25.9")
        answer = requests.post(f"{copy.url}{CLINIC}/studies", data=small, headers={"Content-Type": "application/dicom"})
        assert answer.status_code == 200
    assert not list((tmp_path / "blobs" / "incoming").iterdir())
