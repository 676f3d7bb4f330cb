"""The list of routes in the README, made from the route table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.web.routing import versions
from app.web.routing.route import Route, Scope

_SCOPES = {
    Scope.PARTITION: "partition",
    Scope.BELOW_PARTITION: "below a partition",
    Scope.BASE: "base",
    Scope.UNVERSIONED: "no version",
    Scope.PAGE: "page",
    Scope.PARTITION_PAGE: "page of a partition",
}


def routes_table(routes: Iterable[Route]) -> str:
    """Return a table in Markdown, sorted by scope and path, with a row for each method. Routes that differ only in
    their versions share a row."""
    rows: dict[tuple[str, str], list[Route]] = {}
    for route in routes:
        for path in route.paths:
            rows.setdefault((path, route.method), []).append(route)
    order = list(_SCOPES)
    by_scope = dict(sorted(rows.items(), key=lambda row: (order.index(row[1][0].scope), row[0])))
    return "\n".join(_lines(by_scope)) + "\n"


def _lines(rows: dict[tuple[str, str], list[Route]]) -> Iterator[str]:
    yield "| Method | Path | Scope | Versions | Action | Answers |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for (path, method), routes in rows.items():
        first = routes[0]
        answers = sorted({status for route in routes for status in route.answers})
        action = f"`{first.action.value}`" if first.action else ""
        yield (
            f"| {method} | `{path or '/'}` | {_SCOPES[first.scope]} | {_versions(routes)} | {action} "
            f"| {', '.join(map(str, answers))} |"
        )


def _versions(routes: list[Route]) -> str:
    if routes[0].scope in (Scope.UNVERSIONED, Scope.PAGE, Scope.PARTITION_PAGE):
        return ""
    served = [version for version in versions.ALL if any(version in route.versions for route in routes)]
    return "all" if len(served) == len(versions.ALL) else ", ".join(version.name for version in served)
