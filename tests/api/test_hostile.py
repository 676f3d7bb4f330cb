"""Bad input gets an answer that says what is wrong. It is never a 500, and the good instances beside it are stored."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from app import bootstrap, create_app
from app.services.store.report import EXISTS, INVALID
from app.settings import Settings
from tests.support.dicomweb import AS_STORED, PartitionClient, items, parts, related, value
from tests.support.instances import DEFLATED_LITTLE, IMPLICIT_LITTLE, ct, encapsulated, make_instance
from tests.support.raw_elements import SEQUENCE_END, UNDEFINED, element, implicit, item, part10

FORM = 'multipart/related; type="application/dicom"; boundary=b1'
GOOD = make_instance(study="2.25.1", series="2.25.2", instance="2.25.3")


def uids(instance: str = "2.25.9") -> bytes:
    """The elements that every instance must have, but for the Patient ID, in order of their tags."""
    return element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2\0") + element(0x00080018, "UI", instance.encode())


REST = (
    element(0x00100020, "LO", b"P1") + element(0x0020000D, "UI", b"2.25.91\0") + element(0x0020000E, "UI", b"2.25.92\0")
)
WHOLE = make_instance(study="2.25.91", series="2.25.92", instance="2.25.9")


def nested(depth: int, *, ends: bool) -> bytes:
    """Sequences in sequences, of undefined length."""
    opening = element(0x00081140, "SQ", length=UNDEFINED) + implicit(0xFFFEE000, length=UNDEFINED)
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return part10(uids() + opening * depth + (closing * depth if ends else b"") + REST)


def deflated(dataset: bytes) -> bytes:
    """A file whose dataset is deflated."""
    deflate = zlib.compressobj(9, wbits=-15)
    return part10(deflate.compress(dataset) + deflate.flush(), DEFLATED_LITTLE)


def in_fragments(*frames: bytes) -> bytes:
    """Pixel data in one fragment a frame, with an offset table."""
    starts = [sum(8 + len(before) for before in frames[:index]) for index in range(len(frames))]
    fragments = b"".join(map(item, [struct.pack(f"<{len(frames)}L", *starts), *frames]))
    number = element(0x00280008, "IS", f"{len(frames)} ".encode())
    return number + element(0x7FE00010, "OB", fragments + SEQUENCE_END, length=UNDEFINED)


def inflating(size: int) -> bytes:
    """A small file whose dataset is large once it is inflated."""
    deflate = zlib.compressobj(9, wbits=-15)
    head = uids() + REST + element(0x7FE00010, "OB", length=size)
    body = (
        deflate.compress(head) + b"".join(deflate.compress(bytes(1 << 20)) for _ in range(size >> 20)) + deflate.flush()
    )
    return part10(body + b"\0" * (len(body) % 2), DEFLATED_LITTLE)


REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "a byte": b"x",
    "NULs": bytes(100_000),
    "noise": random.Random(1).randbytes(10_000),
    "HTML": b"<html><body>404</body></html>" * 100,
    "a ZIP file": b"PK\3\4" + random.Random(2).randbytes(1000),
    "the preamble alone": bytes(128) + b"DICM",
    "the header alone": WHOLE[: WHOLE.index(b"\x08\0\x05\0") if b"\x08\0\x05\0" in WHOLE else 340],
    "cut in the header": WHOLE[:200],
    "a header that is longer than the file": part10(b"").replace(struct.pack("<L", 28), struct.pack("<L", 1 << 30)),
    "an element longer than the file": part10(uids() + element(0x00100020, "LO", b"P1", length=60_000)),
    "a value of undefined length": part10(uids() + element(0x00100010, "UT", b"x", length=UNDEFINED)),
    "a length of four gigabytes": part10(uids() + element(0x00100010, "UT", b"x", length=UNDEFINED - 1)),
    "a sequence that does not end": nested(3, ends=False),
    "5,000 sequences in each other": nested(5000, ends=True),
    "5,000 open sequences": nested(5000, ends=False),
    "tags in disorder, and none of those needed": part10(element(0x00400000, "UL", b"\0\0\0\0") + uids()),
    "no Patient ID": part10(uids() + REST[len(element(0x00100020, "LO", b"P1")) :]),
    "a UID that is a path": part10(uids("../../../etc/passwd ") + REST),
    "a UID with a NUL in it": part10(uids("2.25\x00.9") + REST),
    "a UID with a slash": part10(uids("2.25/9") + REST),
    "a UID of two lines": part10(uids("2.25.9\n2.25.8") + REST),
    "a UID of a kilobyte": part10(uids("1." * 512) + REST),
}

EITHER: dict[str, bytes] = {
    "more names than an index row holds": part10(uids() + element(0x00080090, "PN", b"A\\" * 32_767) + REST),
    "an instance of another byte order": part10(uids() + REST, "1.2.840.10008.1.2.2"),
    "deflated by its header alone": part10(uids() + REST, DEFLATED_LITTLE),
    "implicit by its header, explicit in truth": part10(uids() + REST, IMPLICIT_LITTLE),
    "a transfer syntax that does not exist": part10(uids() + REST, "1.2.3.4.5.6.7.8.9"),
    "cut in the pixels": WHOLE[:-7],
    "an unknown VR": part10(uids() + element(0x00090010, "ZZ", b"abcd") + REST),
    "a VR of control characters": part10(uids() + b"\x09\x00\x10\x00\x00\x01\x04\x00abcd" + REST),
    "100,000 elements": part10(
        uids() + REST + b"".join(element(0x00210000 + i, "LO", b"xy") for i in range(0x10, 0x8000))
    ),
    "10,000 items": part10(
        uids() + element(0x00081140, "SQ", item(element(0x00081150, "UI", b"1.2\0")) * 10_000) + REST
    ),
    "100 sequences in each other": nested(100, ends=True),
    "a megabyte of text": part10(uids() + element(0x00104000, "UT", b"x" * (1 << 20)) + REST),
    "text that no character set has": part10(
        uids() + element(0x00080005, "CS", b"ISO_IR 192") + element(0x00081030, "LO", b"\xff\xfe\xed\xa0\x80x") + REST
    ),
    "a character set that does not exist": part10(
        uids()[:0] + element(0x00080005, "CS", b"ISO_IR 999 ") + uids() + REST
    ),
    "a NUL in a name": part10(uids() + element(0x00100010, "PN", b"Doe\0Jane^\x01\x1b$)C") + REST),
    "numbers that are none": part10(
        uids() + element(0x00200011, "IS", b"NaN ") + element(0x00200013, "IS", b"9" * 4000) + REST
    ),
    "floats that JSON has no words for": part10(
        uids() + element(0x00181271, "FD", struct.pack("<3d", float("nan"), float("inf"), -float("inf"))) + REST
    ),
    "values of odd lengths": part10(
        uids() + element(0x00280010, "US", b"abc") + element(0x00280034, "IS", b"1\\\\2") + REST
    ),
    "an offset table that lies": encapsulated(
        [[b"\xff\xd8"]], study="2.25.91", series="2.25.92", instance="2.25.9"
    ).replace(b"\0\0\0\0\xfe\xff\x00\xe0", b"\xff\xff\xff\xff\xfe\xff\x00\xe0", 1),
    "a billion frames": make_instance(study="2.25.91", series="2.25.92", instance="2.25.9", NumberOfFrames="999999999"),
    "a negative number of frames": make_instance(
        study="2.25.91", series="2.25.92", instance="2.25.9", NumberOfFrames="-1"
    ),
    "fragments, deflated": deflated(uids() + REST + in_fragments(bytes(2000), b"ab")),
    "fragments with their offsets behind the deflated end": deflated(
        uids() + REST + element(0x00420011, "OB", bytes(5000)) + in_fragments(b"\xff\xd8", b"\xff\xd8")
    ),
    "300 megabytes of zeros, deflated": inflating(300 << 20),
    "no pixels to its rows": make_instance(study="2.25.91", series="2.25.92", instance="2.25.9", pixel=b"ab"),
}
"""Stored or refused: both are right; but what is stored can be read."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the data folder of the archive and nothing else. Other archives are not in it."""
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def service(folder: Path) -> FlaskClient:
    """One embedded archive for all: each test has a partition."""
    chosen = Settings(data_dir=folder / "data", log_level="error")
    bootstrap.initialise(chosen)
    return create_app(chosen, bootstrap.build_engine(chosen)).test_client()


