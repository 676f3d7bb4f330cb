"""Bulk data through HTTP: metadata names it, and its resources return the bytes (conformance §4.14)."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from app.dicom.json.bulk_data_texts import without_bulk_data
from app.storage.records import packed_documents
from tests.conftest import Serve
from tests.support.bulk_data import binary_elements, bytes_of, located_parts
from tests.support.dicomweb import PartitionClient, in_little_endian
from tests.support.instances import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_BASELINE,
    encapsulated,
    make_instance,
)
from tests.support.raw_elements import IMPLICIT, SEQUENCE_END, UNDEFINED, element, implicit, item, part10

STUDY, SERIES, INSTANCE = "2.25.1", "2.25.2", "2.25.3"
UIDS = {"study": STUDY, "series": SERIES, "instance": INSTANCE}
PATH = f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
ROOT = f"http://localhost/v2/partitions/clinic-a{PATH}/bulkdata"
OCTETS = "application/octet-stream"
RELATED = f'multipart/related; type="{OCTETS}"'
ANY_PARTS = 'multipart/related; type="*/*"'
SYNTAXES = [IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE]
LONG = bytes(range(256)) * 8

one_engine = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
"""The engines do not see how an answer is framed."""


def metadata_of(clinic: PartitionClient, prefix: str = "/v2/partitions/clinic-a") -> dict[str, Any]:
    (dataset,) = PartitionClient(clinic.client, prefix).get(f"{PATH}/metadata").get_json(force=True)
    return dict(dataset)


def bulk_elements(prefix: bytes = b"") -> dict[str, tuple[DataElement, bytes]]:
    """Elements of many kinds by their tag, each with the bytes that a little endian file has."""
    words, floats = prefix + LONG, struct.pack("<600f", *range(600))
    return {
        "00091004": (DataElement(0x00091004, "OB", prefix + LONG), prefix + LONG),
        "00091005": (DataElement(0x00091005, "UN", prefix + b"opaque"), prefix + b"opaque"),
        "00282000": (DataElement(0x00282000, "OB", prefix + LONG), prefix + LONG),
        "00281201": (DataElement(0x00281201, "OW", prefix + bytes(512)), prefix + bytes(512)),
        "00281202": (DataElement(0x00281202, "OW", words), words),
        "00281203": (DataElement(0x00281203, "OW", b""), b""),
        "00660016": (DataElement(0x00660016, "OF", floats), floats),
        "60003000": (DataElement(0x60003000, "OW", words), words),
    }


def with_elements(elements: dict[str, tuple[DataElement, bytes]], syntax: str, *, nested: bool) -> bytes:
    """An instance with the elements at the top level, or within two sequences."""
    added = [each for each, _ in elements.values()]
    if syntax == EXPLICIT_BIG:  # pydicom writes the bytes of a binary value unchanged
        sizes = {"OW": 2, "OF": 4}
        added = [DataElement(each.tag, each.VR, _reversed(each.value, sizes.get(each.VR, 1))) for each in added]
    if nested:
        inner = Dataset()
        for each in added:
            inner.add(each)
        outer, other = Dataset(), Dataset()
        outer.add(DataElement(0x54000100, "SQ", [inner]))
        added = [DataElement(0x00400555, "SQ", [other, outer])]
    return make_instance(**UIDS, transfer_syntax=syntax, extra=added)


def _reversed(raw: bytes, size: int) -> bytes:
    return b"".join(raw[at : at + size][::-1] for at in range(0, len(raw), size))


@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_each_binary_element_is_in_the_metadata_once_and_its_bytes_come_back(
    clinic: PartitionClient, syntax: str, nested: bool
) -> None:
    elements = bulk_elements()
    clinic.stored(with_elements(elements, syntax, nested=nested))
    found = dict(binary_elements(metadata_of(clinic)))
    pixels = found.pop("7FE00010")
    assert found.keys() == {f"00400555/1/54000100/0/{tag}" if nested else tag for tag in elements}
    for path, each in found.items():
        assert bytes_of(clinic, each) == elements[path[-8:]][1], path
        if "BulkDataURI" in each:
            assert each["BulkDataURI"] == f"{ROOT}/{path}"
    inline = {path[-8:] for path, each in found.items() if "InlineBinary" in each}
    assert inline == (set() if syntax == DEFLATED_LITTLE else {"00091005", "00281201"})
    assert clinic.client.get(pixels["BulkDataURI"], headers={"Accept": OCTETS}).data == bytes_of(clinic, pixels)


@pytest.mark.parametrize("path", ["00281201", "00091005", "00281203"])
def test_an_inline_or_empty_value_has_a_resource_too(clinic: PartitionClient, path: str) -> None:
    elements = bulk_elements()
    clinic.stored(with_elements(elements, EXPLICIT_LITTLE, nested=False))
    response = clinic.get(f"{PATH}/bulkdata/{path}", OCTETS)
    assert (response.status_code, response.data) == (200, elements[path][1])


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_native_pixel_data_is_one_value_in_little_endian(clinic: PartitionClient, syntax: str) -> None:
    pixels = bytes(range(256)) * 4
    clinic.stored(make_instance(**UIDS, rows=8, columns=16, frames=4, pixel=pixels, transfer_syntax=syntax))
    expected = in_little_endian(pixels, syntax)
    response = clinic.get(f"{PATH}/bulkdata/7FE00010", OCTETS)
    assert response.headers["Content-Type"] == f"{OCTETS}; transfer-syntax={EXPLICIT_LITTLE}"
    assert response.data == expected
    for start, stop in ((0, 1), (3, 100), (255, 1024), (1023, 1024)):
        part = clinic.get(f"{PATH}/bulkdata/7FE00010", OCTETS, Range=f"bytes={start}-{stop - 1}")
        assert (part.status_code, part.data) == (206, expected[start:stop])


FRAMES = [[b"\xff\xd8one\xff\xd9", b"more"], [b"\xff\xd8two!"], [b"\xff\xd8three!"]]


@pytest.mark.parametrize("accept", [RELATED, ANY_PARTS, "*/*", 'multipart/related; type="image/jpeg"'])
def test_compressed_pixel_data_has_a_part_for_each_frame(clinic: PartitionClient, accept: str) -> None:
    clinic.stored(encapsulated(FRAMES, **UIDS))
    response = clinic.get(f"{PATH}/bulkdata/7FE00010", accept)
    assert response.status_code == 200
    media_type = "image/jpeg" if "jpeg" in accept else OCTETS
    found = located_parts(response)
    assert [part.body for part in found] == [
        b"".join(frame + b"\0" * (len(frame) % 2) for frame in each) for each in FRAMES
    ]
    for part in found:
        assert part.headers["Content-Type"] == f"{media_type}; transfer-syntax={JPEG_BASELINE}"
        assert part.headers["Content-Location"] == f"{ROOT}/7FE00010"


@one_engine
@pytest.mark.parametrize("accept", [OCTETS, "image/jp2", 'multipart/related; type="image/jls"', "application/pdf"])
def test_what_does_not_fit_is_406(clinic: PartitionClient, accept: str) -> None:
    clinic.stored(encapsulated(FRAMES, **UIDS))
    assert clinic.get(f"{PATH}/bulkdata/7FE00010", accept).status_code == 406


@one_engine
def test_the_stream_of_a_video_is_one_part_with_ranges(clinic: PartitionClient) -> None:
    stream = b"\0\0\0\x18ftypmp42" + bytes(100)
    clinic.stored(encapsulated([[stream]], transfer_syntax="1.2.840.10008.1.2.4.102", **UIDS))
    response = clinic.get(f"{PATH}/bulkdata/7FE00010?accept=video%2Fmp4", Range="bytes=4-11")
    assert (response.status_code, response.data) == (206, b"ftypmp42")
    assert response.headers["Content-Type"] == "video/mp4; transfer-syntax=1.2.840.10008.1.2.4.102"


ICON = b"\xff\xd8icon\xff\xd9"


def test_a_compressed_icon_is_joined_from_its_fragments(clinic: PartitionClient) -> None:
    fragments = item(b"") + item(ICON[:4]) + item(ICON[4:]) + SEQUENCE_END
    icon = item(element(0x00280010, "US", b"\1\0") + element(0x7FE00010, "OB", fragments, UNDEFINED))
    uids = element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0") + element(0x00080018, "UI", b"2.25.3")
    more = (
        element(0x00100020, "LO", b"P1") + element(0x0020000D, "UI", b"2.25.1") + element(0x0020000E, "UI", b"2.25.2")
    )
    clinic.stored(part10(uids + more + element(0x00880200, "SQ", icon), JPEG_BASELINE))
    found = dict(binary_elements(metadata_of(clinic)))
    assert found["00880200/0/7FE00010"]["BulkDataURI"] == f"{ROOT}/00880200/0/7FE00010"
    assert bytes_of(clinic, found["00880200/0/7FE00010"]) == ICON


# --- ranges and framing -----------------------------------------------------------------------------------------------


@pytest.fixture
def palette(clinic: PartitionClient) -> PartitionClient:
    """An instance whose palette (0028,1202) has 2048 bytes."""
    clinic.stored(make_instance(**UIDS, extra=[DataElement(0x00281202, "OW", LONG)]))
    return clinic


RANGES = [("bytes=0-9", 0, 10), ("bytes=2000-", 2000, 2048), ("bytes=-5", 2043, 2048), ("bytes=7-7", 7, 8)]


@pytest.mark.parametrize(("wanted", "start", "stop"), RANGES)
def test_byte_ranges(palette: PartitionClient, wanted: str, start: int, stop: int) -> None:
    response = palette.get(f"{PATH}/bulkdata/00281202", OCTETS, Range=wanted)
    assert (response.status_code, response.data) == (206, LONG[start:stop])
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/2048"
    assert response.headers["Content-Length"] == str(stop - start)


@one_engine
@pytest.mark.parametrize(("wanted", "start", "stop"), RANGES)
def test_byte_ranges_within_multipart(palette: PartitionClient, wanted: str, start: int, stop: int) -> None:
    """dicomweb-client asks so."""
    response = palette.get(f"{PATH}/bulkdata/00281202", ANY_PARTS, Range=wanted)
    (part,) = located_parts(response)
    assert (response.status_code, part.body) == (206, LONG[start:stop])
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/2048"


@one_engine
@pytest.mark.parametrize("accept", [OCTETS, RELATED])
def test_a_range_beyond_the_value_is_416(palette: PartitionClient, accept: str) -> None:
    response = palette.get(f"{PATH}/bulkdata/00281202", accept, Range="bytes=2048-")
    assert (response.status_code, response.headers["Content-Range"]) == (416, "bytes */2048")


@one_engine
@pytest.mark.parametrize(
    "accept", [None, "*/*", OCTETS, f"{OCTETS}; transfer-syntax=*", f"{OCTETS}; transfer-syntax={EXPLICIT_LITTLE}"]
)
def test_a_single_part(palette: PartitionClient, accept: str | None) -> None:
    response = palette.get(f"{PATH}/bulkdata/00281202", accept)
    assert (response.status_code, response.data) == (200, LONG)
    assert response.headers["Content-Type"] == OCTETS
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["Cache-Control"] == "private, no-store"


@one_engine
@pytest.mark.parametrize("accept", [RELATED, ANY_PARTS])
def test_multipart(palette: PartitionClient, accept: str) -> None:
    (part,) = located_parts(palette.get(f"{PATH}/bulkdata/00281202", accept))
    assert part.body == LONG
    assert part.headers["Content-Type"] == OCTETS
    assert part.headers["Content-Location"] == f"{ROOT}/00281202"


@one_engine
def test_the_path_in_any_letter_case_and_as_a_head(palette: PartitionClient) -> None:
    clinic = make_instance(**UIDS | {"instance": "2.25.33"}, extra=[DataElement(0x0009100A, "OB", LONG)])
    palette.stored(clinic)
    path = f"{palette.prefix}/studies/{STUDY}/series/{SERIES}/instances/2.25.33/bulkdata/0009100a"
    response = palette.client.head(path, headers={"Accept": OCTETS})
    assert (response.status_code, response.headers["Content-Length"], response.data) == (200, "2048", b"")


@one_engine
def test_a_slash_at_the_end_does_not_count(palette: PartitionClient) -> None:
    assert palette.get(f"{PATH}/bulkdata/00281202/", OCTETS).data == LONG


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE])
@one_engine
def test_a_large_value_is_never_whole_in_memory(clinic: PartitionClient, syntax: str) -> None:
    size = 24 << 20
    pixels = bytes(range(256)) * (size >> 8)
    clinic.stored(make_instance(**UIDS, rows=2048, columns=2048, frames=3, pixel=pixels, transfer_syntax=syntax))
    path = f"{clinic.prefix}{PATH}/bulkdata/7FE00010"
    received = 0
    tracemalloc.start()
    try:
        with clinic.client.get(path, headers={"Accept": OCTETS}, buffered=False) as response:
            for chunk in response.iter_encoded():
                received += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert received == size
    assert peak < size / 3


# --- errors -----------------------------------------------------------------------------------------------------------


BAD_PATHS = [
    *("x", "0028", "0028120G", "00281202/0", "00400555/-1/00281202", "00400555/01/00281202", "%2e%2e/x"),
    *("00281202/0/00281202/1", "0040055\uff15", "00281202%3f1"),
]


@one_engine
@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_is_none_is_400(palette: PartitionClient, path: str) -> None:
    response = palette.get(f"{PATH}/bulkdata/{path}", OCTETS)
    assert response.status_code == 400
    assert "is invalid. A path is a tag of 8 hex digits" in response.text


@pytest.mark.parametrize(
    "path", ["00281203", "00100010", "00400555/0/00281202", "00281202/0/00281202", "00020010", "FFFFFFFF"]
)
def test_a_path_without_bulk_data_is_404(palette: PartitionClient, path: str) -> None:
    response = palette.get(f"{PATH}/bulkdata/{path}", OCTETS)
    assert (response.status_code, response.text) == (404, "The specified bulk data cannot be found.")


@one_engine
def test_an_unknown_instance_is_404(palette: PartitionClient) -> None:
    response = palette.get(f"{PATH}9/bulkdata/00281202", OCTETS)
    assert (response.status_code, response.text) == (404, "The specified instance cannot be found.")


# --- media types ------------------------------------------------------------------------------------------------------

PDF = b"%PDF-1.7 " + LONG


def document(media_type: Any) -> bytes:
    return make_instance(
        **UIDS, pixel=False, EncapsulatedDocument=PDF, MIMETypeOfEncapsulatedDocument=media_type, modality="DOC"
    )


@pytest.mark.parametrize("accept", ["application/pdf", "*/*", 'multipart/related; type="application/pdf"'])
def test_an_encapsulated_pdf(clinic: PartitionClient, accept: str) -> None:
    clinic.stored(document("application/PDF"))
    response = clinic.get(f"{PATH}/bulkdata/00420011", accept)
    assert response.status_code == 200
    content_type, body = response.headers["Content-Type"], response.data
    if "multipart" in accept:
        (part,) = located_parts(response)
        content_type, body = part.headers["Content-Type"], part.body
    assert (content_type, body.rstrip(b"\0")) == ("application/pdf", PDF.rstrip(b"\0"))


@one_engine
@pytest.mark.parametrize(
    "media_type",
    ["text/html", "text/xml", "image/svg+xml", b"text/html\r\nX-Injected: yes", b"application/pdf;x", None],
)
def test_no_other_text_of_a_file_becomes_a_content_type(clinic: PartitionClient, media_type: Any) -> None:
    assert clinic.store(document(media_type)).status_code in (200, 202)
    response = clinic.get(f"{PATH}/bulkdata/00420011", "*/*")
    assert (response.status_code, response.headers["Content-Type"]) == (200, OCTETS)
    assert clinic.get(f"{PATH}/bulkdata/00420011", "application/pdf").status_code == 406


@one_engine
def test_an_icc_profile(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS, ICCProfile=LONG))
    assert clinic.get(f"{PATH}/bulkdata/00282000", "*/*").headers["Content-Type"] == "application/vnd.iccprofile"
    assert clinic.get(f"{PATH}/bulkdata/00282000", OCTETS).headers["Content-Type"] == OCTETS


# --- who gets bulk data -----------------------------------------------------------------------------------------------


@one_engine
@pytest.mark.parametrize(
    ("setting", "named"), [("v2", {"/v2", ""}), ("all", {"/v1", "/v2", "", "/v1.0-prerelease"}), ("none", set())]
)
def test_the_setting_says_whose_metadata_names_bulk_data(serve: Serve, setting: str, named: set[str]) -> None:
    clinic = PartitionClient(serve(bulk_data_uri=setting))
    clinic.stored(with_elements(bulk_elements(), EXPLICIT_LITTLE, nested=True))
    for version in ("/v1", "/v2", "", "/v1.0-prerelease"):
        dataset = metadata_of(clinic, f"{version}/partitions/clinic-a")
        found = dict(binary_elements(dataset))
        assert bool(found) == (version in named)
        for path, each in found.items():
            if "BulkDataURI" in each:
                assert each["BulkDataURI"] == f"http://localhost{version}/partitions/clinic-a{PATH}/bulkdata/{path}"
        if version not in named:
            assert dataset["00400555"] == {"vr": "SQ", "Value": [{}, {"54000100": {"vr": "SQ", "Value": [{}]}}]}


@one_engine
def test_the_urls_are_below_the_public_url(serve: Serve) -> None:
    clinic = PartitionClient(serve(public_url="https://pacs.example/dicom"))
    clinic.stored(make_instance(**UIDS))
    uri = metadata_of(clinic)["7FE00010"]["BulkDataURI"]
    assert uri == f"https://pacs.example/dicom/v2/partitions/clinic-a{PATH}/bulkdata/7FE00010"


@one_engine
@pytest.mark.parametrize(("size", "inline"), [(0, 0), (5, 1), (6, 1), (4096, 3)])
def test_the_size_of_inline_values(serve: Serve, size: int, inline: int) -> None:
    clinic = PartitionClient(serve(inline_binary_bytes=size))
    extra = [DataElement(0x00091001 + number, "OB", bytes(length)) for number, length in enumerate((4, 512, 4096))]
    clinic.stored(make_instance(**UIDS, extra=extra))
    found = dict(binary_elements(metadata_of(clinic)))
    assert sum("InlineBinary" in each for each in found.values()) == inline
    assert "BulkDataURI" in found["7FE00010"], "pixel data is never inline"


@one_engine
def test_search_results_and_the_change_feed_have_no_bulk_data(clinic: PartitionClient) -> None:
    clinic.stored(with_elements(bulk_elements(), EXPLICIT_LITTLE, nested=True))
    (found,) = clinic.get("/instances?includefield=00400555&includefield=7FE00010&includefield=all").get_json(
        force=True
    )
    assert found["00400555"] == {"vr": "SQ", "Value": [{}, {"54000100": {"vr": "SQ", "Value": [{}]}}]}
    assert not list(binary_elements(found))
    (entry,) = clinic.client.get("/v2/changefeed?includemetadata=true").get_json()
    assert entry["metadata"]["00400555"] == found["00400555"]


# --- many values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_all_bulk_data_of_a_resource(clinic: PartitionClient, level: str) -> None:
    clinic.stored(
        make_instance(**UIDS, extra=[DataElement(0x00281202, "OW", LONG), DataElement(0x00281201, "OW", bytes(8))]),
        encapsulated(FRAMES, study=STUDY, series=SERIES, instance="2.25.31"),
        make_instance(study=STUDY, series=SERIES, instance="2.25.32", pixel=False),
    )
    path = {"study": f"/studies/{STUDY}", "series": f"/studies/{STUDY}/series/{SERIES}", "instance": PATH}[level]
    response = clinic.get(f"{path}/bulkdata", RELATED)
    found = [
        (part.headers["Content-Location"].rpartition("/instances/")[2], part.body) for part in located_parts(response)
    ]
    expected = [(f"{INSTANCE}/bulkdata/00281202", LONG), (f"{INSTANCE}/bulkdata/7FE00010", None)]
    expected += [] if level == "instance" else [("2.25.31/bulkdata/7FE00010", None)] * 3
    assert [where for where, _ in found] == [where for where, _ in expected]
    assert found[0][1] == LONG
    pixels = located_parts(clinic.get(f"{path}/pixeldata", RELATED))
    assert [(part.headers["Content-Location"].rpartition("/instances/")[2], part.body) for part in pixels] == found[1:]


def test_a_study_without_bulk_data_is_404(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS, pixel=False))
    for path in (f"/studies/{STUDY}", f"/studies/{STUDY}/series/{SERIES}", PATH):
        for resource in ("bulkdata", "pixeldata"):
            response = clinic.get(f"{path}/{resource}", "*/*")
            assert (response.status_code, response.text) == (404, "The specified bulk data cannot be found.")


# --- values of numbers and text ---------------------------------------------------------------------------------------

TEXT = b"text\\]}\"' " * 7_000
NUMBERS = b"\\".join(b"%d.5" % number for number in range(20_000))
POINTS = b"\\".join(b"%d" % (number % 1000) for number in range(30_000))


def large_rt_structure_set(contours: int = 12) -> bytes:
    """A sequence of over 1 MiB. Each item has binary values around a long value, which has implicit VR."""
    points = POINTS + b" " * (len(POINTS) % 2)
    contour = item(
        implicit(0x00091001, LONG)
        + implicit(0x00091002, b"ab")
        + implicit(0x30060046, b"7 ")
        + implicit(0x30060050, points)
        + implicit(0x30070010, b"after")
    )
    uids = implicit(0x00080016, b"1.2.840.10008.5.1.4.1.1.481.3\0") + implicit(0x00080018, b"2.25.3")
    more = implicit(0x00100020, b"P1") + implicit(0x0020000D, b"2.25.1") + implicit(0x0020000E, b"2.25.2")
    text = implicit(0x0040A160, TEXT)
    return part10(
        uids + more + text + implicit(0x30060039, contour * contours) + implicit(0x300E0002, b"APPROVED"), IMPLICIT
    )


@pytest.fixture
def structures(serve: Serve) -> PartitionClient:
    clinic = PartitionClient(serve(inline_value_bytes=65_536))
    clinic.stored(large_rt_structure_set())
    return clinic


def test_long_values_have_a_url_and_the_other_version_has_the_values(structures: PartitionClient) -> None:
    found, complete = metadata_of(structures), metadata_of(structures, "/v1/partitions/clinic-a")
    assert found["0040A160"] == {"vr": "UT", "BulkDataURI": f"{ROOT}/0040A160"}
    assert complete["0040A160"] == {"vr": "UT", "Value": [TEXT.decode().rstrip(" ")]}
    assert structures.get(f"{PATH}/bulkdata/0040A160", OCTETS).data == TEXT
    assert len(found["30060039"]["Value"]) == 12
    for number, contour in enumerate(found["30060039"]["Value"]):
        root = f"{ROOT}/30060039/{number}"
        assert contour == {
            "00091001": {"vr": "UN", "BulkDataURI": f"{root}/00091001"},
            "00091002": {"vr": "UN", "InlineBinary": "YWI="},
            "30060046": {"vr": "IS", "Value": [7]},
            "30060050": {"vr": "DS", "BulkDataURI": f"{root}/30060050"},
            "30070010": {"vr": "LO", "Value": ["after"]},
        }
    values = [int(number) for number in POINTS.split(b"\\")]
    assert (
        complete["30060039"]["Value"]
        == [
            {
                "30060046": {"vr": "IS", "Value": [7]},
                "30060050": {"vr": "DS", "Value": values},
                "30070010": {"vr": "LO", "Value": ["after"]},
            }
        ]
        * 12
    )
    assert structures.get(f"{PATH}/bulkdata/30060039/11/30060050", OCTETS).data.rstrip() == POINTS
    assert structures.get(f"{PATH}/bulkdata/30060039/5/00091001", OCTETS).data == LONG
    assert structures.get(f"{PATH}/bulkdata/30060039/5/00091002", OCTETS).data == b"ab"
    assert structures.get(f"{PATH}/bulkdata/30060039/12/00091001", OCTETS).status_code == 404
    all_parts = located_parts(structures.get(f"{PATH}/bulkdata", RELATED))
    assert len(all_parts) == 25


def test_long_values_in_search_results_have_their_values(structures: PartitionClient) -> None:
    (found,) = structures.get("/instances?includefield=0040A160&includefield=30060039").get_json(force=True)
    assert found["0040A160"] == {"vr": "UT", "Value": [TEXT.decode().rstrip(" ")]}
    assert found["30060039"]["Value"][3].keys() == {"30060046", "30060050", "30070010"}
    assert len(found["30060039"]["Value"][3]["30060050"]["Value"]) == 30_000


# --- instances of earlier releases ------------------------------------------------------------------------------------


@pytest.fixture
def earlier(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A service whose store writes documents without bulk data, as earlier releases did."""
    with monkeypatch.context() as patched:
        pack = packed_documents.pack
        patched.setattr(packed_documents, "pack_large", lambda small, _: pack(without_bulk_data(small)))
        client = serve()
        PartitionClient(client).stored(
            with_elements(bulk_elements(), EXPLICIT_BIG, nested=True),
            encapsulated(FRAMES, study=STUDY, instance="2.25.31"),
        )
    return client


def test_bulk_data_of_an_earlier_release_is_found_in_the_file(earlier: FlaskClient) -> None:
    clinic = PartitionClient(earlier)
    assert not list(binary_elements(metadata_of(clinic)))
    for tag, (_, expected) in bulk_elements().items():
        response = clinic.get(f"{PATH}/bulkdata/00400555/1/54000100/0/{tag}", OCTETS)
        assert (response.status_code, response.data) == (200, expected), tag
    assert clinic.get(f"{PATH}/bulkdata/00400555/0/54000100/0/00281202", OCTETS).status_code == 404
    paths = [
        part.headers["Content-Location"] for part in located_parts(clinic.get(f"/studies/{STUDY}/bulkdata", RELATED))
    ]
    assert len(paths) == len(bulk_elements()) + 1 + len(FRAMES)
    assert len(located_parts(clinic.get(f"/studies/{STUDY}/pixeldata", RELATED))) == 1 + len(FRAMES)
