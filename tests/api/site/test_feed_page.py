"""The page of the change feed (conformance §10.3, §15.4)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app.services.access.rights import Action
from app.web.site import feed
from tests.support.callers import ADMIN, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance


def numbers(client: FlaskClient, query: str = "") -> list[int]:
    """Return the numbers of the changes on a page, in their order."""
    answer = client.get("/ui/feed" + query)
    assert answer.status_code == 200
    return [int(each) for each in re.findall('<th scope="row" class="number">([0-9]+)</th>', answer.text)]


def older(client: FlaskClient, query: str = "") -> str | None:
    found = re.search(r'href="/ui/feed(\?before=[^"]+)"', client.get("/ui/feed" + query).text)
    return found[1].replace("&amp;", "&") if found else None


def test_the_newest_change_comes_first(client: FlaskClient, clinic: PartitionClient) -> None:
    assert numbers(client) == []
    for study in ("2.25.1", "2.25.2"):
        clinic.stored(make_instance(study=study, pixel=False))
    clinic.delete("/studies/2.25.1")
    assert numbers(client) == [3, 2, 1]
    text = client.get("/ui/feed").text
    assert 'href="/ui/partitions/clinic-a/studies/2.25.2"' in text
    assert 'href="/ui/partitions/clinic-a/studies/2.25.1"' not in text


def test_older_changes_are_on_further_pages(
    client: FlaskClient, clinic: PartitionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PAGE_LENGTH", 2)
    clinic.stored(*(make_instance(pixel=False) for _ in range(5)))
    pages, query = [numbers(client)], older(client)
    while query:
        pages.append(numbers(client, query))
        query = older(client, query)
    assert pages == [[5, 4], [3, 2], [1]]


def test_a_caller_sees_the_changes_of_its_partitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_WINDOW", 2)
    app = embedded(tmp_path)
    authenticate(app, {"reader of a": granted(Action.READ, to="clinic-a")})
    admin, reader = calling(app, ADMIN), calling(app, "reader of a")
    for name in ("clinic-a", *["clinic-b"] * 5, "clinic-a", "clinic-b"):
        PartitionClient(admin, f"/v2/partitions/{name}").stored(make_instance(pixel=False))
    assert numbers(reader) == [7, 1]
    assert "clinic-b" not in reader.get("/ui/feed").text
    assert numbers(reader, "?partition=clinic-b") == []
    assert numbers(admin, "?partition=Clinic-B") == [8, 6, 5, 4, 3, 2]
    assert numbers(admin, "?partition=") == [8, 7, 6, 5, 4, 3, 2, 1]


def test_a_page_reads_a_bounded_part_of_the_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_WINDOW", 1)
    monkeypatch.setattr(feed, "_WINDOWS", 2)
    app = embedded(tmp_path)
    admin = calling(app, ADMIN)
    for name in ("clinic-a", *["clinic-b"] * 4, "clinic-a"):
        PartitionClient(admin, f"/v2/partitions/{name}").stored(make_instance(pixel=False))
    query = older(admin, "?partition=clinic-a")
    assert numbers(admin, "?partition=clinic-a") == [6]
    assert query == "?before=5&partition=clinic-a"
    assert numbers(admin, query) == []
    assert "There is no older change in this part of the feed." in admin.get("/ui/feed" + query).text
    assert numbers(admin, str(older(admin, query))) == [1]


@pytest.mark.parametrize("query", ["?before=x", "?before=-1", "?partition=%20!", f"?before={2**63}"])
def test_a_parameter_that_breaks_its_rule_is_named(client: FlaskClient, query: str) -> None:
    answer = client.get("/ui/feed" + query)
    assert (answer.status_code, answer.content_type) == (400, "text/html; charset=utf-8")
    assert "The query parameter" in answer.text
