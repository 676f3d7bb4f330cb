"""Who gets which page: pages hide what the API hides (conformance §13.4, §15.1)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask

from app.services.access.rights import Action
from tests.support.callers import ADMIN, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

PAGES = ("", "/1.2.3", "/1.2.3/series/1.2.3.4", "/1.2.3/series/1.2.3.4/instances/1.2.3.4.5", "/1.2.3/download")
RIGHTS = {
    "reader": granted(Action.READ, to="clinic-a"),
    "writer": granted(Action.WRITE, to="clinic-a"),
    "stranger": granted(Action.ALL, to="clinic-b"),
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """An archive with one study in clinic-a, and one in clinic-b."""
    folder: Path = tmp_path_factory.mktemp("pages")
    app = embedded(folder)
    authenticate(app, RIGHTS)
    for name, patient in (("clinic-a", "Seen^Ann"), ("clinic-b", "Hidden^Ben")):
        PartitionClient(calling(app, ADMIN), f"/v2/partitions/{name}").stored(
            make_instance(study="1.2.3", series="1.2.3.4", instance="1.2.3.4.5", patient_name=patient)
        )
    return app


def comparable(text: str, name: str) -> str:
    """Return the text of a page without the number of the request and the name of the partition."""
    return re.sub("request <code>[^<]*", "", text).replace(name, "NAME")


@pytest.mark.parametrize("path", PAGES)
def test_a_hidden_partition_and_a_missing_one_have_the_same_page(app: Flask, path: str) -> None:
    client = calling(app, "stranger")
    hidden = client.get(f"/ui/partitions/clinic-a/studies{path}")
    missing = client.get(f"/ui/partitions/clinic-c/studies{path}")
    assert (hidden.status_code, hidden.mimetype) == (400, "text/html")
    assert missing.status_code == 400
    assert comparable(hidden.text, "clinic-a") == comparable(missing.text, "clinic-c")


@pytest.mark.parametrize("path", PAGES)
def test_pages_need_the_right_to_read(app: Flask, path: str) -> None:
    assert calling(app, "reader").get(f"/ui/partitions/clinic-a/studies{path}").status_code == 200
    assert calling(app, "writer").get(f"/ui/partitions/clinic-a/studies{path}").status_code == 403


@pytest.mark.parametrize(
    ("caller", "seen", "hidden"),
    [
        ("reader", ("clinic-a", "Seen, Ann"), ("clinic-b", "Hidden")),
        ("writer", ("clinic-a",), ("clinic-b", "Seen", "Hidden")),
        ("stranger", ("clinic-b", "Hidden, Ben"), ("clinic-a", "Seen")),
    ],
)
def test_the_front_page_has_what_the_caller_may_see(
    app: Flask, caller: str, seen: tuple[str, ...], hidden: tuple[str, ...]
) -> None:
    page = calling(app, caller).get("/").text
    main = (
        page[page.index("<main") : page.index("</main>")]
        .replace("--partition clinic-a", "")
        .replace("/partitions/clinic-a/studies</code>", "")
    )
    assert all(text in main for text in seen)
    assert not any(text in main for text in hidden)


def test_a_caller_that_may_only_write_sees_no_numbers(app: Flask) -> None:
    page = calling(app, "writer").get("/").text
    assert re.findall(r'class="number">([^<]*)</td>', page) == ["\N{EN DASH}"] * 3
