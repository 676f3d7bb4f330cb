"""Every citation in the tree points at something: a section of the conformance statement, or a file of the project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "app" / "docs"

SECTIONS = frozenset(re.findall(r"^##+ (\d+(?:\.\d+)?) ", (DOCS / "conformance.md").read_text(), re.MULTILINE))
CITATION = re.compile(r"conformance((?:(?: and|,)? §\d+(?:\.\d+)?)+)")
MODULE_PATH = re.compile(r"`((?:app|tests|infra|dicom|engines|entry|services|storage|web|docs)/[\w./-]+\.\w+)`")


def texts() -> Iterator[tuple[Path, str]]:
    """Yield the project's files that cite something."""
    paths = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "Makefile", ROOT / "pyproject.toml"]
    for folder in ("app", "tests", "infra"):
        paths += [path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".md", ".yaml"}]
    for path in paths:
        yield path, path.read_text(encoding="utf-8")


def test_the_statement_has_sections_and_the_code_cites_them() -> None:
    cited = {section for _, text in texts() for section in _cited(text)}
    assert len(SECTIONS) > 100
    assert len(cited) > 40, "the code cites the statement"


def test_every_cited_section_of_the_conformance_statement_exists() -> None:
    dangling = [
        f"{path.relative_to(ROOT)}: §{section}"
        for path, text in texts()
        for section in _cited(text)
        if section not in SECTIONS
    ]
    assert dangling == []


def test_every_named_file_exists() -> None:
    dangling = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, text in texts()
        for name in MODULE_PATH.findall(text)
        if not (ROOT / name).exists() and not (ROOT / "app" / name).exists()
    ]
    assert dangling == []


@pytest.mark.parametrize("name", ["conformance.md", "glossary.md"])
def test_references_inside_the_documents_exist(name: str) -> None:
    text = (DOCS / name).read_text()
    own = re.sub(r"(PS3\.\d+|RFC \d+)((?:,? (?:and )?§[\w.]+)+)", "", text)
    cited = set(re.findall(r"§(\d+(?:\.\d+)?)", own))
    assert cited - SECTIONS == set()


def test_the_contents_of_the_statement_link_to_its_headings() -> None:
    text = (DOCS / "conformance.md").read_text()
    anchors = {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^##+ (.*)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) - anchors == set()


def _cited(text: str) -> list[str]:
    """Return the sections of the conformance statement that a text cites."""
    return [section for group in CITATION.findall(text) for section in re.findall(r"§(\d+(?:\.\d+)?)", group)]
