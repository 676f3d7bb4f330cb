"""What all pages have in common."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from app.settings import Settings
from app.web.routing.dispatch import SETTINGS
from app.web.routing.route import Route, Scope
from app.web.site.table import PAGE_ROUTES
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

STATIC = "/ui/static/site.css"


def test_the_front_page_names_the_partitions(client: FlaskClient, clinic: PartitionClient) -> None:
    clinic.stored(make_instance())
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    assert "clinic-a" in answer.text


def test_a_browser_runs_nothing_that_a_page_does_not_name(client: FlaskClient) -> None:
    policies = client.get("/").headers.getlist("Content-Security-Policy")
    assert any("default-src 'none'; script-src 'self'; style-src 'self'" in policy for policy in policies)


def test_no_page_is_kept_by_a_shared_cache(client: FlaskClient) -> None:
    assert client.get("/").headers["Cache-Control"] == "private, no-store"


def test_the_capabilities_keep_their_url(client: FlaskClient) -> None:
    answer = client.options("/")
    assert answer.content_type == "application/vnd.sun.wadl+xml"


def test_a_style_sheet_may_be_kept_for_ever_under_the_url_of_its_content(client: FlaskClient) -> None:
    address = re.search(r'href="(/ui/static/site\.css\?v=[0-9a-f]+)"', client.get("/").text)
    assert address is not None
    answer = client.get(address[1])
    assert answer.content_type == "text/css; charset=utf-8"
    assert "immutable" in answer.headers["Cache-Control"]
    again = client.get(STATIC, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert again.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("name", ["missing.css", "..%2fpages.py", "%2e%2e", "__init__.py"])
def test_only_the_files_of_the_folder_are_given(client: FlaskClient, name: str) -> None:
    assert client.get(f"/ui/static/{name}").status_code == 404


@pytest.fixture
def client_without_site(client: FlaskClient, settings: Settings) -> FlaskClient:
    client.application.extensions[SETTINGS] = replace(settings, site=False)
    return client


@pytest.mark.parametrize("route", PAGE_ROUTES, ids=lambda route: f"{route.method} {route.paths[0]}")
def test_the_operator_can_switch_every_page_off(client_without_site: FlaskClient, route: Route) -> None:
    for path in route.paths:
        prefix = "/ui/partitions/clinic-a" if route.scope is Scope.PARTITION_PAGE else ""
        filled = re.sub("<[^>]*>", "1.2", path)
        assert client_without_site.open(prefix + filled, method=route.method).status_code == 404
