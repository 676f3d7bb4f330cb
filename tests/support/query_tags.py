"""Calls and checks for tests of extended query tags over HTTP."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient
from pydicom.dataelem import DataElement
from werkzeug.test import TestResponse

from app.bootstrap.engines import ROW_SHARDS
from app.services import Services
from app.storage.table import keys
from tests.support.background import work
from tests.support.dicomweb import PartitionClient, value

TAGS = "/v2/extendedquerytags"
AGE = {"path": "PatientAge", "level": "Study"}
PRIVATE = {"path": "12051003", "vr": "SS", "privateCreator": "ACME 1.0", "level": "Instance"}


def post_tags(client: FlaskClient, *tags: dict[str, Any], **options: Any) -> TestResponse:
    return client.post(options.pop("url", TAGS), json=list(tags), **options)


def add_and_index(client: FlaskClient, *tags: dict[str, Any]) -> str:
    """Add tags and run their re-index. Return the operation id."""
    response = post_tags(client, *tags)
    assert response.status_code == 202, response.text
    work(client)
    operation: str = response.json["id"]
    assert client.get(f"/v2/operations/{operation}").json["status"] == "succeeded"
    return operation


def get_tag(client: FlaskClient, path: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{TAGS}/{path}").get_json()
    return found


def found_uids(caller: PartitionClient, query: str) -> list[str]:
    """Return the UIDs that a search of studies, series or instances finds, newest first."""
    response = caller.get(query)
    assert response.status_code in (200, 204), response.text
    tag = {"/studies": "0020000D", "/series": "0020000E"}.get(query.partition("?")[0], "00080018")
    return [value(each, tag) for each in response.get_json(force=True)] if response.data else []


def stored_entries(client: FlaskClient, tag: str) -> int:
    """Return the number of index entries and errors under a tag in the first two partitions.

    All numbers that the tag was added with are counted.
    """
    services: Services = client.application.extensions["bulkhead"]
    table = services.query_tags._tags._table
    places = [f"{p}/value/{level}/{tag}#{n}" for p in (1, 2) for level in ("study", "instance") for n in range(1, 20)]
    pks = [pk for place in places for pk in keys.parts(place, ROW_SHARDS)]
    pks += [f"{p}/word/study/{tag}#{n}/{b:02d}" for p in (1, 2) for n in range(1, 9) for b in range(32)]
    pks += [f"querytags/{tag}#{n}/errors" for n in range(1, 20)]
    return sum(table.count(pk) for pk in pks)


def private_block(creator: str | None, number: int, block: int = 0x10) -> list[DataElement]:
    """Return a private element, and the element of its private creator if there is one."""
    reservation = [DataElement((0x1205, block), "LO", creator)] if creator else []
    return [*reservation, DataElement((0x1205, (block << 8) + 3), "SS", number)]
