"""The paths, methods and operation ids of Microsoft's OpenAPI document for version 2.

The routes `_schema/…` are left out: they are tools of Microsoft's database and no part of its API.
"""

from __future__ import annotations

from typing import Final

_BELOW_PARTITION: Final = """\
POST /studies StoreInstance PartitionStoreInstance
POST /studies/{S} StoreInstancesInStudy PartitionStoreInstancesInStudy
POST /studies/$bulkUpdate UpdateInstance PartitionedUpdateInstance
GET /studies - -
GET /series - -
GET /instances - -
GET /studies/{S}/series - -
GET /studies/{S}/instances - -
GET /studies/{S}/series/{Se}/instances - -
GET /studies/{S} RetrieveStudy PartitionRetrieveStudy
GET /studies/{S}/series/{Se} RetrieveSeries PartitionRetrieveSeries
GET /studies/{S}/series/{Se}/instances/{I} RetrieveInstance PartitionRetrieveInstance
GET /studies/{S}/metadata - -
GET /studies/{S}/series/{Se}/metadata - -
GET /studies/{S}/series/{Se}/instances/{I}/metadata - -
GET /studies/{S}/series/{Se}/instances/{I}/rendered - -
GET /studies/{S}/series/{Se}/instances/{I}/frames/{frames} RetrieveFrame PartitionRetrieveFrame
GET /studies/{S}/series/{Se}/instances/{I}/frames/{frame}/rendered - -
DELETE /studies/{S} - -
DELETE /studies/{S}/series/{Se} - -
DELETE /studies/{S}/series/{Se}/instances/{I} - -
POST /export - -
POST /workitems AddWorkitemInstance PartitionedAddWorkitemInstance
GET /workitems SearchWorkitemInstance PartitionSearchWorkitemInstance
GET /workitems/{U} RetrieveWorkitemInstance PartitionedRetrieveWorkitemInstance
POST /workitems/{U} UpdateWorkitemInstance PartitionedUpdateWorkitemInstance
PUT /workitems/{U}/state ChangeStateWorkitemInstance PartitionChangeStateWorkitemInstance
POST /workitems/{U}/cancelrequest CancelWorkitemInstance PartitionedCancelWorkitemInstance
"""
"""Method, path, operationId of the form without a partition, operationId of the form below one. `-`: none.

The letters are those of the conformance statement.
"""

_BASE: Final = """\
GET /changefeed -
GET /changefeed/latest -
GET /extendedquerytags -
POST /extendedquerytags -
GET /extendedquerytags/{tagPath} GetExtendedQueryTag
PATCH /extendedquerytags/{tagPath} -
DELETE /extendedquerytags/{tagPath} -
GET /extendedquerytags/{tagPath}/errors GetExtendedQueryTagErrors
GET /operations/{operationId} OperationStatus
GET /partitions -
"""


_NAMES: Final = {
    "{S}": "{studyInstanceUid}",
    "{Se}": "{seriesInstanceUid}",
    "{I}": "{sopInstanceUid}",
    "{U}": "{workitemInstanceUid}",
}
"""The names of parameters in Microsoft's document."""


def microsoft_routes() -> dict[tuple[str, str], str]:
    """Return the operationId, "" for none, by method and path below the version."""
    found = {}
    for line in _BELOW_PARTITION.splitlines():
        method, path, base, partition = line.split()
        for letter, name in _NAMES.items():
            path = path.replace(letter, name)
        found[method, path] = base.strip("-")
        found[method, "/partitions/{partitionName}" + path] = partition.strip("-")
    for line in _BASE.splitlines():
        method, path, base = line.split()
        found[method, path] = base.strip("-")
    return found
