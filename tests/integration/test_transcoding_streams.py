"""A large file is transcoded in little memory, and a frame that fails breaks the connection (conformance §4.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from requests.exceptions import ChunkedEncodingError

from tests.benchmarks import processes
from tests.benchmarks.corpus import SIDE, Corpus
from tests.integration.copies import served
from tests.support.compressed_images import SOURCES, TARGETS
from tests.support.images import KINDS, make_compressed
from tests.support.instances import JPEG_2000, encapsulated, make_instance

pytestmark = pytest.mark.integration

FRAMES = 400
MOST = 150
"""How many megabytes transcoding may add to all processes of the service, those that decode included."""
CLINIC = "/v2/partitions/clinic-a"
INSTANCE = "/studies/2.25.1/series/2.25.2/instances/2.25.3"
UIDS = {"study": "2.25.1", "series": "2.25.2", "instance": "2.25.3"}
DICOM = {"Content-Type": "application/dicom"}


def long_film() -> Iterator[bytes]:
    """A multi-frame image of 115 MB in JPEG 2000, 210 MB uncompressed, in pieces."""
    frame = Corpus().slices_in_jpeg_2000[0].data.partition(b"\xfe\xff\x00\xe0\x04\0\0\0\0\0\0\0")[2][8:-8]
    start = encapsulated(
        [[b""]], transfer_syntax=JPEG_2000, rows=SIDE, columns=SIDE, NumberOfFrames=str(FRAMES), **UIDS
    )
    yield start.partition(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff")[0] + b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
    yield struct.pack("<HHL", 0xFFFE, 0xE000, 0)
    for _ in range(FRAMES):
        yield struct.pack("<HHL", 0xFFFE, 0xE000, len(frame)) + frame
    yield struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    with served({"BULKHEAD_DATA_DIR": str(tmp_path), "BULKHEAD_LOG_LEVEL": "error"}) as copy:
        service = copy.url + CLINIC
        for _ in range(8):  # each process then has loaded its modules
            requests.post(f"{service}/studies", data=make_instance(study="2.25.9"), headers=DICOM)
            requests.get(f"{service}/studies/2.25.9")
        assert requests.post(f"{service}/studies", data=long_film(), headers=DICOM).status_code == 200
        idle = processes.resident(copy.process.pid)
        processes.forget_peak(copy.process.pid)
        accept = {"Accept": f"application/dicom; transfer-syntax={TARGETS['Explicit LE']}"}
        with requests.get(service + INSTANCE, headers=accept, stream=True) as answer:
            assert answer.status_code == 200
            size = sum(map(len, answer.iter_content(1 << 20)))
        assert size == int(answer.headers["Content-Length"])
        assert size > FRAMES * SIDE * SIDE * 2
        assert processes.peak(copy.process.pid) - idle < MOST


@pytest.mark.parametrize(("target", "multipart"), [("Explicit LE", False), ("RLE", False), ("RLE", True)])
def test_a_frame_that_fails_breaks_the_connection(clinic: str, target: str, multipart: bool) -> None:
    kind = KINDS["16 bit, 3 frames"]
    frames = SOURCES["JPEG-LS"].frames(kind)
    file = make_compressed(kind, [*frames[:2], b"no codestream"], SOURCES["JPEG-LS"].uid, **UIDS)
    assert requests.post(f"{clinic}/studies", data=file, headers=DICOM).status_code == 200
    form = 'multipart/related; type="application/dicom"' if multipart else "application/dicom"
    accept = {"Accept": f"{form}; transfer-syntax={TARGETS[target]}"}
    with requests.get(clinic + INSTANCE, headers=accept, stream=True) as answer:
        assert answer.status_code == 200
        with pytest.raises(ChunkedEncodingError):
            list(answer.iter_content(1 << 20))
    assert (
        requests.get(f"{clinic}{INSTANCE}/frames/2", headers={"Accept": "application/octet-stream"}).status_code == 200
    )