@pytest.fixture
def clinic(service: FlaskClient, request: pytest.FixtureRequest) -> PartitionClient:
    return PartitionClient(service, f"/v2/partitions/t{abs(hash(request.node.name))}")


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("first", [True, False])
def test_a_neighbour_of_what_is_refused_is_stored(clinic: PartitionClient, name: str, first: bool) -> None:
    bodies = (GOOD, REFUSED[name]) if first else (REFUSED[name], GOOD)
    response = clinic.store(*bodies)
    assert response.status_code == 202
    answer = response.get_json(force=True)
    assert [value(each, "00081155") for each in items(answer, "00081199")] == ["2.25.3"]
    assert [value(each, "00081197") for each in items(answer, "00081198")] == [INVALID]
    assert parts(clinic.get("/studies/2.25.1", AS_STORED))[0].body == GOOD
    assert len(clinic.get("/instances").get_json(force=True)) == 1


@pytest.mark.parametrize("name", EITHER)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_is_stored_all_the_same_can_be_read(
    service: FlaskClient, clinic: PartitionClient, name: str, version: str
) -> None:
    caller = PartitionClient(service, clinic.prefix.replace("v2", version))
    response = caller.store(EITHER[name], GOOD)
    assert response.status_code in (200, 202), response.text
    answer = response.get_json(force=True)
    stored = {value(each, "00081155") for each in items(answer, "00081199")}
    assert "2.25.3" in stored
    if len(stored) == 1:
        assert [value(each, "00081197") for each in items(answer, "00081198")] == [INVALID]
        return
    path = "/studies/2.25.91/series/2.25.92/instances/2.25.9"
    assert parts(clinic.get(path, AS_STORED))[0].body == EITHER[name]
    assert clinic.get(f"{path}/metadata").status_code == 200
    for rest in ("", "/frames/1", "/frames/999999999", "/rendered"):
        assert clinic.get(path + rest).status_code in (200, 400, 404, 406)
    assert clinic.get("/instances?includefield=all").status_code == 200
    assert clinic.delete("/studies/2.25.91").status_code == 204


