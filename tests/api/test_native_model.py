"""Metadata and search results in XML (conformance §4.16, PS3.18 §8.7.3.2, PS3.19 §A.1)."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import pydicom.data
import pytest
from flask.testing import FlaskClient
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from werkzeug.test import TestResponse

from app import bootstrap
from app.storage.table import keys
from app.storage.table.ports import Delete
from tests.support.dicomweb import PartitionClient, value
from tests.support.instances import make_instance, uid
from tests.support.native_model import dataset_of, in_texts

STUDY, SERIES, INSTANCE = "2.25.71", "2.25.72", "2.25.73"
UIDS: dict[str, Any] = {"study": STUDY, "series": SERIES, "instance": INSTANCE}
PATH = f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}"
XML = "application/dicom+xml"
RELATED = f'multipart/related; type="{XML}"'
BUNDLED = Path(pydicom.data.__file__).parent / "test_files"

on_one_engine = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
"""For what does not depend on the engine."""


def xml_parts(response: TestResponse, body: bytes | None = None) -> list[bytes]:
    """Return the documents of a multipart answer."""
    assert response.status_code == 200
    match = re.fullmatch(r'multipart/related; type="application/dicom\+xml"; boundary=(\w+)', response.content_type)
    assert match, response.content_type
    opening, *found, closing = (response.data if body is None else body).split(f"\r\n--{match[1]}".encode())
    assert (opening, closing) == (b"", b"--\r\n")
    parts = [each.partition(b"\r\n\r\n") for each in found]
    assert {head for head, _, _ in parts} <= {b"\r\nContent-Type: application/dicom+xml"}
    return [document for _, _, document in parts]


@pytest.mark.parametrize("path", ["/studies", f"/studies/{STUDY}/series", f"/studies/{STUDY}/instances", "/instances"])
def test_search_results_in_xml_are_those_in_json(clinic: PartitionClient, path: str) -> None:
    clinic.stored(*(make_instance(study=STUDY, series=uid(), PatientName="Doe^Jane=\u5c71^\u7530") for _ in range(3)))
    found = clinic.get(path).json
    assert found
    assert [dataset_of(each) for each in xml_parts(clinic.get(path, RELATED))] == [in_texts(each) for each in found]


@pytest.mark.parametrize("path", [f"/studies/{STUDY}", f"/studies/{STUDY}/series/{SERIES}", PATH])
def test_metadata_in_xml_is_that_in_json(clinic: PartitionClient, path: str) -> None:
    clinic.stored(*(make_instance(study=STUDY, series=SERIES, instance=each) for each in (INSTANCE, "2.25.74")))
    found = clinic.get(f"{path}/metadata").json
    parts = xml_parts(clinic.get(f"{path}/metadata", RELATED))
    assert [dataset_of(each) for each in parts] == [in_texts(each) for each in found]
    assert all("BulkDataURI" in each["7FE00010"] for each in found)


@on_one_engine
def test_version_1_names_no_bulk_data_in_xml_either(clinic: PartitionClient, strict: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS))
    assert b"<BulkData uri=" in clinic.get(f"{PATH}/metadata", XML).data
    assert b"BulkData" not in strict.get(f"{PATH}/metadata", XML).data


@on_one_engine
def test_one_instance_is_one_document(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS))
    response = clinic.get(f"{PATH}/metadata", XML)
    assert (response.status_code, response.content_type) == (200, XML)
    assert dataset_of(response.data) == in_texts(clinic.get(f"{PATH}/metadata").json[0])
    assert len(xml_parts(clinic.get(f"/studies/{STUDY}/metadata", XML))) == 1
    assert len(xml_parts(clinic.get("/studies", XML))) == 1


@on_one_engine
@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "application/dicom+json"),
        ("*/*", "application/dicom+json"),
        ("application/*", "application/dicom+json"),
        (XML, XML),
        ("APPLICATION/DICOM+XML", XML),
        (f"{RELATED};q=0.5, application/dicom+json", "application/dicom+json"),
        ("application/dicom+json;q=0.5, application/dicom+xml;q=0.6", XML),
        (f"{RELATED}, */*;q=0.1", "multipart/related"),
        ("multipart/related; type=application/dicom+xml", "multipart/related"),
        ("multipart/related", "multipart/related"),
        ("application/dicom+json, application/dicom+xml", "application/dicom+json"),
        (f"{XML};q=0, application/json", "application/dicom+json"),
    ],
)
def test_the_best_form_that_the_caller_accepts(clinic: PartitionClient, accept: str | None, media_type: str) -> None:
    clinic.stored(make_instance(**UIDS))
    response = clinic.get(f"{PATH}/metadata", accept)
    assert (response.status_code, response.mimetype) == (200, media_type)


@on_one_engine
@pytest.mark.parametrize("accept", ["text/xml", 'multipart/related; type="application/dicom"', f"{XML};q=0"])
def test_other_forms_are_406_without_a_text(clinic: PartitionClient, accept: str) -> None:
    clinic.stored(make_instance(**UIDS))
    for path in (f"{PATH}/metadata", "/studies"):
        response = clinic.get(path, accept)
        assert (response.status_code, response.data) == (406, b"")


@on_one_engine
def test_the_query_parameter_accept(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS))
    assert clinic.get(f"{PATH}/metadata?accept=application/dicom+xml").content_type == XML


@on_one_engine
def test_a_search_without_matches_is_204(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS))
    response = clinic.get("/studies?PatientID=nobody", RELATED)
    assert (response.status_code, response.data) == (204, b"")


@on_one_engine
def test_each_form_has_an_entity_tag_of_its_own(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS))
    xml, json = (clinic.get(f"{PATH}/metadata", accept).headers["ETag"] for accept in (XML, None))
    assert xml != json
    assert clinic.get(f"{PATH}/metadata", XML, If_None_Match=xml).status_code == 304
    assert clinic.get(f"{PATH}/metadata", XML, If_None_Match=json).status_code == 200


@on_one_engine
def test_xml_is_compressed(clinic: PartitionClient) -> None:
    clinic.stored(*(make_instance(study=STUDY, series=SERIES) for _ in range(3)))
    response = clinic.get(f"/studies/{STUDY}/metadata", RELATED, Accept_Encoding="gzip")
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(xml_parts(response, zlib.decompress(response.data, 31))) == 3


def test_a_large_sequence(clinic: PartitionClient) -> None:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "2.25.1"
    clinic.stored(make_instance(**UIDS, ReferencedImageSequence=Sequence([item] * 3000), ImageComments="a<b>&\r\nc"))
    expected = clinic.get(f"{PATH}/metadata").get_json()[0]
    found = dataset_of(clinic.get(f"{PATH}/metadata", XML).data)
    assert len(found["00081140"]["Value"]) == 3000
    assert found == in_texts(expected)


@on_one_engine
@pytest.mark.parametrize("accept", [XML, RELATED])
def test_lost_metadata_is_503(
    client: FlaskClient, engine: bootstrap.Engine, clinic: PartitionClient, accept: str
) -> None:
    clinic.stored(make_instance(**UIDS))
    services = client.application.extensions["bulkhead"]
    partition = services.partitions.resolve("clinic-a", create=False)
    (row,) = services.retrieve.instances(partition, STUDY, SERIES, INSTANCE)
    engine.table.write(Delete(keys.metadata(row.partition, STUDY, row.watermark)))
    response = clinic.get(f"{PATH}/metadata", accept)
    assert response.status_code == 503
    assert "The metadata document" in response.text


@on_one_engine
def test_files_of_other_programs(clinic: PartitionClient) -> None:
    names = ["rtplan.dcm", "reportsi.dcm", "CT_small.dcm", "ExplVR_BigEnd.dcm", "nested_priv_SQ.dcm", "test-SR.dcm"]
    for name in names:
        clinic.store((BUNDLED / name).read_bytes())
    studies = [value(each, "0020000D") for each in clinic.get("/studies").get_json()]
    assert len(studies) >= 4
    for study in studies:
        expected = [in_texts(each) for each in clinic.get(f"/studies/{study}/metadata").get_json()]
        assert [dataset_of(each) for each in xml_parts(clinic.get(f"/studies/{study}/metadata", RELATED))] == expected
