"""`GET /changefeed` and `GET /changefeed/latest`: what happened, in all partitions (conformance §10.1)."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response, request

from app.services.change_feed import FeedEntryView
from app.web.context import Scope
from app.web.mount import resource as new
from app.web.responses import JSON, empty, json, json_array
from app.web.schemas import parameters as schemas

resource = new("changefeed")


@resource.get("/changefeed")
def entries(scope: Scope) -> Response:
    """200 with a window of entries: of sequence numbers in v1, of time in v2."""
    feed, query = scope.services.change_feed, request.environ.get("QUERY_STRING", "")
    if scope.policy.feed_by_time:
        found = feed.by_time(**schemas.load(schemas.BY_TIME, query))
    else:
        found = feed.by_sequence(**schemas.load(schemas.BY_SEQUENCE, query))
    return json_array((orjson.dumps(_json(entry)) for entry in found), JSON)


@resource.get("/changefeed/latest")
def latest(scope: Scope) -> Response:
    """200 with the newest entry; 204 while there is none."""
    parameters = schemas.load(schemas.LATEST, request.environ.get("QUERY_STRING", ""))
    entry = scope.services.change_feed.latest(by_time=scope.policy.feed_by_time, **parameters)
    return json(_json(entry)) if entry else empty(204)


def _json(entry: FeedEntryView) -> dict[str, Any]:
    written: dict[str, Any] = {
        "sequence": entry.sequence,
        "partitionName": entry.partition_name,
        "studyInstanceUid": entry.study,
        "seriesInstanceUid": entry.series,
        "sopInstanceUid": entry.instance,
        "action": entry.action,
        "timestamp": entry.timestamp,
        "state": entry.state,
    }
    if entry.metadata is not None:
        written["metadata"] = orjson.Fragment(entry.metadata)
    return written
