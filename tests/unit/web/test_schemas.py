"""The schemas of request bodies: names in any letter case, null as absent, one message for the first fault."""

from __future__ import annotations

from typing import Any

import pytest

from app.dicom.validation.attributes import Level
from app.errors import InvalidRequest
from app.services.export.destinations import FileSettings, S3Settings
from app.services.export.service import ExportRequest
from app.services.tags.rules import TagRequest
from app.services.update.service import UpdateRequest
from app.web.schemas.body import load_body
from app.web.schemas.bulk_update import UPDATE
from app.web.schemas.export import EXPORT
from app.web.schemas.extended_query_tags import QUERY_STATUS, TAGS

SYNTAX = "The syntax of the request body is invalid."
NO_OBJECTS: list[Any] = [[], 3, None, "x", [{}]]
NO_ARRAYS_OF_OBJECTS: list[Any] = [{}, 3, None, "x", [3], [None], [[]]]
CHANGES = {"00100020": {"vr": "LO", "Value": ["P1"]}}


def export(kind: object, settings: object, values: object = ("1.2",)) -> dict[str, Any]:
    source = {"type": "identifiers", "settings": {"values": list(values) if isinstance(values, tuple) else values}}
    return {"source": source, "destination": {"type": kind, "settings": settings}}


@pytest.mark.parametrize(
    ("schema", "document", "value"),
    [
        (
            UPDATE,
            {"STUDYINSTANCEUIDS": ["1.2"], "changedataset": CHANGES, "more": 1},
            UpdateRequest(studies=["1.2"], changes=CHANGES),
        ),
        (TAGS, [], []),
        (
            TAGS,
            [{"PATH": "PatientAge", "level": " study ", "vr": None, "PrivateCreator": None, "x": 1}],
            [TagRequest(path="PatientAge", level=Level.STUDY, vr="", creator="")],
        ),
        (QUERY_STATUS, {"QUERYSTATUS": "Enabled"}, "enabled"),
        (
            EXPORT,
            export("S3", {"BucketName": "drop", "prefix": None, "unknown": {}}),
            ExportRequest(identifiers=["1.2"], destination_type="s3", settings=S3Settings(bucket_name="drop")),
        ),
        (
            EXPORT,
            export("File", {"PREFIX": "a"}),
            ExportRequest(identifiers=["1.2"], destination_type="file", settings=FileSettings(prefix="a")),
        ),
        (EXPORT, export("ftp", 3), ExportRequest(identifiers=["1.2"], destination_type="ftp", settings=None)),
        (EXPORT, export(None, None), ExportRequest(identifiers=["1.2"], destination_type="", settings=None)),
    ],
)
def test_a_body_becomes_a_typed_value(schema: Any, document: object, value: object) -> None:
    assert load_body(schema, document) == value


@pytest.mark.parametrize(
    ("schema", "document", "text"),
    [
        *((schema, document, SYNTAX) for schema in (UPDATE, QUERY_STATUS) for document in NO_OBJECTS),
        *((TAGS, document, SYNTAX) for document in NO_ARRAYS_OF_OBJECTS),
        (EXPORT, [], "The field '' in request body is invalid: It must be an object."),
        (EXPORT, 3, "The field '' in request body is invalid: It must be an object."),
        (UPDATE, {"studyInstanceUids": None}, "The required field 'StudyInstanceUids' is missing or empty."),
        (UPDATE, {"studyInstanceUids": ["1.2"]}, "The required field 'ChangeDataset' is missing or empty."),
        (
            TAGS,
            [{"path": 3, "level": "Study"}],
            "The field '$[0].Path' in request body is invalid: It must be a string.",
        ),
        (QUERY_STATUS, {"level": None}, 'The field is not supported: "level".'),
        (
            EXPORT,
            export("s3", {"bucketName": 7}),
            "The field 'destination.settings.bucketName' in request body is invalid: It must be a string.",
        ),
        (
            EXPORT,
            export("s3", {"bucketName": "drop", "awsSecretAccessKey": "x"}),
            "Access keys are not accepted in a request. Name a role in 'roleArn', or let the service's own credentials "
            "write to the bucket.",
        ),
        (EXPORT, export("s3", {}, ()), "Missing value for property 'Values'."),
        (
            EXPORT,
            export("s3", {}, {"a": 1}),
            "The field 'source.settings.values' in request body is invalid: It must be an array of strings.",
        ),
        (
            EXPORT,
            export("file", []),
            "The field 'destination.settings' in request body is invalid: It must be an object.",
        ),
    ],
)
def test_the_first_fault_is_named(schema: Any, document: object, text: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        load_body(schema, document)
    assert str(refusal.value) == text
