"""The pages of `app/docs` and `infra` name settings that exist and sections that are there."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from app.settings import Settings, variable
from app.settings.client import CLIENT_VARIABLES

ROOT = Path(__file__).parents[2]
PAGES = [*(ROOT / "app" / "docs").glob("*.md"), ROOT / "infra" / "README.md", ROOT / "README.md"]
SETTINGS = {variable(each.name) for each in fields(Settings)}
VARIABLES = SETTINGS | CLIENT_VARIABLES

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@each_page
def test_each_named_setting_exists(page: Path) -> None:
    named = set(re.findall(r"\bBULKHEAD_[A-Z0-9_]*[A-Z0-9]\b(?!\*)", page.read_text()))
    assert named <= VARIABLES


@each_page
def test_each_linked_file_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_security_page_names_every_setting_of_access_and_audit() -> None:
    text = (ROOT / "app" / "docs" / "security.md").read_text()
    of_security = {
        name for name in SETTINGS if re.search(r"_(AUTH|ALLOW|JWT|ROLES|GRANTS|SUBJECT|AUDIT|CORS_ORIGINS)", name)
    }
    assert {name for name in of_security if name not in text} == set()
