"""Retrieve through HTTP (conformance §4): stored and transcoded files, framing, statuses."""

from __future__ import annotations

from typing import BinaryIO

import pytest
from flask.testing import FlaskClient

from app import bootstrap
from app.errors import IDENTIFIER_RULE
from tests.conftest import Serve
from tests.support.dicomweb import AS_STORED, Part, PartitionClient, in_little_endian, parts
from tests.support.faulty_engine import FaultyBlobStore
from tests.support.instances import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_2000,
    JPEG_BASELINE,
    encapsulated,
    frame,
    make_instance,
    read,
)

STUDY, SERIES, INSTANCE = "2.25.1", "2.25.2", "2.25.3"
PATHS = {
    "study": f"/studies/{STUDY}",
    "series": f"/studies/{STUDY}/series/{SERIES}",
    "instance": f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}",
}
UIDS = {"study": STUDY, "series": SERIES, "instance": INSTANCE}
SINGLE = "application/dicom"
RELATED = 'multipart/related; type="application/dicom"'
UNACCEPTABLE = "The request headers are not acceptable"
UNSUPPORTED = "The specified transcoding is not supported."
SEVERAL = (
    "Accept transfer syntax '{}' is not supported when multiple instances are matched. Matching instances can be "
    "retrieved with their original transfer syntax by specifying 'transfer-syntax=*' in the Accept header."
)


def typed(syntax: str) -> str:
    return f"application/dicom; transfer-syntax={syntax}"


@pytest.mark.parametrize("level", PATHS)
@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        RELATED,
        AS_STORED,
        "multipart/related; type=application/dicom; transfer-syntax=*",
        f"{RELATED}; transfer-syntax={EXPLICIT_LITTLE}",
        'multipart/related; type="*/*"',
    ],
)
def test_one_file_in_a_multipart_answer(clinic: PartitionClient, level: str, accept: str | None) -> None:
    file = make_instance(**UIDS)
    clinic.stored(file)
    response = clinic.get(PATHS[level], accept)
    assert response.status_code == 200
    assert parts(response) == [Part(typed(EXPLICIT_LITTLE), file)]
    assert int(response.headers["Content-Length"]) == len(response.data)


@pytest.mark.parametrize(
    "accept", [SINGLE, f"{SINGLE}; transfer-syntax=*", f"{SINGLE}; transfer-syntax={EXPLICIT_LITTLE}"]
)
@pytest.mark.parametrize("rows", [4, 1024])
def test_one_file_as_the_whole_answer(clinic: PartitionClient, accept: str, rows: int) -> None:
    file = make_instance(**UIDS, rows=rows, columns=rows)
    clinic.stored(file)
    response = clinic.get(PATHS["instance"], accept)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == typed(EXPLICIT_LITTLE)
    assert int(response.headers["Content-Length"]) == len(file)
    assert response.data == file


def test_head_answers_as_get_without_the_body(clinic: PartitionClient) -> None:
    file = make_instance(**UIDS)
    clinic.stored(file)
    response = clinic.client.head(clinic.prefix + PATHS["instance"], headers={"Accept": SINGLE})
    assert (response.status_code, response.data) == (200, b"")
    assert int(response.headers["Content-Length"]) == len(file)


@pytest.mark.parametrize("level", ["study", "series"])
@pytest.mark.parametrize("accept", [SINGLE, "application/json", "image/jpeg", 'multipart/related; type="image/jp2"'])
def test_a_study_or_series_in_an_impossible_form_is_406(clinic: PartitionClient, level: str, accept: str) -> None:
    clinic.stored(make_instance(**UIDS))
    response = clinic.get(PATHS[level], accept)
    assert (response.status_code, response.text) == (406, UNACCEPTABLE)


@pytest.mark.parametrize(
    "accept", ["text/html", f"{SINGLE}; transfer-syntax=1.2.3", f"{SINGLE}; transfer-syntax={JPEG_BASELINE}"]
)
def test_an_instance_in_an_impossible_form_is_406(clinic: PartitionClient, accept: str) -> None:
    clinic.stored(make_instance(**UIDS))
    response = clinic.get(PATHS["instance"], accept)
    assert (response.status_code, response.text) == (406, UNACCEPTABLE)


# --- several instances --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["study", "series"])
def test_several_files_as_stored(clinic: PartitionClient, level: str) -> None:
    files = [
        make_instance(study=STUDY, series=SERIES),
        make_instance(study=STUDY, series=SERIES, transfer_syntax=IMPLICIT_LITTLE),
        encapsulated([[b"frame"]], study=STUDY, series=SERIES),
    ]
    clinic.stored(*files)
    clinic.stored(make_instance())
    response = clinic.get(PATHS[level], AS_STORED)
    assert int(response.headers["Content-Length"]) == len(response.data)
    syntaxes = [EXPLICIT_LITTLE, IMPLICIT_LITTLE, JPEG_BASELINE]
    assert sorted(parts(response)) == sorted(map(Part, map(typed, syntaxes), files))


