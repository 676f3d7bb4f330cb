"""The form of the front page that uploads into a partition that does not exist yet (conformance §15.4)."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from app.services.access.rights import Action
from tests.conftest import Serve
from tests.support.callers import ADMIN, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

PAGE = "/ui/new-partition"
RIGHTS = {
    "reader": granted(Action.READ, to="*"),
    "writer": granted(Action.WRITE, to="clinic-*"),
    "stranger": granted(Action.ALL, to="other"),
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """An archive with the partition clinic-a."""
    app = embedded(tmp_path_factory.mktemp("new-partition"))
    authenticate(app, RIGHTS)
    PartitionClient(calling(app, ADMIN), "/v2/partitions/clinic-a").stored(make_instance(pixel=False))
    return app


@pytest.mark.parametrize("name", ["clinic-a", "clinic-new", "Clinic-._9"])
def test_a_writer_gets_the_page_which_creates_nothing(app: Flask, name: str) -> None:
    client = calling(app, "writer")
    before = client.get("/v2/partitions").json
    answer = client.get(PAGE, query_string={"partition": name})
    assert answer.status_code == 200
    assert f'data-store="/v2/partitions/{name}/studies"' in answer.text
    assert client.get("/v2/partitions").json == before


def test_the_first_file_creates_the_partition(app: Flask) -> None:
    client = calling(app, "writer")
    page = client.get(PAGE, query_string={"partition": " clinic-first "}).text
    found = re.search(r'data-store="([^"]+)/studies"', page)
    assert found
    PartitionClient(client, found[1]).stored(make_instance(pixel=False))
    assert client.get("/ui/partitions/clinic-first/upload").status_code == 200


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "é", "x" * 65, 'a"b'])
def test_a_name_that_breaks_the_rule_gets_the_rule(app: Flask, name: str) -> None:
    answer = calling(app, ADMIN).get(PAGE, query_string={"partition": name})
    assert (answer.status_code, answer.mimetype) == (400, "text/html")
    assert "1 to 64 letters, digits" in answer.text


def test_a_hidden_partition_and_a_missing_one_have_the_same_page(app: Flask) -> None:
    client = calling(app, "stranger")
    hidden, missing = (client.get(PAGE, query_string={"partition": name}) for name in ("clinic-a", "clinic-x"))
    assert hidden.status_code == missing.status_code == 400
    texts = [re.sub("request <code>[^<]*|clinic-[ax]", "", answer.text) for answer in (hidden, missing)]
    assert "doesn&#39;t exist." in texts[0]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("name", ["clinic-a", "clinic-x"])
def test_a_caller_that_may_only_read_there_gets_no_page(app: Flask, name: str) -> None:
    assert calling(app, "reader").get(PAGE, query_string={"partition": name}).status_code == 403


@pytest.mark.parametrize(("caller", "has_form"), [("reader", False), ("writer", True), ("stranger", True)])
def test_the_front_page_has_the_form_for_callers_that_may_write(app: Flask, caller: str, has_form: bool) -> None:
    assert (f'action="{PAGE}"' in calling(app, caller).get("/").text) == has_form


def test_without_partitions_there_is_no_new_one(serve: Serve) -> None:
    answer = serve(enable_data_partitions=False).get(PAGE, query_string={"partition": "a"})
    assert answer.status_code == 400
    assert "Data partitions capability is disabled." in answer.text
