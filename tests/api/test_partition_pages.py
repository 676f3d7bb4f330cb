"""`GET /partitions` with a prefix, and in pages (conformance §2.6)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from app.services import Services
from app.storage.table import partitions as table_partitions

NAMES = ["Clinic-B", "clinic-a", "Zoo", "CLINIC-C", "archive"]


@pytest.fixture
def archive(client: FlaskClient) -> FlaskClient:
    services: Services = client.application.extensions["bulkhead"]
    for name in NAMES:
        services.partitions.resolve(name, create=True)
    return client


def names(client: FlaskClient, query: str = "") -> list[str]:
    answer = client.get(f"/v2/partitions{query}")
    assert answer.status_code == 200
    return [row["partitionName"] for row in answer.get_json()]


def pages(client: FlaskClient, query: str) -> Iterator[list[str]]:
    """Follow the links of the pages."""
    url = f"http://localhost/v2/partitions{query}"
    while url:
        answer = client.get(url.removeprefix("http://localhost"))
        yield [row["partitionName"] for row in answer.get_json()]
        link = answer.headers.get("Link", "")
        assert not link or link.endswith('>; rel="next"')
        url = link.partition("<")[2].partition(">")[0]


def test_all_partitions_come_in_the_order_of_their_keys(archive: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ["Microsoft.Default", *NAMES]
    assert names(archive) == expected
    for sorted_at_once in (1, 2, 6, 7):
        monkeypatch.setattr(table_partitions, "_SORTED", sorted_at_once)
        assert names(archive) == expected
    assert names(archive, "?prefix=CLINIC") == ["Clinic-B", "clinic-a", "CLINIC-C"]
    assert names(archive, "?prefix=nobody") == []


def test_pages_come_in_the_order_of_names_and_have_a_link_to_the_next(archive: FlaskClient) -> None:
    in_order = ["archive", "clinic-a", "Clinic-B", "CLINIC-C", "Microsoft.Default", "Zoo"]
    assert list(pages(archive, "?limit=2")) == [in_order[:2], in_order[2:4], in_order[4:]]
    assert list(pages(archive, "?Limit=4&after=ARCHIVE")) == [in_order[1:5], in_order[5:]]
    assert list(pages(archive, "?limit=2&prefix=clinic")) == [in_order[1:3], in_order[3:4]]
    assert list(pages(archive, "?after=clinic-b")) == [in_order[3:]]
    assert list(pages(archive, "?limit=6")) == [in_order]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("limit=0", "The query parameter 'Limit' is invalid. The field Limit must be between 1 and 1000."),
        ("limit=1001", "The query parameter 'Limit' is invalid. The field Limit must be between 1 and 1000."),
        ("limit=x", "The query parameter 'Limit' is invalid. The value 'x' is not valid for Limit."),
        ("prefix=a%20b", "The query parameter 'Prefix' is invalid. The value 'a b' is not valid for Prefix."),
        ("after=%F0%9F%98%80", "The query parameter 'After' is invalid. The value '😀' is not valid for After."),
        (
            f"prefix={'a' * 65}",
            f"The query parameter 'Prefix' is invalid. The value '{'a' * 65}' is not valid for Prefix.",
        ),
    ],
)
def test_a_bad_value_is_refused(archive: FlaskClient, query: str, text: str) -> None:
    answer = archive.get(f"/v2/partitions?{query}")
    assert answer.status_code == 400
    assert text in answer.get_data(as_text=True)
