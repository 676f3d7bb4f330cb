"""`GET /changefeed` and `GET /changefeed/latest`: the changes in all partitions that the caller may read (conformance
§10.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from flask import Response

from app.services.access.rights import Action
from app.services.change_feed import FeedEntryView
from app.web.response.responses import JSON, empty, json, json_array
from app.web.routing.context import Context
from app.web.routing.route import Resource, Scope
from app.web.routing.versions import V1, V1_PRERELEASE, V2
from app.web.schemas.parameters import BY_SEQUENCE, BY_TIME, LATEST

resource = Resource("change_feed")


@resource.route(
    "GET",
    "/changefeed",
    scope=Scope.BASE,
    versions=(V1, V1_PRERELEASE),
    action=Action.READ,
    audit="change-feed",
    patient_data=True,
    query=BY_SEQUENCE,
    answers={200: (JSON,)},
)
def by_sequence(context: Context, parameters: dict[str, Any]) -> Response:
    """200 with the entries in a window of sequence numbers."""
    return _entries(context.services.change_feed.by_sequence(context.caller, **parameters))


@resource.route(
    "GET",
    "/changefeed",
    scope=Scope.BASE,
    versions=(V2,),
    action=Action.READ,
    audit="change-feed",
    patient_data=True,
    query=BY_TIME,
    answers={200: (JSON,)},
)
def by_time(context: Context, parameters: dict[str, Any]) -> Response:
    """200 with the entries in a window of time."""
    return _entries(context.services.change_feed.by_time(context.caller, **parameters))


@resource.route(
    "GET",
    "/changefeed/latest",
    scope=Scope.BASE,
    action=Action.READ,
    audit="change-feed",
    patient_data=True,
    query=LATEST,
    answers={200: (JSON,), 204: ()},
)
def latest(context: Context, parameters: dict[str, Any]) -> Response:
    """200 with the newest entry; 204 if there is none."""
    entry = context.services.change_feed.latest(context.caller, by_time=context.policy.feed_by_time, **parameters)
    return json(_entry(entry)) if entry else empty(204)


def _entries(entries: Iterable[FeedEntryView]) -> Response:
    return json_array((orjson.dumps(_entry(each)) for each in entries), JSON)


def _entry(entry: FeedEntryView) -> dict[str, Any]:
    members: dict[str, Any] = {
        "sequence": entry.sequence,
        "partitionName": entry.partition_name,
        "studyInstanceUid": entry.study,
        "seriesInstanceUid": entry.series,
        "sopInstanceUid": entry.instance,
        "action": entry.action,
        "timestamp": entry.timestamp,
        "state": entry.state,
    }
    if entry.file_path is not None:
        members["filePath"] = entry.file_path
    if entry.metadata is not None:
        members["metadata"] = orjson.Fragment(entry.metadata)
    return members