@pytest.mark.parametrize("accept", [RELATED, None, "*/*"])
def test_several_files_are_as_stored_if_no_syntax_is_named(clinic: PartitionClient, accept: str | None) -> None:
    clinic.stored(make_instance(study=STUDY), make_instance(study=STUDY, transfer_syntax=IMPLICIT_LITTLE))
    found = parts(clinic.get(PATHS["study"], accept))
    assert sorted(part.content_type for part in found) == [typed(IMPLICIT_LITTLE), typed(EXPLICIT_LITTLE)]


def test_several_files_that_all_have_the_requested_syntax(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(study=STUDY), make_instance(study=STUDY))
    response = clinic.get(PATHS["study"], f"{RELATED}; transfer-syntax={EXPLICIT_LITTLE}")
    assert len(parts(response)) == 2


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, JPEG_2000])
def test_several_files_in_another_syntax_are_406(clinic: PartitionClient, syntax: str) -> None:
    clinic.stored(make_instance(study=STUDY), make_instance(study=STUDY, transfer_syntax=IMPLICIT_LITTLE))
    response = clinic.get(PATHS["study"], f"{RELATED}; transfer-syntax={syntax}")
    assert (response.status_code, response.text) == (406, SEVERAL.format(syntax))


def test_the_first_possible_entry_of_an_accept_is_answered(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(study=STUDY), make_instance(study=STUDY, transfer_syntax=IMPLICIT_LITTLE))
    accept = f"image/png, {RELATED}; transfer-syntax={JPEG_2000}, {AS_STORED}; q=0.5"
    assert len(parts(clinic.get(PATHS["study"], accept))) == 2


# --- transcoding --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_BIG])
@pytest.mark.parametrize("accept", [SINGLE, RELATED, f"{RELATED}; transfer-syntax={EXPLICIT_LITTLE}"])
def test_one_file_is_transcoded_to_explicit_little_endian(clinic: PartitionClient, syntax: str, accept: str) -> None:
    clinic.stored(make_instance(**UIDS, transfer_syntax=syntax))
    response = clinic.get(PATHS["instance"], accept)
    assert response.status_code == 200
    body = response.data
    if accept == SINGLE:
        assert response.headers["Content-Type"] == typed(EXPLICIT_LITTLE)
    else:
        ((content_type, body),) = parts(response)
        assert content_type == typed(EXPLICIT_LITTLE)
    found = read(body)
    assert found.file_meta.TransferSyntaxUID == EXPLICIT_LITTLE
    assert (found.SOPInstanceUID, found.PixelData) == (INSTANCE, in_little_endian(frame(0, 4, 4), syntax))


@pytest.mark.parametrize(
    "accept",
    [
        f"{SINGLE}; transfer-syntax={EXPLICIT_LITTLE}",
        f"{SINGLE}; transfer-syntax={JPEG_2000}",
        f"{RELATED}; transfer-syntax={EXPLICIT_LITTLE}",
    ],
)
def test_a_compressed_file_that_no_codec_reads_is_406(clinic: PartitionClient, accept: str) -> None:
    clinic.stored(encapsulated([[b"frame"]], **UIDS))
    response = clinic.get(PATHS["instance"], accept)
    assert (response.status_code, response.text.startswith(f"{UNSUPPORTED} The frame")) == (406, True), response.text


def test_a_file_without_pixel_data_in_a_compressed_syntax_is_transcoded(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS, pixel=False, transfer_syntax=JPEG_BASELINE))
    response = clinic.get(PATHS["instance"], SINGLE)
    assert (response.status_code, response.headers["Content-Type"]) == (200, typed(EXPLICIT_LITTLE))
    assert read(response.data).file_meta.TransferSyntaxUID == EXPLICIT_LITTLE


def test_a_compressed_file_in_its_stored_syntax(clinic: PartitionClient) -> None:
    file = encapsulated([[b"frame"]], **UIDS, transfer_syntax=JPEG_2000)
    clinic.stored(file)
    response = clinic.get(PATHS["instance"], f"{SINGLE}; transfer-syntax={JPEG_2000}")
    assert (response.data, response.headers["Content-Type"]) == (file, typed(JPEG_2000))


# --- statuses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "/metadata"])
@pytest.mark.parametrize("level", PATHS)
def test_a_missing_object_is_404(clinic: PartitionClient, level: str, suffix: str) -> None:
    clinic.stored(make_instance())
    response = clinic.get(PATHS[level] + suffix)
    assert (response.status_code, response.text) == (404, f"The specified {level} cannot be found.")


