"""Calls to a server: a request, and the answer that the corpus says is right."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from PIL import Image as Picture
from pydicom import dcmread

from tests.benchmarks.client import Connection, Response, Wire
from tests.benchmarks.corpus import Image
from tests.benchmarks.servers import Server

JSON: Final = "application/dicom+json"
FILES: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
FRAMES: Final = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
DECODED_FRAMES: Final = FRAMES.replace("*", "1.2.840.10008.1.2.1")
DECODED_FILES: Final = FILES.replace("*", "1.2.840.10008.1.2.1")
BOUNDARY: Final = "bulkhead-bench-8d1f0c"
PREAMBLE: Final = 128
STORED, REFUSED = "00081199", "00081198"
STUDY, INSTANCE = "0020000D", "00080018"
BULKY: Final = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}
"""Value representations whose values metadata may leave out (conformance §4.14)."""


class Mismatch(Exception):
    """The answer of a server differs from the corpus."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request below the base URL of the service. The result of `read` for its answer must equal `expected`."""

    path: str
    accept: str
    read: Callable[[Response], object]
    expected: object
    body: bytes = b""
    units: int = 1
    """How much the call counts in a rate: the number of instances of a store, otherwise 1."""
    name_prefix: str = ""
    """A prefix of PatientName to search for. Each server has its own syntax for it."""

    def wire(self, server: Server) -> Wire:
        """Return the request for this server, as it is sent."""
        query = server.kind.name_prefix.format(self.name_prefix) if self.name_prefix else ""
        lines = [
            f"{'POST' if self.body else 'GET'} {server.kind.base}{self.path}{query} HTTP/1.1",
            f"Host: 127.0.0.1:{server.port}",
            f"Accept: {self.accept}",
        ]
        if self.body:
            lines += [
                f'Content-Type: multipart/related; type="application/dicom"; boundary={BOUNDARY}',
                f"Content-Length: {len(self.body)}",
            ]
        return "\r\n".join([*lines, "", ""]).encode(), self.body

    def check(self, server: Server, connection: Connection) -> int:
        """Make the call and return the size of the answer in bytes. Raises Mismatch if the answer is wrong."""
        response = connection.exchange(self.wire(server), keep=True)
        if response.status != 200:
            raise Mismatch(f"{server.name} {self.path}: {response.status} {response.body[:500]!r}")
        found = self.read(response)
        if found != self.expected:
            raise Mismatch(f"{server.name} {self.path}: {str(found)[:500]}, not {str(self.expected)[:500]}")
        return response.size


def store(images: Sequence[Image]) -> Call:
    """Store these in one request."""
    pieces = [
        piece
        for image in images
        for piece in (f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode(), image.data, b"\r\n")
    ]
    body = b"".join([*pieces, f"--{BOUNDARY}--\r\n".encode()])
    return Call("/studies", JSON, _accepted, (len(images), 0), body, len(images))


def instance(image: Image) -> Call:
    """Retrieve this file."""
    return Call(_path(image), FILES, _files, _digests([image.data]))


def series(images: Sequence[Image]) -> Call:
    """Retrieve the series that consists of these files."""
    first = images[0]
    expected = _digests(image.data for image in images)
    return Call(f"/studies/{first.study}/series/{first.series}", FILES, _files, expected)


def frame(image: Image, number: int, frames: int = 1) -> Call:
    """Retrieve one frame, from 1, of an image of so many frames."""
    return Call(f"{_path(image)}/frames/{number}", FRAMES, _pixels, [_digest(image.frame(number, frames))])


def decoded_frame(image: Image, pixels: bytes) -> Call:
    """Retrieve the only frame of a compressed image in Explicit VR Little Endian."""
    return Call(f"{_path(image)}/frames/1", DECODED_FRAMES, _pixels, [_digest(pixels)])


def decoded_file(image: Image, pixels: int) -> Call:
    """Retrieve a compressed file in Explicit VR Little Endian. It has so many bytes of pixels at its end."""
    return Call(_path(image), DECODED_FILES, lambda response: response.size > pixels, expected=True)


