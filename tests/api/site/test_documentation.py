"""The pages of documentation and the reference of the API (conformance §15.5)."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from app.web.openapi.descriptions import DESCRIPTIONS
from app.web.site import markdown
from tests.conftest import Serve
from tests.support.callers import ADMIN, authenticate, calling, embedded

PAGES = ("/docs", "/docs/api", *(f"/docs/{name}" for name in markdown.DOCUMENTS))


class Links(HTMLParser):
    """The ids and the links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert "style" not in given, "the policy forbids it"
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links |= {given["href"] or ""} if tag == "a" and "href" in given else set()


def test_every_page_is_served_and_every_link_leads_somewhere(client: FlaskClient) -> None:
    pages = {path: Links(client.get(path).text) for path in PAGES}
    for path, found in pages.items():
        assert len(found.ids) == len(set(found.ids)), path
        for link in found.links:
            target, _, anchor = link.partition("#")
            if "://" in target or target.startswith("?version="):
                continue
            address = target if target.startswith("/") else f"/docs/{target}" if target else path
            if address.startswith("/docs"):
                assert not anchor or anchor in pages[address].ids, (path, link)
            else:
                assert client.get(address).status_code == 200, (path, link)
    assert "#14-errors" in pages["/docs/conformance"].links
    assert "conformance#135-audit-trail" in pages["/docs/security"].links


def test_sections_become_links_and_those_of_standards_do_not(client: FlaskClient) -> None:
    text = client.get("/docs/conformance").text
    assert '(<a href="#42-accept">§4.2</a>' in text
    assert re.search(r"PS3\.18 §8\.9 asks", text)
    assert str(markdown.line("`a<b` (conformance §1.4, PS3.18 §8.9; RFC 9110 §12.5.1)")) == (
        '<code>a&lt;b</code> (conformance <a href="conformance#14-errors">§1.4</a>, PS3.18 §8.9; RFC 9110 §12.5.1)'
    )


def test_the_reference_has_every_operation_in_the_form_that_serves(serve: Serve) -> None:
    ids = set(Links(serve(metrics=True).get("/docs/api").text).ids)
    for key, each in DESCRIPTIONS.items():
        assert {each.id, each.operation_id(below_partition=True)} & ids, key
    assert "PartitionStoreInstance" in ids
    assert "StoreInstance" not in ids
    off = Links(serve(enable_data_partitions=False, enable_export=False).get("/docs/api?version=v1").text)
    assert "StoreInstance" in off.ids
    assert not {"PartitionStoreInstance", "Export", "UpdateInstance"} & set(off.ids)


@pytest.mark.parametrize(
    "path", ["/docs/nothing", "/docs/conformance.md", "/docs/api?version=v9", "/docs/..%2fsecurity"]
)
def test_what_does_not_exist_is_404(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_pages_need_no_credentials_and_can_be_switched_off(serve: Serve, tmp_path: Path) -> None:
    app = embedded(tmp_path / "archive")
    authenticate(app, {})
    for path in PAGES:
        assert app.test_client().get(path).status_code == 200
        assert serve(site=False).get(path).status_code == 404


def test_links_have_the_base_path(serve: Serve) -> None:
    text = serve(trusted_proxies=1).get("/docs/api", headers={"X-Forwarded-Prefix": "/pacs"}).text
    assert 'data-base="/pacs"' in text
    assert 'href="/pacs/v2/api.json"' in text


def test_the_navigation_is_that_of_a_caller_with_credentials(tmp_path: Path) -> None:
    app = embedded(tmp_path / "archive")
    authenticate(app, {})
    assert 'href="/ui/status"' in calling(app, ADMIN).get("/docs").text
    assert 'href="/ui/status"' not in calling(app, "nobody").get("/docs").text
    assert 'href="/ui/status"' not in app.test_client().get("/docs").text


def test_without_authentication_the_navigation_is_whole(client: FlaskClient) -> None:
    assert 'href="/ui/status"' in client.get("/docs").text
