"""No text of a file reaches a header. A store checks the transfer syntax, and so does an answer (conformance §3.5)."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from msgspec.structs import replace

from app import bootstrap
from app.storage.table.ports import Put
from tests.support.dicomweb import AS_STORED, PartitionClient, comments, items, value
from tests.support.instances import JPEG_BASELINE, encapsulated, make_instance
from tests.support.raw_elements import element

STUDY, SERIES, INSTANCE = "2.25.1", "2.25.2", "2.25.3"
PATH = f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
HOSTILE = [
    "1.2\r\nX-Injected: yes",
    "1.2\r\n\r\nGIF89a",
    "1.2\x01",
    "xyz",  # no hex digits: ids and boundaries are random hex digits
    '1.2"; x="',
    "1.2, a/b",
    "1.2\x00.3",
    "\xe9",
    "1.",
]
ANYTHING = [
    "*/*",
    "application/dicom; transfer-syntax=*",
    AS_STORED,
    'multipart/related; type="application/octet-stream"',
]


def hostile_file(syntax: str) -> bytes:
    dataset = (
        element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2\0")
        + element(0x00080018, "UI", INSTANCE.encode())
        + element(0x00100020, "LO", b"P1")
        + element(0x0020000D, "UI", STUDY.encode())
        + element(0x0020000E, "UI", SERIES.encode())
    )
    meta = element(0x00020010, "UI", syntax.encode("latin-1") + b"\0" * (len(syntax) % 2))
    return bytes(128) + b"DICM" + meta + dataset


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("syntax", HOSTILE)
def test_a_transfer_syntax_that_is_no_uid_is_refused(client: FlaskClient, version: str, syntax: str) -> None:
    clinic = PartitionClient(client, f"/{version}/partitions/clinic-a")
    response = clinic.store(hostile_file(syntax), make_instance(instance="2.25.9"))
    assert response.status_code == 202
    answer = response.get_json(force=True)
    (failed,), (stored,) = items(answer, "00081198"), items(answer, "00081199")
    assert (value(failed, "00081197"), value(failed, "00081155")) == (43264, INSTANCE)
    (comment,) = comments(failed)
    assert comment.startswith("DICOM100: (0002,0010) - Dicom element 'TransferSyntaxUID' failed validation for VR 'UI'")
    assert value(stored, "00081155") == "2.25.9"


def test_padding_of_the_transfer_syntax_is_accepted(clinic: PartitionClient) -> None:
    for number, syntax in enumerate(["1.2.840.10008.1.2.1 ", " 1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1\0\0\0"]):
        file = hostile_file(syntax).replace(INSTANCE.encode(), f"2.25.{number}".encode())
        assert clinic.store(file).status_code == 200


@pytest.mark.parametrize("encapsulates", [False, True])
@pytest.mark.parametrize("syntax", HOSTILE)
def test_a_row_of_an_earlier_release_injects_nothing(
    client: FlaskClient, engine: bootstrap.Engine, syntax: str, encapsulates: bool
) -> None:
    """The file can still be read. Its Content-Type has no transfer syntax."""
    clinic = PartitionClient(client)
    uids = {"study": STUDY, "series": SERIES, "instance": INSTANCE}
    file = (
        encapsulated([[b"\xff\xd8ab"]], transfer_syntax=JPEG_BASELINE, **uids)
        if encapsulates
        else make_instance(**uids)
    )
    clinic.stored(file)
    services = client.application.extensions["bulkhead"]
    (row,) = services.retrieve.instances(services.partitions.resolve("clinic-a", create=False), STUDY, SERIES, INSTANCE)
    engine.table.write(Put(replace(row, transfer_syntax=syntax).item))
    for path in (PATH, f"/studies/{STUDY}", f"{PATH}/frames/1", f"{PATH}/metadata", f"{PATH}/rendered"):
        for accept in ANYTHING:
            response = clinic.get(path, accept)
            assert response.status_code in (200, 406), (path, accept, response.text)
            assert "X-Injected" not in response.headers
            assert syntax not in str(response.headers)
            if response.headers.get("Content-Type", "").startswith("multipart/"):
                (head, _, _body) = response.data.removeprefix(b"\r\n").partition(b"\r\n\r\n")
                _, content_type, *more = head.splitlines()
                assert content_type in (b"Content-Type: application/dicom", b"Content-Type: application/octet-stream")
                assert all(re.fullmatch(rb"Content-Length: \d+", each) for each in more)
    assert clinic.get(PATH, "application/dicom; transfer-syntax=*").data == file