def study_metadata(images: Sequence[Image]) -> Call:
    """Retrieve the metadata of the study that consists of these files."""
    return _metadata(f"/studies/{images[0].study}", images)


def instance_metadata(image: Image) -> Call:
    """Retrieve the metadata of this file."""
    return _metadata(_path(image), [image])


def series_metadata(images: Sequence[Image]) -> Call:
    """Retrieve the metadata of the series that consists of these files."""
    return _metadata(f"/studies/{images[0].study}/series/{images[0].series}", images)


def series_of(study: str, number: int) -> Call:
    """Search the series of a study as OHIF does, expecting so many."""
    return Call(f"/studies/{study}/series?includefield=00080021,0008103E", JSON, _rows, number)


def rendered(image: Image, frame: int, side: int, query: str = "") -> Call:
    """Render a frame as JPEG. The picture has `side` rows and columns, and it is not one flat shade."""
    return Call(f"{_path(image)}/frames/{frame}/rendered{query}", "image/jpeg", _picture, ("JPEG", (side, side), True))


def search(query: str, studies: Iterable[str]) -> Call:
    """Search studies, expecting exactly these."""
    return Call(f"/studies?limit=100&{query}", JSON, _uids(STUDY), frozenset(studies))


def search_name(prefix: str, studies: Iterable[str]) -> Call:
    """Search studies by a prefix of the family name, expecting exactly these."""
    return Call("/studies?limit=100&", JSON, _uids(STUDY), frozenset(studies), name_prefix=prefix)


def newest(rows: int) -> Call:
    """Search studies without a filter, expecting so many rows."""
    return Call(f"/studies?limit={rows}", JSON, _rows, rows)


def members(study: str, rows: int, limit: int = 100) -> Call:
    """Search the instances of a study, expecting so many rows."""
    return Call(f"/studies/{study}/instances?limit={limit}", JSON, _rows, rows)


def _path(image: Image) -> str:
    return f"/studies/{image.study}/series/{image.series}/instances/{image.instance}"


def _metadata(path: str, images: Sequence[Image]) -> Call:
    wanted = _tags(images[0])
    expected = {image.instance: frozenset[str]() for image in images}

    def missing(response: Response) -> dict[str, frozenset[str]]:
        return {row[INSTANCE]["Value"][0]: wanted - row.keys() for row in _json(response)}

    return Call(f"{path}/metadata", JSON, missing, expected)


def _tags(image: Image) -> frozenset[str]:
    """The tags that the metadata of the image must have."""
    dataset = dcmread(BytesIO(image.data), stop_before_pixels=True)
    return frozenset(f"{element.tag:08X}" for element in dataset if element.VR not in BULKY)


def _json(response: Response) -> Any:
    return json.loads(response.body)


def _accepted(response: Response) -> tuple[int, int]:
    report = _json(response)
    return len(report.get(STORED, {}).get("Value", [])), len(report.get(REFUSED, {}).get("Value", []))


def _rows(response: Response) -> int:
    return len(_json(response))


def _uids(tag: str) -> Callable[[Response], frozenset[str]]:
    return lambda response: frozenset(row[tag]["Value"][0] for row in _json(response))


def _files(response: Response) -> list[str]:
    return _digests(_parts(response))


def _pixels(response: Response) -> list[str]:
    return [_digest(part) for part in _parts(response)]


def _parts(response: Response) -> list[bytes]:
    boundary = response.content_type.partition("boundary=")[2].split(";")[0].strip('" ')
    pieces = (b"\r\n" + response.body).split(f"\r\n--{boundary}".encode())
    return [piece.partition(b"\r\n\r\n")[2] for piece in pieces[1:-1]]


def _picture(response: Response) -> tuple[str | None, tuple[int, int], bool]:
    """Return format, size, and whether there are several shades."""
    picture = Picture.open(BytesIO(response.body))
    darkest, brightest = picture.convert("L").getextrema()
    return picture.format, picture.size, darkest != brightest


def _digests(files: Iterable[bytes]) -> list[str]:
    """Return the sorted digests of the files without their preambles. The order of the answer does not matter."""
    return sorted(_digest(memoryview(file)[PREAMBLE:]) for file in files)


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
