"""JSON Schemas of the answers. A test compares them with real answers of the service, so none can go stale."""

from __future__ import annotations

from typing import Any, Final

JsonSchema = dict[str, Any]

_UID: Final[JsonSchema] = {
    "type": "string",
    "pattern": r"^[0-9]+(\.[0-9]+)*$",
    "maxLength": 64,
    "description": "A DICOM UID (PS3.5 §9.1).",
}
_TIME: Final[JsonSchema] = {"type": "string", "format": "date-time"}
_TEXT: Final[JsonSchema] = {"type": "string"}
_COUNT: Final[JsonSchema] = {"type": "integer", "minimum": 0}
_NAMES: Final[JsonSchema] = {"type": "array", "items": _TEXT}


def ref(name: str) -> JsonSchema:
    """Return a reference to a schema of this module, or to one of a body."""
    return {"$ref": f"#/components/schemas/{name}"}


def array_of(name: str) -> JsonSchema:
    """Return the schema of an array of such values."""
    return {"type": "array", "items": ref(name)}


def _object(description: str, required: dict[str, JsonSchema], **optional: JsonSchema) -> JsonSchema:
    """Return the schema of an object with these members and no other."""
    return {
        "type": "object",
        "description": description,
        "properties": required | optional,
        "required": list(required),
        "additionalProperties": False,
    }


_OPTIONAL_TIME: Final[JsonSchema] = {"anyOf": [_TIME, {"type": "null"}]}

_TOKEN: Final[dict[str, JsonSchema]] = {
    "id": _TEXT,
    "name": _TEXT,
    "roles": _NAMES,
    "partitions": _NAMES,
    "expires": _OPTIONAL_TIME,
    "created": _TIME,
}

SCHEMAS: Final[dict[str, JsonSchema]] = {
    "Uid": _UID,
    "Dataset": {
        "type": "object",
        "description": "A dataset in the DICOM JSON Model (PS3.18 §F.2). A name is a tag in 8 hexadecimal digits.",
        "propertyNames": {"pattern": "^[0-9A-Fa-f]{8}$"},
        "additionalProperties": ref("Attribute"),
    },
    "Attribute": {
        "type": "object",
        "description": "An attribute: its VR, and its values or where its bytes are (PS3.18 §F.2.2).",
        "properties": {
            "vr": {"type": "string", "pattern": "^[A-Z]{2}$"},
            "Value": {"type": "array", "items": {}},
            "BulkDataURI": {"type": "string"},
            "InlineBinary": {"type": "string", "contentEncoding": "base64"},
        },
        "required": ["vr"],
        "additionalProperties": False,
    },
    "Partition": _object(
        "A partition (conformance §2.6).", {"partitionKey": _COUNT, "partitionName": _TEXT, "createdDate": _TIME}
    ),
    "Statistics": _object(
        "What a partition has. The numbers are null for a partition of the release 0.1.0 (conformance §2.9).",
        {name: {"anyOf": [_COUNT, {"type": "null"}]} for name in ("studies", "instances", "bytes")},
    ),
    "ChangeFeedEntry": _object(
        "A change of an instance (conformance §10.3).",
        {
            "sequence": _COUNT,
            "partitionName": _TEXT,
            "studyInstanceUid": ref("Uid"),
            "seriesInstanceUid": ref("Uid"),
            "sopInstanceUid": ref("Uid"),
            "action": {"type": "string", "enum": ["Create", "Update", "Delete"]},
            "timestamp": _TIME,
            "state": {"type": "string", "enum": ["Current", "Replaced", "Deleted"]},
        },
        filePath=_TEXT,
        metadata=ref("Dataset"),
    ),
    "OperationReference": _object(
        "The operation that a call started (conformance §9.4).", {"id": _TEXT, "href": {"type": "string"}}
    ),
    "Operation": _object(
        "The state of an operation (conformance §9.2).",
        {
            "operationId": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "type": {"type": "string", "enum": ["reindex", "export", "update"]},
            "createdTime": _TIME,
            "lastUpdatedTime": _TIME,
            "status": {"type": "string", "enum": ["notStarted", "running", "succeeded", "completed", "failed"]},
        },
        percentComplete={"type": "integer", "minimum": 0, "maximum": 100},
        resources=_NAMES,
        results={"type": "object"},
    ),
    "ExtendedQueryTag": _object(
        "An attribute that an administrator made searchable (conformance §8.2).",
        {
            "path": _TEXT,
            "vr": _TEXT,
            "level": {"type": "string", "enum": ["study", "series", "instance"]},
            "status": {"type": "string", "enum": ["adding", "ready", "deleting"]},
            "queryStatus": {"type": "string", "enum": ["enabled", "disabled"]},
        },
        privateCreator=_TEXT,
        errors=_object("How many instances could not be indexed.", {"count": _COUNT, "href": _TEXT}),
        operation=ref("OperationReference"),
    ),
    "ExtendedQueryTagError": _object(
        "An instance that could not be indexed by a tag (conformance §8.9).",
        {
            "partitionName": _TEXT,
            "studyInstanceUid": ref("Uid"),
            "seriesInstanceUid": ref("Uid"),
            "sopInstanceUid": ref("Uid"),
            "createdTime": _TIME,
            "errorMessage": _TEXT,
        },
    ),
    "Token": _object("A token without its secret (conformance §13.6).", _TOKEN | {"lastUsed": _OPTIONAL_TIME}),
    "CreatedToken": _object("A token with its secret. No later answer has the secret.", _TOKEN | {"token": _TEXT}),
    "Grant": _object(
        "A stored grant (conformance §13.6).",
        {
            "id": _TEXT,
            "subject": {
                "anyOf": [
                    _object("A token.", {"token": _TEXT}),
                    _object("A claim of an issuer.", {"issuer": _TEXT, "claim": _TEXT, "value": _TEXT}),
                ]
            },
            "partitions": _NAMES,
            "expires": _OPTIONAL_TIME,
            "created": _TIME,
        },
        role=_TEXT,
        actions=_NAMES,
    ),
    "Health": _object(
        "Whether the process answers, or is ready (conformance §1.10).",
        {"status": {"type": "string", "enum": ["Healthy", "Unhealthy"]}},
    ),
    "HealthReport": _object(
        "How each backend is (conformance §1.10).",
        {
            "overallStatus": {"type": "string", "enum": ["Healthy", "Degraded", "Unhealthy"]},
            "details": {
                "type": "array",
                "items": _object(
                    "One backend.",
                    {"name": _TEXT, "status": _TEXT, "description": _TEXT, "data": {"type": "object"}},
                ),
            },
        },
    ),
    "Capabilities": _object(
        "The routes below the URL (conformance §1.13, PS3.18 §8.9).", {"application": {"type": "object"}}
    ),
    "ApiDescription": {"type": "object", "description": "A document in OpenAPI 3.1 (conformance §1.16)."},
}
"""The components, by name."""
