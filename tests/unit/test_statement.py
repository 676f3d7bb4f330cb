"""The conformance statement names every route, and every text of a 503."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import BulkheadError
from app.web.routes.table import ROUTES

STATEMENT = (Path(__file__).parents[2] / "app" / "docs" / "conformance.md").read_text()


def section(title: str) -> str:
    return STATEMENT.partition(f"### {title}\n")[2].partition("\n### ")[0]


def anonymous(path: str) -> str:
    """Return a path without the names of its parameters."""
    return re.sub(r"<[^>]+>|\{[^}]+\}", "{}", path) or "/"


def described_calls() -> set[tuple[str, str]]:
    """Return (method, path) of each row in the list of resources."""
    rows = [line.split("|")[1:3] for line in section("1.2 Resources").splitlines() if line.startswith("| `")]
    return {
        (method.strip(), anonymous(path))
        for paths, methods in rows
        for path in re.findall(r"`(/[^`]*)`", paths)
        for method in methods.split(",")
    }


def test_the_list_of_resources_has_every_route_and_no_other() -> None:
    assert described_calls() == {(route.method, anonymous(path)) for route in ROUTES for path in route.paths}


def own_errors(base: type[BulkheadError] = BulkheadError) -> Iterator[type[BulkheadError]]:
    for kind in base.__subclasses__():
        yield kind
        yield from own_errors(kind)


def unavailable() -> list[type[BulkheadError]]:
    """Return the errors of `app.errors` whose answer is 503 with a text of their own."""
    return [
        kind
        for kind in own_errors()
        if (kind.status, kind.public_message, kind.__module__) == (503, None, "app.errors")
        and "__init__" in vars(kind)
        and not inspect.signature(kind).parameters
    ]


def test_some_errors_are_503_with_a_text_of_their_own() -> None:
    assert len(unavailable()) >= 3


@pytest.mark.parametrize("kind", unavailable())
def test_the_list_of_errors_has_the_texts_of_503(kind: type[BulkheadError]) -> None:
    assert f"| 503 | `{kind()}`" in section("1.4 Errors")