def test_ten_thousand_parts(clinic: PartitionClient) -> None:
    response = clinic.store(*[b"x"] * 5000, GOOD, *[b"y"] * 5000)
    answer = response.get_json(force=True)
    assert response.status_code == 202
    assert (len(items(answer, "00081198")), len(items(answer, "00081199"))) == (10_000, 1)


def test_one_instance_a_thousand_times(clinic: PartitionClient) -> None:
    answer = clinic.store(*[GOOD] * 1000).get_json(force=True)
    assert [value(each, "00081197") for each in items(answer, "00081198")] == [EXISTS] * 999
    assert len(items(answer, "00081199")) == 1


DAMAGED = ct(study="2.25.91", series="2.25.92", instance="2.25.9", rows=2, columns=2)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, len(DAMAGED) - 1), st.binary(min_size=1, max_size=8)), max_size=5), st.data())
def test_whatever_is_damaged_the_neighbour_is_stored(
    service: FlaskClient, damage: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    clinic = PartitionClient(service, "/v2/partitions/damaged")
    file = bytearray(DAMAGED)
    for at, other in damage:
        file[at : at + len(other)] = other
    cut = data.draw(st.integers(0, len(file)))
    response = clinic.store(bytes(file), GOOD, bytes(file[:cut]))
    assert response.status_code in (200, 202)
    assert parts(clinic.get("/studies/2.25.1", AS_STORED))[0].body == GOOD
    for path in ("/studies/2.25.1", "/studies/2.25.91"):
        assert clinic.delete(path).status_code in (204, 404)


# --- partitions ---------------------------------------------------------------------------------------------------

NAMES = [
    "..", ".", "%2e%2e", "%2e", "..%2f..", "a%2fb", "a/b", "a%5cb", "a%00", "%00", "a%20b", "%20", "a%0ab", "a%09b",
    "x" * 65, "x" * 5000, "%C3%A9", "%FF", "a;b", "a:b", "a*b", "a'b", "a%22b", "a%25b", "%25%32%65", "~", "$", "a+b",
    "%EF%BC%8E%EF%BC%8E", "a%E2%80%AEb",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_trick_makes_a_partition(service: FlaskClient, name: str) -> None:
    before = service.get("/v2/partitions").data
    for path in ("/studies", "/studies/2.25.1", "/workitems?2.25.1"):
        response = service.post(f"/v2/partitions/{name}{path}", data=GOOD, content_type="application/dicom")
        assert response.status_code in (400, 404, 405, 415)
    assert service.get(f"/v2/partitions/{name}/studies").status_code in (400, 404)
    assert service.get("/v2/partitions").data == before


@pytest.mark.parametrize("name", ["...", "-", "_", "a..b", ".hidden", "CON", "nul", "x" * 64, "-rf"])
def test_names_that_are_only_odd_are_names(service: FlaskClient, name: str) -> None:
    clinic = PartitionClient(service, f"/v2/partitions/{name}")
    clinic.stored(GOOD)
    assert parts(clinic.get("/studies/2.25.1", AS_STORED))[0].body == GOOD
    assert clinic.delete("/studies/2.25.1").status_code == 204


# --- paths, queries, headers --------------------------------------------------------------------------------------

ODD = [
    "..", "%2e%2e", "%00", "2.25.1%00", "2.25.1%0a", "x" * 10_000, "%FF", "%", "%zz", "2.25.1;x", "2.25.1,2.25.2", "*",
    "2.25.1%20", "%F0%9F%92%A9", "-1", "0", "1,2,3", "1,,2", "9" * 20, ",".join(map(str, range(1, 20_000))), "'",
]  # fmt: skip
PATHS = [
    "/studies/{}",
    "/studies/{}/metadata",
    "/studies/{}/series",
    "/studies/2.25.1/series/{}",
    "/studies/2.25.1/series/2.25.2/instances/{}",
    "/studies/2.25.1/series/2.25.2/instances/2.25.3/frames/{}",
    "/workitems/{}",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_paths(clinic: PartitionClient, path: str, odd: str) -> None:
    clinic.stored(GOOD)
    for response in (clinic.get(path.format(odd)), clinic.delete(path.format(odd))):
        assert response.status_code in (200, 204, 400, 404, 405, 406)


QUERIES = [
    "&&&&", "=", "%", "%zz=1", "a[]=1", "limit=1%00", "limit=%F0%9F%92%A9", "offset=1e9", "PatientID=" + "x" * 60_000,
    "PatientName=" + "*a" * 500, "PatientName=" + "%F0%9F%92%A9" * 10, "&".join(f"x{i}=1" for i in range(20_000)),
    "includefield=" + ",".join(["PatientID"] * 20_000), "StudyInstanceUID=" + ",".join(["2.25.1"] * 5_000),
    "StudyDate=" + "-" * 100, "PatientID=%ED%A0%80", "PatientID=%C0%80", "PatientName=%1b%24B",
    "fuzzymatching=true&PatientName=" + "a%20" * 500,
    "fuzzymatching=true&PatientName=%5E%5E%3D", "PatientID=%09", "PatientID=a%09b", "StudyDescription=" + "%CC%81" * 60,
    "PatientID=%F4%8F%BF%BF", "AccessionNumber=%EF%AC%83%EF%AC%83",
]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
@pytest.mark.parametrize("path", ["/studies", "/instances", "/studies/2.25.1/series"])
def test_odd_queries(clinic: PartitionClient, path: str, query: str) -> None:
    clinic.stored(GOOD)
    assert clinic.get(f"{path}?{query}").status_code in (200, 204, 400)


HEADERS = [
    {"Accept": "application/dicom+json, " * 5000},
    {"Accept": "a/b;" + "q=0.1;" * 10_000},
    {"Accept": '"' * 5000},
    {"Accept": "\xff\xfe"},
    {"Accept": "multipart/related; type=" + '"' * 999},
    {"Accept": "*/*;q=nan, */*;q=1e999, */*;q=-1"},
    {"If-None-Match": '"' * 5000 + ",W/" * 5000},
    {"Range": "bytes=5-1,-0,99999999999999999999-"},
    {"X-Request-Id": "x" * 100_000},
    {"X-Forwarded-Host": "\xff", "X-Forwarded-Proto": "javascript"},
    {"Origin": "null" * 1000},
    {"msdicom-request-original": "perhaps"},
]


@pytest.mark.parametrize("headers", HEADERS, ids=range(len(HEADERS)))
@pytest.mark.parametrize("path", ["/studies", "/studies/2.25.1", "/studies/2.25.1/metadata", "/workitems"])
def test_odd_headers(clinic: PartitionClient, path: str, headers: dict[str, str]) -> None:
    clinic.stored(GOOD)
    response = clinic.client.get(clinic.prefix + path, headers=headers)
    assert response.status_code in (200, 204, 206, 304, 400, 404, 406, 416)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/related; boundary=" + "b" * 60_000,
        "multipart/related; boundary=",
        'multipart/related; boundary="',
        'multipart/related; boundary=""',
        "multipart/related; boundary=b1; boundary=b2",
        "multipart/related; boundary=\xe9",
        "multipart/related; boundary=b1; start=x",
        "multipart/related" + "; x=y" * 5000 + "; boundary=b1",
        "multipart/related; boundary=b1; charset=utf-16",
        "/",
        ";;;;",
        "application/dicom" + ";" * 5000,
        "\xff",
    ],
)
def test_odd_content_types(clinic: PartitionClient, content_type: str) -> None:
    assert clinic.post(related(GOOD), content_type).status_code in (200, 202, 400, 409, 415)


@pytest.mark.parametrize(
    "body",
    [
        b"--b1",
        b"--b1--",
        b"--b1\r\n",
        b"--b1\r\n\r\n\r\n--b1--",
        b"\r\n" * 50_000 + b"--b1--\r\n",
        b"--b1\r\n" + b"x" * 50_000,
        b"--b1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n--b1--",
        b"--b1\r\n" + b"Content-Type: " + b"a" * 50_000 + b"\r\n\r\n\r\n--b1--",
        b"--b1\n" * 50_000,
        b"-" * 100_000,
        b"--b1 \t" * 20_000,
        b"--b1\r\nContent-Type: application/dicom\r\n\r\n" + b"\r\n--b" * 50_000,
    ],
    ids=range(12),
)
def test_odd_multipart_bodies(clinic: PartitionClient, body: bytes) -> None:
    assert clinic.post(body, FORM).status_code in (200, 202, 204, 400, 409, 415)


# --- anything -----------------------------------------------------------------------------------------------------

SEGMENTS = st.one_of(
    st.sampled_from(["studies", "series", "instances", "metadata", "frames", "rendered", "workitems", "changefeed"]),
    st.sampled_from(["partitions", "clinic", "v1", "v2", "2.25.1", "2.25.2", "2.25.3", "1", "state", "$bulkUpdate"]),
    st.sampled_from(
        ["export", "operations", "extendedquerytags", "latest", "health", "check", "cancelrequest", "errors"]
    ),
    st.text(max_size=8),
)
WORDS = st.one_of(
    st.sampled_from(["limit", "offset", "PatientID", "StudyDate", "includefield", "startTime"]), st.text(max_size=8)
)
BODIES = st.one_of(st.binary(max_size=50), st.sampled_from([GOOD, b"[{}]", b"{}", b"null", b"[" * 5000, related(GOOD)]))
TYPES = st.sampled_from([FORM, "application/dicom", "application/dicom+json", "application/json", "text/plain", ""])


@settings(max_examples=250)
@given(
    st.sampled_from(["GET", "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]),
    st.sampled_from(["", "/v1", "/v2", "/v2/partitions/clinic", "/v1/partitions/clinic", "/v3"]),
    st.lists(SEGMENTS, max_size=8),
    st.lists(st.tuples(WORDS, WORDS), max_size=3),
    BODIES,
    TYPES,
    st.sampled_from(["*/*", "application/dicom+json", "application/dicom", AS_STORED, "image/jpeg", "x"]),
)
def test_no_request_is_answered_with_a_500(
    service: FlaskClient,
    method: str,
    prefix: str,
    segments: list[str],
    query: list[tuple[str, str]],
    body: bytes,
    content_type: str,
    accept: str,
) -> None:
    PartitionClient(service, "/v2/partitions/clinic").store(GOOD)
    response = service.open(
        prefix + "/" + "/".join(quote(each, safe="") for each in segments),
        method=method,
        query_string=dict(query),
        data=body,
        content_type=content_type,
        headers={"Accept": accept},
    )
    assert response.status_code < 500, response.text


@pytest.fixture(autouse=True, scope="module")
def _no_files_outside(folder: Path, service: FlaskClient) -> Iterator[None]:
    """No request writes outside the files of the archive."""
    yield
    assert [each.name for each in folder.iterdir()] == ["data"]
    assert {each.name for each in (folder / "data").iterdir()} <= {
        "blobs", "bulkhead.json", "exports",
        "index.sqlite", "index.sqlite-wal", "index.sqlite-shm", "index.sqlite.lock",
    }  # fmt: skip


@pytest.mark.parametrize("space", ["%1C", "%1F", "%85", "%C2%A0"])
@pytest.mark.parametrize(
    "path",
    [
        "/v2/partitions/clinic-a/studies?limit=5{}",
        "/v2/partitions/clinic-a/studies?offset={}0",
        "/v2/partitions/clinic-a/workitems?limit=5{}",
        "/v2/changefeed?limit=5{}",
        "/v1/changefeed?offset=5{}",
        "/v2/extendedquerytags?limit=5{}",
        "/v2/partitions/clinic-a/studies/2.25.1/series/2.25.2/instances/2.25.3/frames/1{}",
        "/v2/partitions/clinic-a/wado?requestType=WADO&studyUID=2.25.1&seriesUID=2.25.2&objectUID=2.25.3&frameNumber=1{}",
    ],
)
@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_unusual_spaces_beside_a_number_are_no_500(client: FlaskClient, path: str, space: str) -> None:
    PartitionClient(client).stored(GOOD)
    assert client.get(path.format(space)).status_code < 500
