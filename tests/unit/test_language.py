"""Names say what a thing is, in the words of DICOM, HTTP and databases.

Bulkhead's own words are in app/docs/glossary.md.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]

METAPHORS: Final = frozenset(
    {
        *("astray", "birth", "corpse", "despair", "doomed", "epoch", "flip", "flipped", "flips", "gather", "intake"),
        *("leapfrog", "papers", "restless", "settle", "settled", "settling", "told"),
    }
)
"""Words that a reader has to guess. Each of them was the name of something once."""

EMPTY: Final = frozenset(["helper", "helpers", "misc", "stuff", "util", "utils"])
"""Words that say nothing about what a module or a function is for."""


def identifiers(source: str) -> set[str]:
    """Return every name of a module: of variables, parameters, attributes, functions and classes."""
    nodes = ast.walk(ast.parse(source))
    values = (getattr(node, field, None) for node in nodes for field in ("id", "attr", "name", "arg"))
    return {value for value in values if isinstance(value, str)}


def words(identifier: str) -> set[str]:
    """Return the words of `snake_case` or `CamelCase`, in small letters."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)}


@pytest.mark.parametrize("folder", ["app", "tests/support"])
def test_names_are_no_metaphors_and_say_something(folder: str) -> None:
    modules = sorted((ROOT / folder).rglob("*.py"))
    assert modules
    found = [
        f"{module.relative_to(ROOT)}: {name}"
        for module in modules
        for name in sorted(identifiers(module.read_text()) | {module.stem})
        if words(name) & (METAPHORS | EMPTY)
    ]
    assert found == []


def test_words_of_an_identifier() -> None:
    assert words("_told") == {"told"}
    assert words("ExportPapers") == {"export", "papers"}
    assert words("read_HTTPHeader") == {"read", "http", "header"}