@pytest.mark.parametrize("suffix", ["", "/metadata"])
def test_a_series_of_another_study_is_404(clinic: PartitionClient, suffix: str) -> None:
    clinic.stored(make_instance(**UIDS), make_instance(study="2.25.10", series="2.25.20", instance="2.25.30"))
    series = clinic.get(f"/studies/{STUDY}/series/2.25.20{suffix}")
    assert (series.status_code, series.text) == (404, "The specified series cannot be found.")
    instance = clinic.get(f"/studies/{STUDY}/series/{SERIES}/instances/2.25.30{suffix}")
    assert (instance.status_code, instance.text) == (404, "The specified instance cannot be found.")


@pytest.mark.parametrize("suffix", ["", "/metadata"])
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/studies/a.b", "StudyInstanceUid"),
        (f"/studies/{STUDY}/series/1.2.", "SeriesInstanceUid"),
        (f"/studies/{STUDY}/series/{SERIES}/instances/{'1' * 65}", "SopInstanceUid"),
        (f"/studies/{STUDY}/series/{SERIES}/instances/1%5C2", "SopInstanceUid"),
        ("/studies/..", "StudyInstanceUid"),
    ],
)
def test_an_invalid_uid_is_400(clinic: PartitionClient, path: str, name: str, suffix: str) -> None:
    clinic.stored(make_instance())
    response = clinic.get(path + suffix)
    text = f"Dicom element '{name}' failed validation for VR 'UI': {IDENTIFIER_RULE}"
    assert (response.status_code, response.text) == (400, text)


def test_a_study_of_another_partition_is_404(client: FlaskClient) -> None:
    PartitionClient(client).stored(make_instance(**UIDS))
    other = PartitionClient(client, "/v2/partitions/clinic-b")
    other.stored(make_instance())
    for path in PATHS.values():
        assert other.get(path).status_code == 404
        assert other.get(f"{path}/metadata").status_code == 404


@pytest.mark.parametrize("value", ["true", "TRUE", "false", "nonsense", "", "true,false"])
def test_the_original_of_an_instance_without_updates_is_the_instance(clinic: PartitionClient, value: str) -> None:
    file = make_instance(**UIDS)
    clinic.stored(file)
    assert clinic.get(PATHS["instance"], SINGLE, msdicom_request_original=value).data == file


FRAMES = PATHS["instance"] + "/frames"
ASKED = [
    (PATHS["instance"], SINGLE),
    (PATHS["instance"], AS_STORED),
    (PATHS["instance"], f"{SINGLE}; transfer-syntax={EXPLICIT_LITTLE}"),
    (PATHS["study"], AS_STORED),
    (f"{FRAMES}/1", "application/octet-stream"),
    (f"{FRAMES}/1", "*/*"),
    (f"{FRAMES}/2,1", "*/*"),
]


@pytest.mark.parametrize(("path", "accept"), ASKED)
def test_a_file_that_is_removed_meanwhile_is_404(
    clinic: PartitionClient, engine: bootstrap.Engine, monkeypatch: pytest.MonkeyPatch, path: str, accept: str
) -> None:
    clinic.stored(make_instance(**UIDS, transfer_syntax=IMPLICIT_LITTLE, frames=2, rows=1024, columns=512))
    assert isinstance(engine.blobs, FaultyBlobStore)
    below = engine.blobs.below  # the service keeps the methods of the faulty one
    opened = below.open

    def too_late(key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        assert clinic.delete(PATHS["study"]).status_code == 204
        engine.blobs.delete([key])
        return opened(key, start, length)

    monkeypatch.setattr(below, "open", too_late)
    response = clinic.get(path, accept)
    assert (response.status_code, response.text) == (404, "The specified instance cannot be found.")


@pytest.mark.parametrize(("path", "accept"), ASKED)
def test_a_file_that_is_lost_is_503_before_the_answer_begins(
    clinic: PartitionClient, engine: bootstrap.Engine, path: str, accept: str
) -> None:
    clinic.stored(make_instance(**UIDS, transfer_syntax=IMPLICIT_LITTLE, frames=2, rows=1024, columns=512))
    services = clinic.client.application.extensions["bulkhead"]
    (row,) = services.retrieve.instances(services.partitions.resolve("clinic-a", create=False), STUDY)
    engine.blobs.delete([row.blob])
    response = clinic.get(path, accept)
    text = f"The file of the instance {STUDY}/{SERIES}/{INSTANCE} is lost."
    assert (response.status_code, response.text) == (503, text)
    assert clinic.get(PATHS["instance"] + "/metadata").status_code == 200


def test_retrieve_works_without_partitions(serve: Serve) -> None:
    base = PartitionClient(serve(enable_data_partitions=False), "")
    file = make_instance(**UIDS)
    base.stored(file)
    assert base.get(PATHS["instance"], SINGLE).data == file
