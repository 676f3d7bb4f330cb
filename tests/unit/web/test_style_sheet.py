"""The style sheet of the pages."""

from __future__ import annotations

from importlib import resources


def test_each_topic_begins_outside_of_every_block() -> None:
    depth = 0
    for line in resources.files("app.web.site").joinpath("static/site.css").read_text().splitlines():
        assert not (line.startswith("/*") and depth), line
        depth += line.count("{") - line.count("}")
    assert depth == 0
