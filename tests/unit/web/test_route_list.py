"""The README holds the routes of the table."""

from __future__ import annotations

from pathlib import Path

from app.web.routes.table import ROUTES
from app.web.routing.route_list import routes_table

README = Path(__file__).parents[3] / "README.md"


def test_the_readme_holds_the_list_of_routes() -> None:
    _, _, after = README.read_text(encoding="utf-8").partition("<!-- routes -->\n")
    table, marker, _ = after.partition("<!-- /routes -->")
    assert marker, "README.md has lost the markers around its list of routes"
    assert table == routes_table(ROUTES)


def test_every_method_and_path_has_one_row() -> None:
    rows = routes_table(ROUTES).splitlines()[2:]
    assert len(rows) == len({(route.method, path) for route in ROUTES for path in route.paths})
    assert "| GET | `/changefeed` | base | all | `read` | 200 |" in rows
    assert "| POST | `/studies/$bulkUpdate` | partition | v2 | `write` | 202, 400 |" in rows
    assert "| GET | `/health/check` | no version |  |  | 200, 503 |" in rows
