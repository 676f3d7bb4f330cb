"""The front page: partitions and the latest studies (conformance §15.1)."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.services.access.caller import Caller
from app.services.access.rights import Action, Grant, Rights
from app.settings import Settings
from app.web.routing.dispatch import SERVICES
from tests.conftest import QUIET
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, **QUIET)


def partition(client: FlaskClient, name: str) -> PartitionClient:
    return PartitionClient(client, f"/v2/partitions/{name}")


def names(page: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/ui/partitions/[^"]*">([^<]*)</a>', page)


def caller(*patterns: str, action: Action = Action.READ) -> Caller:
    return Caller(subject="c", rights=Rights((Grant(actions=frozenset({action}), partitions=patterns),)))


def test_an_empty_archive_says_how_to_store_the_first_file(client: FlaskClient) -> None:
    page = client.get("/").text
    assert "bulkhead store FOLDER --url http://localhost --partition clinic-a" in page


def test_the_latest_studies_come_from_all_partitions_the_newest_first(client: FlaskClient) -> None:
    for name, patient in (("b", "First^A"), ("a", "Second^B"), ("b", "Third^C")):
        partition(client, name).stored(make_instance(patient_name=patient))
    page = client.get("/").text
    assert re.findall(r"<bdi>(\w+, \w)</bdi>", page) == ["Third, C", "Second, B", "First, A"]
    assert "bulkhead store" not in page


def test_the_number_of_latest_studies_is_bounded(client: FlaskClient) -> None:
    partition(client, "a").stored(*[make_instance() for _ in range(15)])
    assert client.get("/").text.count("study-card") == 12


def test_a_study_shows_its_counts_and_modalities(client: FlaskClient) -> None:
    study = "1.2.3"
    partition(client, "a").stored(make_instance(study=study), make_instance(study=study, modality="SR"))
    page = client.get("/").text
    assert "2 instances" in page
    assert re.findall(r'badge accent">(\w+)<', page) == ["CT", "SR"]
    assert "/v2/partitions/a/studies/1.2.3/thumbnail?viewport=320%2C320" in page


def test_a_partition_shows_how_much_it_has(client: FlaskClient) -> None:
    file = make_instance()
    partition(client, "a").stored(file, make_instance())
    row = re.search(r'studies">a</a></th>(.*?)</tr>', client.get("/").text, re.DOTALL)
    assert row
    assert re.findall(r'number">([^<]*)<', row[1])[:2] == ["2", "2"]
    assert "kB" in row[1]


def test_partitions_are_listed_by_name_in_pages(client: FlaskClient) -> None:
    directory = client.application.extensions[SERVICES].partitions
    for number in range(30):
        directory.resolve(f"p{number:02}", create=True)
    first = client.get("/").text
    assert names(first) == ["Microsoft.Default", *(f"p{number:02}" for number in range(24))]
    second = client.get("/", query_string={"prefix": "", "after": "p23"}).text
    assert 'href="/?prefix=&amp;after=p23"' in first
    assert names(second) == [f"p{number:02}" for number in range(24, 30)]
    assert "More partitions" not in second


def test_partitions_are_found_by_the_beginning_of_their_names_in_any_case(client: FlaskClient) -> None:
    directory = client.application.extensions[SERVICES].partitions
    for name in ("North-1", "north-2", "south"):
        directory.resolve(name, create=True)
    assert names(client.get("/?prefix=NORTH").text) == ["North-1", "north-2"]
    assert "No partition has a name that begins with “x" in client.get("/?prefix=x").text


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("*",), ["a-1", "a-2", "b", "c", "Microsoft.Default"]),
        (("a-*", "a-1", "A*"), ["a-1", "a-2"]),
        (("b", "c"), ["b", "c"]),
        (("a-1", "a-1*", "b*"), ["a-1", "b"]),
        (("missing", "d*"), []),
    ],
)
def test_a_caller_gets_the_partitions_of_its_grants(
    client: FlaskClient, patterns: tuple[str, ...], expected: list[str]
) -> None:
    directory = client.application.extensions[SERVICES].partitions
    for name in ("a-1", "a-2", "b", "c"):
        directory.resolve(name, create=True)
    assert [each.name for each in directory.page(caller(*patterns), limit=10).partitions] == expected
    paged, after = [], ""
    while found := directory.page(caller(*patterns), after=after, limit=1).partitions:
        paged += [each.name for each in found]
        after = paged[-1]
    assert paged == expected


def test_a_grant_without_an_action_on_data_shows_no_partition(client: FlaskClient) -> None:
    directory = client.application.extensions[SERVICES].partitions
    assert not directory.page(caller("*", action=Action.READ_AUDIT), limit=10).partitions


def test_the_latest_studies_of_a_caller_are_those_that_it_may_read(client: FlaskClient) -> None:
    partition(client, "a").stored(make_instance(patient_name="Seen^A"))
    partition(client, "b").stored(make_instance(patient_name="Hidden^B"))
    services = client.application.extensions[SERVICES]
    assert services.change_feed.changed_partitions(caller("a"), 100) == ["a"]
    assert services.change_feed.changed_partitions(caller("b", action=Action.WRITE), 100) == []


def test_without_partitions_the_front_page_leads_to_the_studies(settings: Settings) -> None:
    client = create_app(replace(settings, enable_data_partitions=False)).test_client()
    answer = client.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/ui/studies")


@pytest.mark.parametrize("parameter", ["prefix", "after"])
def test_a_text_that_is_longer_than_any_name_is_answered(client: FlaskClient, parameter: str) -> None:
    assert client.get(f"/?{parameter}={'x' * 3000}").status_code == 200
    assert client.get("/", query_string={parameter: "é" * 3000}).status_code == 200
