"""Store through HTTP (conformance §3): request forms, statuses, response dataset, validation, stored data."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydicom.dataelem import DataElement
from werkzeug.test import TestResponse

from app.errors import IDENTIFIER_RULE, ConfigurationError
from tests.conftest import Serve
from tests.support.dicomweb import AS_STORED, DICOM_JSON, PartitionClient, comments, items, parts, related, value
from tests.support.instances import CT_STORAGE, IMPLICIT_LITTLE, ct, make_instance, uid
from tests.support.raw_elements import element, item, part10

FORM = 'multipart/related; type="application/dicom"; boundary=b1'
STORED, FAILED, REASON, WARNING, COMMENTS, URL = "00081199", "00081198", "00081197", "00081196", "00741048", "00081190"


def dataset(response: Any) -> dict[str, Any]:
    assert response.headers["Content-Type"] == DICOM_JSON
    found: dict[str, Any] = response.get_json(force=True)
    return found


# --- request forms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        FORM,
        "multipart/related; boundary=b1",
        "multipart/related; type=application/dicom; boundary=b1",
        'Multipart/Related; Boundary="b1"; Type="application/dicom"',
        'multipart/related;boundary="b1";type="application/dicom";charset=utf-8',
    ],
)
def test_a_multipart_body(clinic: PartitionClient, content_type: str) -> None:
    assert clinic.post(related(make_instance()), content_type).status_code == 200


@pytest.mark.parametrize(
    "content_type", ["application/dicom", "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"]
)
def test_a_body_of_one_instance(clinic: PartitionClient, content_type: str) -> None:
    file = make_instance(study="2.25.1")
    assert clinic.post(file, content_type).status_code == 200
    assert parts(clinic.get("/studies/2.25.1", AS_STORED))[0].body == file


@pytest.mark.parametrize("content_type", ["multipart/related", "multipart/form-data; boundary=b1", "multipart/mixed"])
def test_another_multipart_or_no_boundary_is_415(clinic: PartitionClient, content_type: str) -> None:
    response = clinic.post(related(make_instance()), content_type)
    text = f"The content type '{content_type}' is either not multipart or is missing boundary."
    assert (response.status_code, response.text) == (415, text)


def test_a_start_parameter_is_400(clinic: PartitionClient) -> None:
    response = clinic.post(related(make_instance()), FORM + "; start=x")
    text = "The start parameter in multipart/related request is not supported."
    assert (response.status_code, response.text) == (400, text)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/dicom+json", "nonsense"])
def test_another_content_type_is_415(clinic: PartitionClient, content_type: str) -> None:
    response = clinic.post(make_instance(), content_type)
    text = f"The specified content type '{content_type}' is not supported."
    assert (response.status_code, response.text) == (415, text)


def test_no_content_type_is_415(clinic: PartitionClient) -> None:
    response = clinic.post(make_instance(), None)
    assert (response.status_code, response.text) == (415, "The specified content type '' is not supported.")


@pytest.mark.parametrize(
    "stated", [None, "application/dicom", "application/dicom; transfer-syntax=1.2", "APPLICATION/DICOM"]
)
def test_the_type_of_a_part(clinic: PartitionClient, stated: str | None) -> None:
    body = related(make_instance(), make_instance(), content_type=stated)
    response = clinic.post(body, FORM)
    assert response.status_code == 200
    assert len(items(dataset(response), STORED)) == 2


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v2/partitions/clinic-a/studies", {"Content-Type": "text/plain"}, 415),
        ("/v2/partitions/clinic-a/studies", {"Content-Type": FORM, "Content-Encoding": "br"}, 415),
        ("/v2/partitions/clinic-a/studies", {"Content-Type": FORM, "Accept": "text/html"}, 406),
        ("/v2/partitions/clinic-a/studies/x", {"Content-Type": FORM}, 400),
        ("/v2/partitions/clinic-a/studies?a=<", {"Content-Type": FORM}, 400),
        ("/v2/partitions/clinic-a/nowhere", {"Content-Type": FORM}, 404),
        ("/v3/partitions/clinic-a/studies", {"Content-Type": FORM}, 400),
        ("/v2/partitions", {"Content-Type": FORM}, 405),
        ("/v2/extendedquerytags", {"Content-Type": "text/plain"}, 415),
        ("/v2/partitions/clinic-a/studies", {"Content-Type": FORM}, 200),
    ],
)
def test_the_rest_of_a_body_is_read_after_the_answer(
    client: FlaskClient, path: str, headers: dict[str, str], status: int
) -> None:
    body = related(make_instance()) + bytes(2_000_000)
    stream = BytesIO(body)
    headers |= {"Content-Length": str(len(body))}
    response = client.post(path, input_stream=stream, headers=headers)
    assert response.status_code == status
    response.close()
    assert stream.tell() == len(body)


def test_a_part_without_a_type_has_the_type_of_the_request(clinic: PartitionClient) -> None:
    response = clinic.post(related(make_instance(), content_type=None), "multipart/related; boundary=b1")
    assert (response.status_code, response.text) == (415, "The specified content type '' is not supported.")


@pytest.mark.parametrize("stated", ["application/octet-stream", "application/dicom+json", "text/html; x=y"])
def test_a_part_of_another_type_is_415(clinic: PartitionClient, stated: str) -> None:
    response = clinic.post(related(make_instance(), content_type=stated), FORM)
    assert (response.status_code, response.text) == (415, f"The specified content type '{stated}' is not supported.")


def without_body(clinic: PartitionClient, content_type: str, length: str | None) -> TestResponse:
    environ = {} if length is None else {"CONTENT_LENGTH": length}
    return clinic.client.post(
        f"{clinic.prefix}/studies", content_type=content_type, environ_overrides=environ, buffered=True
    )


@pytest.mark.parametrize(("content_type", "length"), [(FORM, None), (FORM, "0"), ("application/dicom", None)], ids=str)
def test_no_body_is_400(clinic: PartitionClient, content_type: str, length: str | None) -> None:
    response = without_body(clinic, content_type, length)
    assert (response.status_code, response.text) == (400, "The request body is missing.")


CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}


@pytest.mark.parametrize("environ", [{"CONTENT_LENGTH": "0"}, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_one_instance_of_no_bytes_is_409(client: FlaskClient, version: str, environ: dict[str, Any]) -> None:
    """A chunked body without chunks says the same as a Content-Length of 0."""
    response = client.post(
        f"/{version}/partitions/clinic-a/studies", content_type="application/dicom", environ_overrides=environ
    )
    assert response.status_code == 409
    assert [value(item, REASON) for item in items(dataset(response), FAILED)] == [43264]


@pytest.mark.parametrize("body", [b"no boundary", b"--b1\r\n\r\ncut off", b"--b1\r\nno colon\r\n\r\nx\r\n--b1--"])
def test_malformed_multipart_is_400(clinic: PartitionClient, body: bytes) -> None:
    assert clinic.post(body, FORM).status_code == 400


@pytest.mark.parametrize("body", [b"--b1--\r\n", b"--b1\r\n\r\n--b1--\r\n", b"--b1\n\n--b1--"])
@pytest.mark.parametrize("content_type", [FORM, "multipart/related; boundary=b1"])
def test_no_parts_is_204(clinic: PartitionClient, body: bytes, content_type: str) -> None:
    response = clinic.post(body, content_type)
    assert (response.status_code, response.data) == (204, b"")


def test_an_empty_part_beside_another_part_is_an_instance(clinic: PartitionClient) -> None:
    response = clinic.post(b"--b1\r\n\r\n" + related(make_instance()), FORM)
    assert response.status_code == 202
    assert [value(item, REASON) for item in items(dataset(response), FAILED)] == [43264]


def test_preamble_epilogue_and_bare_line_feeds(clinic: PartitionClient) -> None:
    files = make_instance(), make_instance()
    assert clinic.post(b"preamble\r\n" + related(files[0]) + b"epilogue", FORM).status_code == 200
    assert clinic.post(related(files[1], newline="\n"), FORM).status_code == 200


@pytest.mark.parametrize(
    "path", ["/studies/x", "/studies/1.2.a", f"/studies/{'1' * 65}", "/studies/1.2-3", "/studies/1."]
)
def test_a_bad_study_in_the_path_is_400(clinic: PartitionClient, path: str) -> None:
    response = clinic.store(make_instance(), path=path)
    text = f"Dicom element 'StudyInstanceUid' failed validation for VR 'UI': {IDENTIFIER_RULE}"
    assert (response.status_code, response.text) == (400, text)


def test_chunked_transfer_encoding(clinic: PartitionClient) -> None:
    file = make_instance(study="2.25.1")
    response = clinic.client.post(
        clinic.prefix + "/studies",
        input_stream=BytesIO(related(file)),
        content_type=FORM,
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert response.status_code == 200
    assert parts(clinic.get("/studies/2.25.1", AS_STORED))[0].body == file


@pytest.mark.parametrize(
    "accept", ["application/dicom+json", "application/json", "application/*", "*/*", "text/x, */*"]
)
def test_the_answer_is_dicom_json_for_every_accept_that_allows_it(clinic: PartitionClient, accept: str) -> None:
    response = clinic.store(make_instance(), Accept=accept)
    assert (response.status_code, response.headers["Content-Type"]) == (200, DICOM_JSON)


@pytest.mark.parametrize("accept", ["application/dicom", "text/html", "application/dicom+xml"])
def test_an_accept_without_dicom_json_is_406(clinic: PartitionClient, accept: str) -> None:
    response = clinic.store(make_instance(), Accept=accept)
    assert (response.status_code, response.data) == (406, b"")


# --- limits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
def test_a_request_over_its_limit_is_413(serve: Serve, chunked: bool) -> None:
    body = related(make_instance(rows=64, columns=64))
    response = serve(max_request_bytes=1000).post(
        "/v2/partitions/clinic-a/studies",
        input_stream=BytesIO(body),
        content_type=FORM,
        headers={} if chunked else {"Content-Length": str(len(body))},
        environ_overrides={"wsgi.input_terminated": chunked},
    )
    assert (response.status_code, response.text) == (413, "The request exceeded the allowed limit of 1000 bytes.")


@pytest.mark.parametrize("multipart", [False, True])
def test_a_part_over_its_limit_is_413(serve: Serve, multipart: bool) -> None:
    small, large = make_instance(study="2.25.1"), make_instance(rows=64, columns=64)
    caller = PartitionClient(serve(max_part_bytes=len(small)))
    response = caller.store(small, large) if multipart else caller.post(large, "application/dicom")
    text = f"The request exceeded the allowed limit of {len(small)} bytes."
    assert (response.status_code, response.text) == (413, text)


@pytest.mark.parametrize(
    ("rest", "status", "whole"),
    [
        (b"--b1\r\nContent-Type: text/plain\r\n\r\nx\r\n--b1--\r\n", 415, True),
        (b"--b1\r\nContent-Type: application/dicom\r\n\r\n" + bytes(100_000) + b"\r\n--b1--\r\n", 413, True),
        (b"--b1\r\nContent-Type: application/dicom\r\n\r\ncut", 400, True),
        (b"", 400, False),
    ],
)
def test_instances_received_before_a_refusal_are_stored(serve: Serve, rest: bytes, status: int, whole: bool) -> None:
    caller = PartitionClient(serve(max_part_bytes=50_000))
    body = related(make_instance(study="2.25.1")).removesuffix(b"--b1--\r\n") + rest
    assert caller.post(body, FORM).status_code == status
    assert caller.get("/studies/2.25.1").status_code == (200 if whole else 404)


def test_an_instance_over_its_limit_is_413(serve: Serve) -> None:
    response = PartitionClient(serve(max_instance_bytes=1000)).store(make_instance(rows=64, columns=64))
    assert (response.status_code, response.text) == (413, "The request exceeded the allowed limit of 1000 bytes.")


def test_a_thousand_parts_have_a_thousand_lines_in_the_report(clinic: PartitionClient) -> None:
    response = clinic.store(make_instance(), *[b"junk"] * 999)
    assert response.status_code == 202
    assert len(items(dataset(response), FAILED)) == 999


# --- status -------------------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {}
WARNED: dict[str, Any] = {"StudyDate": "2O240101"}
BAD: dict[str, Any] = {"patient_id": None}


@pytest.mark.parametrize(
    ("version", "made", "status"),
    [
        ("v1", [GOOD, GOOD], 200),
        ("v2", [GOOD, GOOD], 200),
        ("v1", [{"transfer_syntax": IMPLICIT_LITTLE}], 200),
        ("v2", [{"transfer_syntax": IMPLICIT_LITTLE}], 202),
        ("v2", [GOOD, WARNED], 202),
        ("v1", [GOOD, WARNED], 202),
        ("v1", [GOOD, BAD], 202),
        ("v2", [GOOD, BAD], 202),
        ("v1", [BAD, BAD], 409),
        ("v2", [BAD], 409),
        ("v1", [WARNED], 409),
    ],
)
def test_the_status_of_a_store(client: FlaskClient, version: str, made: list[dict[str, Any]], status: int) -> None:
    caller = PartitionClient(client, f"/{version}/partitions/clinic-a")
    assert caller.store(*[make_instance(**_named(each)) for each in made]).status_code == status


def _named(made: dict[str, Any]) -> dict[str, Any]:
    return {"study_date" if name == "StudyDate" else name: value for name, value in made.items()}


# --- the response dataset -----------------------------------------------------------------------------------------


def test_the_report_of_v2_without_warnings(clinic: PartitionClient) -> None:
    response = clinic.store(make_instance(study="2.25.1", series="2.25.2", instance="2.25.3"), path="/studies/2.25.1")
    study = "http://localhost/v2/partitions/clinic-a/studies/2.25.1"
    assert dataset(response) == {
        "00081190": {"vr": "UR", "Value": [study]},
        "00081199": {
            "vr": "SQ",
            "Value": [
                {
                    "00081150": {"vr": "UI", "Value": [CT_STORAGE]},
                    "00081155": {"vr": "UI", "Value": ["2.25.3"]},
                    "00081190": {"vr": "UR", "Value": [f"{study}/series/2.25.2/instances/2.25.3"]},
                    "00741048": {"vr": "SQ"},
                }
            ],
        },
    }


def test_the_report_of_v1_without_warnings(strict: PartitionClient) -> None:
    response = strict.store(make_instance(study="2.25.1", series="2.25.2", instance="2.25.3"))
    assert dataset(response).keys() == {STORED}
    assert items(dataset(response), STORED)[0].keys() == {"00081150", "00081155", URL}


def test_the_report_of_v2_with_warnings(clinic: PartitionClient) -> None:
    (item,) = items(dataset(clinic.store(make_instance(study_date="2O240101"))), STORED)
    assert value(item, WARNING) == 1
    assert comments(item) == [
        'DICOM100: (0008,0020) - Content "2O240101" does not validate VR DA: '
        "one of the date values does not match the pattern YYYYMMDD"
    ]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_required_attribute_is_missing(client: FlaskClient, version: str) -> None:
    response = PartitionClient(client, f"/{version}/partitions/clinic-a").store(
        make_instance(patient_id=None, instance="2.25.3")
    )
    assert response.status_code == 409
    assert dataset(response) == {
        "00081198": {
            "vr": "SQ",
            "Value": [
                {
                    "00081150": {"vr": "UI", "Value": [CT_STORAGE]},
                    "00081155": {"vr": "UI", "Value": ["2.25.3"]},
                    "00081197": {"vr": "US", "Value": [43264]},
                    "00741048": {
                        "vr": "SQ",
                        "Value": [
                            {
                                "00000902": {
                                    "vr": "LO",
                                    "Value": ["DICOM100: (0010,0020) - The required tag '(0010,0020)' is missing."],
                                }
                            }
                        ],
                    },
                }
            ],
        }
    }


@pytest.mark.parametrize("junk", [b"", b"junk", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM\x02\x00\x10\x00UI\xff\xff"])
def test_an_unreadable_part_has_a_comment_and_no_uids(clinic: PartitionClient, junk: bytes) -> None:
    response = clinic.store(junk)
    assert response.status_code == 409
    (failed,) = items(dataset(response), "00081198")
    assert failed.keys() == {"00081197", "00741048"}
    assert value(failed, "00081197") == 43264
    assert comments(failed)[0].startswith("The DICOM instance is invalid: ")


def test_an_unreadable_sop_class_is_not_reported(clinic: PartitionClient) -> None:
    nonsense = element(0x00080016, "SQ", item(b"")) + element(0x00080018, "UI", b"2.25.3")
    (failed,) = items(dataset(clinic.store(part10(nonsense))), FAILED)
    assert failed.keys() == {"00081155", "00081197", "00741048"}


def test_an_unreadable_part_does_not_affect_the_others(clinic: PartitionClient) -> None:
    first, last = make_instance(study="2.25.1"), make_instance(study="2.25.2")
    response = clinic.store(first, b"junk", first[: len(first) // 2], last)
    assert response.status_code == 202
    assert [value(item, REASON) for item in items(dataset(response), FAILED)] == [43264, 43264]
    assert parts(clinic.get("/studies/2.25.2", AS_STORED))[0].body == last


def test_an_instance_of_another_study_than_the_path_fails(clinic: PartitionClient) -> None:
    response = clinic.store(make_instance(study="2.25.1", instance="2.25.3"), path="/studies/2.25.9")
    assert response.status_code == 409
    (item,) = items(dataset(response), FAILED)
    assert (value(item, REASON), value(item, "00081155")) == (43264, "2.25.3")
    assert comments(item) == [
        "DICOM100: (0020,000d) - The StudyInstanceUid in the payload does not match the specified StudyInstanceUid."
    ]
    assert URL not in dataset(response)


def test_the_study_of_the_path_may_be_padded(clinic: PartitionClient) -> None:
    assert clinic.store(make_instance(study="2.25.10"), path="/studies/2.25.10%20").status_code == 200


def test_a_duplicate_fails_and_changes_nothing(clinic: PartitionClient) -> None:
    original = make_instance(study="2.25.1", series="2.25.2", instance="2.25.3")
    other = make_instance(study="2.25.1", series="2.25.2", instance="2.25.3", patient_name="Changed")
    clinic.stored(original)
    response = clinic.store(other, make_instance(study="2.25.1"))
    assert response.status_code == 202
    (item,) = items(dataset(response), FAILED)
    assert (value(item, REASON), value(item, "00081155"), COMMENTS in item) == (45070, "2.25.3", False)
    stored = parts(clinic.get("/studies/2.25.1/series/2.25.2", AS_STORED))
    assert [part.body for part in stored] == [original]


def test_a_duplicate_within_one_request(clinic: PartitionClient) -> None:
    file = make_instance()
    response = clinic.store(file, file)
    assert response.status_code == 202
    assert value(items(dataset(response), FAILED)[0], REASON) in (45070, 45071)
    assert len(items(dataset(response), STORED)) == 1


def test_a_duplicate_alone_is_409(clinic: PartitionClient) -> None:
    file = make_instance()
    clinic.stored(file)
    assert clinic.store(file).status_code == 409


def test_an_instance_can_be_stored_again_after_its_delete(clinic: PartitionClient) -> None:
    file = make_instance(study="2.25.1")
    clinic.stored(file)
    assert clinic.delete("/studies/2.25.1").status_code == 204
    clinic.stored(file)
    assert parts(clinic.get("/studies/2.25.1", AS_STORED))[0].body == file


def test_implicit_files_carry_45063_before_1(clinic: PartitionClient, strict: PartitionClient) -> None:
    clean = make_instance(transfer_syntax=IMPLICIT_LITTLE)
    warned = make_instance(transfer_syntax=IMPLICIT_LITTLE, study_date="2O240101")
    found = items(dataset(clinic.store(clean, warned)), STORED)
    assert [value(item, WARNING) for item in found] == [45063, 45063]
    assert [len(comments(item)) for item in found] == [0, 1]
    (item,) = items(dataset(strict.store(make_instance(transfer_syntax=IMPLICIT_LITTLE))), STORED)
    assert value(item, WARNING) == 45063


# --- validation ---------------------------------------------------------------------------------------------------

REQUIRED = {
    "SOPClassUID": "(0008,0016)",
    "StudyInstanceUID": "(0020,000d)",
    "SeriesInstanceUID": "(0020,000e)",
    "SOPInstanceUID": "(0008,0018)",
}


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("keyword", REQUIRED)
@pytest.mark.parametrize("given", [None, "", "1.2.x", "1.2-3", "1" * 65, "1.2.3\\1.2.4"])
def test_each_uid_must_be_one_valid_uid(client: FlaskClient, version: str, keyword: str, given: str | None) -> None:
    response = PartitionClient(client, f"/{version}/partitions/clinic-a").store(make_instance(**{keyword: given}))
    assert response.status_code == 409
    (item,) = items(dataset(response), FAILED)
    assert value(item, REASON) == 43264
    (comment,) = comments(item)
    assert comment.startswith(f"DICOM100: {REQUIRED[keyword]} - ")


@pytest.mark.parametrize("given", ["1.2.03", "1..2", "0.0", "01.2"])
def test_v1_accepts_leading_zeros_and_doubled_dots(strict: PartitionClient, given: str) -> None:
    assert strict.store(make_instance(instance=given)).status_code == 200


def test_leading_zeros_are_stored_in_v2(clinic: PartitionClient) -> None:
    assert clinic.store(make_instance(study="1.2.03")).status_code in (200, 202)
    assert clinic.get("/studies/1.2.03").status_code == 200


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_sop_class_with_leading_zeros_is_reported(client: FlaskClient, version: str) -> None:
    caller = PartitionClient(client, f"/{version}/partitions/clinic-a")
    (item,) = items(caller.stored(make_instance(SOPClassUID="1.2.0840")), STORED)
    assert value(item, "00081150") == "1.2.0840"


def test_an_empty_patient_id_is_a_warning_in_v2_and_a_failure_in_v1(
    clinic: PartitionClient, strict: PartitionClient
) -> None:
    response = clinic.store(make_instance(patient_id=""))
    assert response.status_code == 202
    (item,) = items(dataset(response), STORED)
    assert value(item, WARNING) == 1
    assert comments(item)[0].startswith("DICOM100: (0010,0020) - ")
    assert strict.store(make_instance(patient_id="")).status_code == 409


SEARCHABLE = [
    ("StudyDate", "20241301", "(0008,0020)"),
    ("StudyDescription", "x" * 65, "(0008,1030)"),
    ("AccessionNumber", "x" * 17, "(0008,0050)"),
    ("PatientName", "a=b=c=d", "(0010,0010)"),
    ("PatientName", "x" * 65, "(0010,0010)"),
    ("PatientName", "a^b^c^d^e^f", "(0010,0010)"),
    ("ReferringPhysicianName", "x" * 65, "(0008,0090)"),
    ("PatientBirthDate", "1970", "(0010,0030)"),
    ("Modality", "x" * 17, "(0008,0060)"),
    ("PerformedProcedureStepStartDate", "2024-1-1", "(0040,0244)"),
    ("ManufacturerModelName", "a\x01b", "(0008,1090)"),
]
OTHERS = [
    ("PatientAge", "30Y", "(0010,1010)"),
    ("AcquisitionDateTime", "20240101250000", "(0008,002a)"),
    ("StudyTime", "2500", "(0008,0030)"),
    ("InstanceNumber", "one", "(0020,0013)"),
    ("InstitutionName", "x" * 65, "(0008,0080)"),
    ("RetrieveAETitle", "x" * 17, "(0008,0054)"),
    ("FrameOfReferenceUID", "1.2.x", "(0020,0052)"),
]


@pytest.mark.parametrize(("keyword", "bad", "tag"), SEARCHABLE)
def test_a_bad_searchable_attribute_fails_in_v1_and_is_a_warning_in_v2(
    clinic: PartitionClient, strict: PartitionClient, keyword: str, bad: str, tag: str
) -> None:
    refused = strict.store(make_instance(**_argument(keyword, bad)))
    assert refused.status_code == 409
    (item,) = items(dataset(refused), FAILED)
    assert value(item, REASON) == 43264
    assert comments(item)[0].startswith(f"DICOM100: {tag} - Dicom element '{keyword}' failed validation for VR '"), (
        comments(item)
    )
    _assert_warned(clinic.store(make_instance(**_argument(keyword, bad))), tag)


@pytest.mark.parametrize(("keyword", "bad", "tag"), OTHERS)
def test_a_bad_other_attribute_is_accepted_in_v1_and_is_a_warning_in_v2(
    clinic: PartitionClient, strict: PartitionClient, keyword: str, bad: str, tag: str
) -> None:
    assert strict.store(make_instance(**{keyword: bad})).status_code == 200
    _assert_warned(clinic.store(make_instance(**{keyword: bad})), tag)


@pytest.mark.parametrize(("keyword", "bad", "tag"), OTHERS)
def test_full_validation_refuses_a_bad_attribute_in_v1(serve: Serve, keyword: str, bad: str, tag: str) -> None:
    client = serve(enable_full_validation=True)
    refused = PartitionClient(client, "/v1/partitions/clinic-a").store(make_instance(**{keyword: bad}))
    assert refused.status_code == 409
    assert comments(items(dataset(refused), FAILED)[0])[0].startswith(f"DICOM100: {tag} - ")
    _assert_warned(PartitionClient(client).store(make_instance(**{keyword: bad})), tag)


@pytest.mark.parametrize(
    ("vr", "raw", "good"),
    [
        ("FL", bytes(2), False),
        ("SL", bytes(6), False),
        ("UL", bytes(2), False),
        ("FD", bytes(4), False),
        ("FL", bytes(4), True),
        ("SL", bytes(8), True),
        ("UL", bytes(4), True),
        ("FD", bytes(8), True),
        ("SS", bytes(2), True),
        ("US", bytes(2), True),
    ],
)
def test_a_binary_value_has_whole_words(serve: Serve, vr: str, raw: bytes, good: bool) -> None:
    element = struct.pack("<HH2sH", 0x0040, 0xA999, vr.encode(), len(raw)) + raw
    client = serve(enable_full_validation=True)
    for version, status in (("v1", 409), ("v2", 202)):
        response = PartitionClient(client, f"/{version}/partitions/clinic-a").store(
            make_instance(pixel=False) + element
        )
        assert response.status_code == (200 if good else status)


def _argument(keyword: str, given: str) -> dict[str, Any]:
    named = {
        "StudyDate": "study_date",
        "PatientName": "patient_name",
        "PatientID": "patient_id",
        "Modality": "modality",
    }
    return {named.get(keyword, keyword): given}


def _assert_warned(response: Any, tag: str) -> None:
    assert response.status_code == 202
    (item,) = items(dataset(response), STORED)
    assert value(item, WARNING) == 1
    (comment,) = comments(item)
    assert comment.startswith(f"DICOM100: {tag} - "), comment


def test_an_attribute_with_a_warning_is_removed_from_the_metadata_but_not_from_the_file(
    clinic: PartitionClient,
) -> None:
    file = make_instance(study="2.25.1", study_date="2O240101", patient_name="Doe^Jane", InstitutionName="x" * 65)
    clinic.stored(file)
    (found,) = clinic.get("/studies/2.25.1/metadata").get_json(force=True)
    assert "00080020" not in found
    assert "00080080" not in found
    assert found["00100010"]["Value"] == [{"Alphabetic": "Doe^Jane"}]
    assert parts(clinic.get("/studies/2.25.1", AS_STORED))[0].body == file


def nulled(**attributes: Any) -> bytes:
    """An instance with a NUL in place of every `@`. pydicom itself would write NULs at the end as spaces."""
    return make_instance(**attributes, pixel=False).replace(b"@", b"\0")


def test_many_bad_attributes_are_all_removed_and_a_thousand_are_reported(
    clinic: PartitionClient, strict: PartitionClient
) -> None:
    bad = b"".join(element(0x00090000 + number, "DA", b"bad!") for number in range(0x1000, 0x1000 + 1100))
    file = make_instance(study="2.25.1", pixel=False)
    at = file.index(b"\x10\0\x10\0PN")
    file = file[:at] + bad + file[at:]
    (item,) = items(clinic.stored(file), STORED)
    assert len(comments(item)) == 1000
    (found,) = clinic.get("/studies/2.25.1/metadata").get_json(force=True)
    assert not any(tag.startswith("0009") for tag in found)
    assert clinic.delete("/studies/2.25.1").status_code == 204
    assert strict.store(file).status_code == 200


def test_nulls_at_the_end_are_accepted(clinic: PartitionClient) -> None:
    file = nulled(study="2.25.1", AccessionNumber="ACC@", patient_id="P1@@")
    response = clinic.store(file)
    assert response.status_code == 200
    assert comments(items(dataset(response), STORED)[0]) == []
    for query in ("AccessionNumber=ACC", "AccessionNumber=ACC%00", "PatientID=P1", "PatientID=P1%00"):
        assert clinic.get(f"/studies?{query}").status_code == 200, query
    assert parts(clinic.get("/studies/2.25.1", AS_STORED))[0].body == file


@pytest.mark.parametrize("keyword", ["PatientID", "StudyDescription", "PatientName", "ReferringPhysicianName"])
@pytest.mark.parametrize("given", ["P@", "P1@@", "P@Q1"])
def test_v1_refuses_a_null_anywhere(strict: PartitionClient, keyword: str, given: str) -> None:
    assert strict.store(nulled(**_argument(keyword, given))).status_code == 409


@pytest.mark.parametrize(("keyword", "tag"), [("StudyDescription", "(0008,1030)"), ("AccessionNumber", "(0008,0050)")])
def test_a_null_inside_is_a_warning_in_v2(clinic: PartitionClient, keyword: str, tag: str) -> None:
    _assert_warned(clinic.store(nulled(**{keyword: "A@BC"})), tag)


def test_a_trailing_space_of_a_uid_does_not_count(clinic: PartitionClient) -> None:
    file = make_instance(study="2.25.1", series="2.25.2", instance="2.25.33")
    assert b"2.25.33\0" in file
    clinic.stored(file.replace(b"2.25.33\0", b"2.25.33 "))
    response = clinic.store(file)
    assert value(items(dataset(response), FAILED)[0], REASON) == 45070
    assert clinic.get("/studies/2.25.1/series/2.25.2/instances/2.25.33").status_code == 200


@pytest.mark.parametrize(
    ("version", "keyword", "warned"),
    [
        ("v1", "AccessionNumber", True),
        ("v1", "ManufacturerModelName", True),
        ("v2", "PatientID", True),
        ("v2", "AccessionNumber", False),
    ],
)
def test_several_values_of_an_indexed_attribute_give_a_warning_header(
    client: FlaskClient, version: str, keyword: str, warned: bool
) -> None:
    several = {"patient_id" if keyword == "PatientID" else keyword: "A1\\B2"}
    response = PartitionClient(client, f"/{version}/partitions/clinic-a").store(make_instance(**several))
    text = '299 localhost: "One or more indexed Dicom tag(s) have multiple values, only first value is indexed."'
    assert response.headers.get("Warning") == (text if warned else None)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("keyword", ["patient_name", "modality"])
def test_more_values_of_an_indexed_attribute_than_a_row_holds(client: FlaskClient, version: str, keyword: str) -> None:
    clinic = PartitionClient(client, f"/{version}/partitions/clinic-a")
    values = b"\\".join([b"CT", *(b"X" * 15 for _ in range(30_000))])
    dataset = clinic.stored(
        make_instance(study="2.25.1", transfer_syntax=IMPLICIT_LITTLE, **{keyword: values}),
        make_instance(modality="MR"),
    )
    assert len(items(dataset, "00081199")) == 2
    tag = {"patient_name": "00100010", "modality": "00080061"}[keyword]
    (row,) = clinic.get(f"/studies?{tag}=CT&includefield={tag}").get_json(force=True)
    assert value(row, "0020000D") == "2.25.1"
    if version == "v2":
        assert row[tag]["Value"] in (["CT"], [{"Alphabetic": "CT"}])


# --- what is stored -----------------------------------------------------------------------------------------------


def test_the_preamble_is_set_to_zeros_and_nothing_else_changes(clinic: PartitionClient) -> None:
    file = make_instance(study="2.25.1", preamble=b"MZ" * 64)
    clinic.stored(file)
    assert parts(clinic.get("/studies/2.25.1", AS_STORED))[0].body == bytes(128) + file[128:]


def test_the_metadata_of_version_1_lacks_bulk_data_and_private_data_of_implicit_files(strict: PartitionClient) -> None:
    private = [DataElement(0x00090010, "LO", "ACME"), DataElement(0x00091001, "LO", "kept")]
    explicit, implicit = uid(), uid()
    strict.stored(
        make_instance(study=explicit, extra=private),
        make_instance(study=implicit, extra=private, transfer_syntax=IMPLICIT_LITTLE),
    )
    (found,) = strict.get(f"/studies/{explicit}/metadata").get_json(force=True)
    assert found["00091001"] == {"vr": "LO", "Value": ["kept"]}
    assert not {"7FE00010", "00020010"} & found.keys()
    (found,) = strict.get(f"/studies/{implicit}/metadata").get_json(force=True)
    assert "00091001" not in found


def test_the_latest_value_wins_and_a_missing_one_erases_nothing(clinic: PartitionClient) -> None:
    study = {"study": "2.25.1", "series": "2.25.2"}
    clinic.stored(make_instance(**study, patient_name="First", StudyDescription="Kept"))
    clinic.stored(make_instance(**study, patient_name="Second"))
    (row,) = clinic.get("/studies").get_json(force=True)
    assert row["00100010"]["Value"] == [{"Alphabetic": "Second"}]
    assert value(row, "00081030") == "Kept"


@pytest.mark.parametrize("version", ["", "/v1", "/v2"])
def test_links_follow_the_public_url(serve: Serve, version: str) -> None:
    caller = PartitionClient(serve(public_url="https://pacs.example/dicom"), f"{version}/partitions/clinic-a")
    item = items(caller.stored(make_instance(study="2.25.1")), STORED)[0]
    assert value(item, URL).startswith(
        f"https://pacs.example/dicom{version}/partitions/clinic-a/studies/2.25.1/series/"
    )


@pytest.mark.parametrize(("proxies", "root"), [(0, "http://localhost"), (1, "https://pacs.example")])
def test_links_follow_trusted_proxies_only(serve: Serve, proxies: int, root: str) -> None:
    caller = PartitionClient(serve(trusted_proxies=proxies))
    response = caller.store(make_instance(), X_Forwarded_Proto="https", X_Forwarded_Host="pacs.example")
    assert value(items(dataset(response), STORED)[0], URL).startswith(f"{root}/v2/partitions/clinic-a/studies/")


# --- the spool folder ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_a_body_that_cannot_be_spooled_is_503(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    clinic = PartitionClient(serve(spool_dir=folder))
    folder.rmdir()
    response = clinic.store(ct(rows=1024, columns=1024))
    assert (response.status_code, response.text) == (503, "The data store operation failed.")
    clinic.stored(make_instance())


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
def test_the_service_does_not_start_without_its_spool_folder(serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"BULKHEAD_SPOOL_DIR='.*/none': There is no such folder to write to\."
    ):
        serve(spool_dir=tmp_path / "none")
