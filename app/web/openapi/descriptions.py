"""What the OpenAPI document says about a route beyond the route table: names, JSON of answers, errors, examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from app.errors import (
    BulkheadError,
    GrantNotFound,
    OperationActive,
    QueryTagExists,
    QueryTagNotFound,
    TokenNotFound,
    WorkitemConflict,
    WorkitemNotFound,
)
from app.web.openapi.answer_schemas import JsonSchema, array_of, ref
from app.web.response.responses import DICOM_JSON, JSON, YAML
from app.web.routing.route import INSTANCE_PATH, SERIES_PATH, STUDY_PATH

STUDY, SERIES, INSTANCE, WORKITEM, TRANSACTION = (f"2.25.{number}" for number in (4201, 4202, 4203, 4204, 4205))
"""The UIDs of the examples."""

NO_SCHEMAS: Final[Mapping[str, JsonSchema]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The part of the description of a route that the route table does not have."""

    id: str
    """The operationId. Microsoft's where Microsoft's document has the path."""
    partition_id: str = ""
    """The operationId of the form below a partition. Empty: `Partition` and the `id`."""
    tag: str
    answers: Mapping[str, JsonSchema] = field(default_factory=lambda: NO_SCHEMAS)
    """The JSON of the answers of the handler, by media type."""
    errors: tuple[type[BulkheadError], ...] = ()
    """Errors beside those that the kind of the route has."""
    example: Any = None
    """A body."""
    query_example: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Values of query parameters, by name."""
    filters: bool = False
    """The query is a search: attributes with values (conformance §5.2, §7.9)."""
    original: bool = False
    """The header `msdicom-request-original` counts (conformance §4.9)."""
    perhaps_empty: tuple[int, ...] = ()
    """Statuses whose answer may have no body. OpenAPI cannot say that, so the document has no media types for them."""
    query: tuple[JsonSchema, ...] = ()
    """Query parameters that the handler reads itself."""

    def operation_id(self, *, below_partition: bool) -> str:
        """Return the operationId of one of the two forms of the route."""
        return (self.partition_id or f"Partition{self.id}") if below_partition else self.id


_DATASET: Final = {DICOM_JSON: ref("Dataset")}
_DATASETS: Final = {DICOM_JSON: array_of("Dataset")}
_TEXT: Final = {DICOM_JSON: {"type": "string"}}
_REFERENCE: Final = {JSON: ref("OperationReference")}
_WADO: Final = {"requestType": "WADO", "studyUID": STUDY, "seriesUID": SERIES, "objectUID": INSTANCE}


def _text_element(value: str) -> dict[str, Any]:
    return {"vr": "LO", "Value": [value]}


def _search(name: str, attribute: str = "PatientID", value: str = "P-1") -> Description:
    example = {attribute: value, "limit": "10"}
    return Description(id=name, tag="Query", answers=_DATASETS, filters=True, query_example=example)


def _retrieve(name: str, *, original: bool = False, **properties: Any) -> Description:
    return Description(id=f"Retrieve{name}", tag="Retrieve", original=original, **properties)


def _metadata(level: str) -> Description:
    return _retrieve(f"{level}Metadata", original=True, answers=_DATASETS)


_EMPTY: Final = (
    *("00081195 UI", "00741210 SQ", "00404025 SQ", "00404026 SQ", "00404027 SQ", "00400400 LT", "00404021 SQ"),
    *("00100021 LO", "00100024 SQ", "00101002 SQ", "00380010 LO", "00380014 SQ", "00081080 LO", "00081084 SQ"),
    "0040A370 SQ",
)
"""Tag and VR of the attributes that a new workitem must have, perhaps without a value (PS3.4 §CC.2.5.1.3)."""

_NEW_WORKITEM: Final = [
    {
        **{tag: {"vr": vr} for tag, vr in map(str.split, _EMPTY)},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
        "00100020": _text_element("P-1"),
        "00100030": {"vr": "DA", "Value": ["19700102"]},
        "00100040": {"vr": "CS", "Value": ["F"]},
        "00404041": {"vr": "CS", "Value": ["READY"]},
        "00741000": {"vr": "CS", "Value": ["SCHEDULED"]},
        "00741200": {"vr": "CS", "Value": ["MEDIUM"]},
        "00741204": _text_element("Chest CT"),
        "00741202": _text_element("CT"),
        "00404005": {"vr": "DT", "Value": ["20270101120000"]},
        "00404018": {
            "vr": "SQ",
            "Value": [
                {
                    "00080100": {"vr": "SH", "Value": ["1"]},
                    "00080102": {"vr": "SH", "Value": ["99EXAMPLE"]},
                    "00080104": _text_element("Read"),
                }
            ],
        },
    }
]
_CLAIM: Final = [{"00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}, "00081195": {"vr": "UI", "Value": [TRANSACTION]}}]
_UPDATE: Final = {
    "studyInstanceUids": [STUDY],
    "changeDataset": {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}},
}
_EXPORT: Final = {
    "source": {"type": "identifiers", "settings": {"values": [STUDY]}},
    "destination": {"type": "s3", "settings": {"bucketName": "research", "prefix": "chest"}},
}
_GRANT: Final = {
    "subject": {"issuer": "https://login.example", "claim": "groups", "value": "radiology"},
    "role": "reader",
    "partitions": ["clinic-a"],
}


def _workitem(name: str, partition_prefix: str, *errors: type[BulkheadError], **properties: Any) -> Description:
    return Description(
        id=f"{name}WorkitemInstance",
        partition_id=f"{partition_prefix}{name}WorkitemInstance",
        tag="Workitem",
        errors=errors,
        **properties,
    )


def _tags(name: str, *errors: type[BulkheadError], **properties: Any) -> Description:
    return Description(id=name, tag="ExtendedQueryTag", errors=errors, **properties)


def _access(name: str, *errors: type[BulkheadError], **properties: Any) -> Description:
    return Description(id=name, tag="Access", errors=errors, **properties)


def _service(name: str, answer: str = "") -> Description:
    return Description(id=name, tag="Service", answers={JSON: ref(answer)} if answer else NO_SCHEMAS)


_TAG: Final = {JSON: ref("ExtendedQueryTag")}
_UID_OR_EMPTY: Final = {"anyOf": [ref("Uid"), {"type": "string", "const": ""}]}
_TRANSACTION_UID: Final[JsonSchema] = {
    "name": "transaction-uid",
    "in": "query",
    "description": "The Transaction UID of the performer. A workitem in the state IN PROGRESS needs it.",
    "schema": _UID_OR_EMPTY,
}
_WORKITEM_UID: Final[JsonSchema] = {
    "name": "workitem",
    "in": "query",
    "description": "The UID of the new workitem. Without it the dataset has the UID.",
    "schema": _UID_OR_EMPTY,
}

DESCRIPTIONS: Final[Mapping[str, Description]] = {
    "POST /studies": Description(id="StoreInstance", tag="Store", answers=_DATASET),
    f"POST {STUDY_PATH}": Description(id="StoreInstancesInStudy", tag="Store", answers=_DATASET),
    "POST /studies/$bulkUpdate": Description(
        id="UpdateInstance",
        partition_id="PartitionedUpdateInstance",
        tag="Store",
        answers=_REFERENCE | _DATASET,
        errors=(OperationActive,),
        example=_UPDATE,
    ),
    "GET /studies": _search("SearchStudies"),
    "GET /series": _search("SearchSeries"),
    "GET /instances": _search("SearchInstances"),
    f"GET {STUDY_PATH}/series": _search("SearchSeriesInStudy", "Modality", "CT"),
    f"GET {STUDY_PATH}/instances": _search("SearchInstancesInStudy", "Modality", "CT"),
    f"GET {SERIES_PATH}/instances": _search("SearchInstancesInSeries", "SOPInstanceUID", INSTANCE),
    f"GET {STUDY_PATH}": _retrieve("Study", original=True),
    f"GET {SERIES_PATH}": _retrieve("Series", original=True),
    f"GET {INSTANCE_PATH}": _retrieve("Instance", original=True),
    f"GET {STUDY_PATH}/metadata": _metadata("Study"),
    f"GET {SERIES_PATH}/metadata": _metadata("Series"),
    f"GET {INSTANCE_PATH}/metadata": _metadata("Instance"),
    f"GET {INSTANCE_PATH}/frames": _retrieve("FrameWithoutList"),
    f"GET {INSTANCE_PATH}/frames/<frames>": _retrieve("Frame"),
    f"GET {STUDY_PATH}/rendered": _retrieve("StudyRendered"),
    f"GET {SERIES_PATH}/rendered": _retrieve("SeriesRendered"),
    f"GET {INSTANCE_PATH}/rendered": _retrieve("InstanceRendered"),
    f"GET {INSTANCE_PATH}/frames/<frames>/rendered": _retrieve("FrameRendered"),
    f"GET {STUDY_PATH}/thumbnail": _retrieve("StudyThumbnail"),
    f"GET {SERIES_PATH}/thumbnail": _retrieve("SeriesThumbnail"),
    f"GET {INSTANCE_PATH}/thumbnail": _retrieve("InstanceThumbnail"),
    f"GET {INSTANCE_PATH}/frames/<frames>/thumbnail": _retrieve("FrameThumbnail"),
    f"GET {STUDY_PATH}/bulkdata": _retrieve("StudyBulkData", original=True),
    f"GET {SERIES_PATH}/bulkdata": _retrieve("SeriesBulkData", original=True),
    f"GET {INSTANCE_PATH}/bulkdata": _retrieve("InstanceBulkData", original=True),
    f"GET {INSTANCE_PATH}/bulkdata/<path:element>": _retrieve("BulkData", original=True),
    f"GET {STUDY_PATH}/pixeldata": _retrieve("StudyPixelData", original=True),
    f"GET {SERIES_PATH}/pixeldata": _retrieve("SeriesPixelData", original=True),
    f"GET {INSTANCE_PATH}/pixeldata": _retrieve("InstancePixelData", original=True),
    "GET ": _retrieve("InstanceByUriAtRoot", query_example=_WADO),
    "GET /wado": _retrieve("InstanceByUri", query_example=_WADO),
    f"DELETE {STUDY_PATH}": Description(id="DeleteStudy", tag="Delete"),
    f"DELETE {SERIES_PATH}": Description(id="DeleteSeries", tag="Delete"),
    f"DELETE {INSTANCE_PATH}": Description(id="DeleteInstance", tag="Delete"),
    "POST /export": Description(id="Export", tag="Export", answers=_REFERENCE, example=_EXPORT),
    "POST /workitems": _workitem(
        "Add",
        "Partitioned",
        WorkitemConflict,
        example=_NEW_WORKITEM,
        query=(_WORKITEM_UID,),
        query_example={"workitem": WORKITEM},
    ),
    "GET /workitems": _workitem("Search", "Partition", answers=_DATASETS, filters=True, query_example={"limit": "10"}),
    "GET /workitems/<workitem>": _workitem("Retrieve", "Partitioned", WorkitemNotFound, answers=_DATASET),
    "POST /workitems/<workitem>": _workitem(
        "Update",
        "Partitioned",
        WorkitemNotFound,
        WorkitemConflict,
        query=(_TRANSACTION_UID,),
        example=[{"00741204": _text_element("Chest CT, thin slices")}],
        query_example={"transaction-uid": TRANSACTION},
    ),
    "PUT /workitems/<workitem>/state": _workitem(
        "ChangeState",
        "Partition",
        WorkitemNotFound,
        WorkitemConflict,
        answers=_TEXT,
        example=_CLAIM,
        perhaps_empty=(200,),
    ),
    "POST /workitems/<workitem>/cancelrequest": _workitem(
        "Cancel",
        "Partitioned",
        WorkitemNotFound,
        WorkitemConflict,
        answers=_TEXT,
        example=[{"00741238": {"vr": "LT", "Value": ["The patient did not come."]}}],
    ),
    "GET /partitions": Description(id="GetPartitions", tag="Partition", answers={JSON: array_of("Partition")}),
    "GET /statistics": Description(id="GetStatistics", tag="Partition", answers={JSON: ref("Statistics")}),
    "GET /changefeed": Description(
        id="GetChangeFeed", tag="ChangeFeed", answers={JSON: array_of("ChangeFeedEntry")}, query_example={"Limit": "10"}
    ),
    "GET /changefeed/latest": Description(
        id="GetChangeFeedLatest", tag="ChangeFeed", answers={JSON: ref("ChangeFeedEntry")}
    ),
    "GET /operations/<operation>": Description(
        id="OperationStatus", tag="Operations", answers={JSON: ref("Operation")}
    ),
    "POST /extendedquerytags": _tags(
        "AddExtendedQueryTags",
        OperationActive,
        QueryTagExists,
        answers=_REFERENCE,
        example=[{"path": "PatientAge", "level": "Study"}],
    ),
    "GET /extendedquerytags": _tags("GetExtendedQueryTags", answers={JSON: array_of("ExtendedQueryTag")}),
    "GET /extendedquerytags/<path>": _tags("GetExtendedQueryTag", QueryTagNotFound, answers=_TAG),
    "PATCH /extendedquerytags/<path>": _tags(
        "UpdateExtendedQueryTag", QueryTagNotFound, answers=_TAG, example={"queryStatus": "Disabled"}
    ),
    "DELETE /extendedquerytags/<path>": _tags("DeleteExtendedQueryTag", QueryTagNotFound),
    "GET /extendedquerytags/<path>/errors": _tags(
        "GetExtendedQueryTagErrors", QueryTagNotFound, answers={JSON: array_of("ExtendedQueryTagError")}
    ),
    "POST /access/tokens": _access(
        "CreateToken",
        answers={JSON: ref("CreatedToken")},
        example={"name": "CT 3", "roles": ["writer"], "partitions": ["clinic-a"]},
    ),
    "GET /access/tokens": _access("GetTokens", answers={JSON: array_of("Token")}),
    "DELETE /access/tokens/<token>": _access("RevokeToken", TokenNotFound),
    "POST /access/grants": _access("CreateGrant", answers={JSON: ref("Grant")}, example=_GRANT),
    "GET /access/grants": _access("GetGrants", answers={JSON: array_of("Grant")}),
    "DELETE /access/grants/<grant>": _access("RemoveGrant", GrantNotFound),
    "OPTIONS ": _service("RetrieveCapabilities", "Capabilities"),
    "GET /api.json": _service("GetApiDescription", "ApiDescription"),
    "GET /api.yaml": Description(id="GetApiDescriptionInYaml", tag="Service", answers={YAML: ref("ApiDescription")}),
    "GET /health/live": _service("GetLiveness", "Health"),
    "GET /health/ready": _service("GetReadiness", "Health"),
    "GET /health/check": _service("GetHealth", "HealthReport"),
    "GET /metrics": _service("GetMetrics"),
}
"""By method and path of the route."""

TAGS: Final[Mapping[str, str]] = {
    "Store": "Store instances, and change attributes of stored ones (conformance §3.1, §12.1).",
    "Query": "Search for studies, series and instances (conformance §5.1).",
    "Retrieve": "Files, frames, metadata, pictures and bulk data (conformance §4.1).",
    "Delete": "Delete studies, series and instances (conformance §6.1).",
    "Workitem": "The worklist (conformance §7.1).",
    "Export": "Copy files to a bucket or a folder (conformance §11.1).",
    "Partition": "The partitions of the archive (conformance §2.6).",
    "ChangeFeed": "The changes in all partitions (conformance §10.1).",
    "ExtendedQueryTag": "Attributes that an administrator makes searchable (conformance §8.1).",
    "Operations": "Background operations (conformance §9.1).",
    "Access": "Tokens and stored grants (conformance §13.6).",
    "Service": "The service itself: health, metrics, descriptions (conformance §1.10, §1.13, §1.15, §1.16).",
}
