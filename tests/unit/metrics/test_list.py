"""`app/docs/operations.md` lists every metric, and no other one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import app
import app.metrics
from app.metrics.kinds import Metric

PAGE = (Path(app.__file__).parent / "docs" / "operations.md").read_text(encoding="utf-8")
DECLARED = {each.name: each for each in vars(app.metrics).values() if isinstance(each, Metric)}


def test_the_page_has_each_metric_with_its_kind_its_labels_and_its_meaning() -> None:
    rows = re.findall(r"^\| `(bulkhead_\w+)` \| (\w+) \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
    assert [name for name, *_ in rows] == list(DECLARED)
    for name, kind, labels, meaning in rows:
        metric = DECLARED[name]
        assert (kind, meaning) == (metric.kind, metric.meaning)
        assert tuple(re.findall(r"`(\w+)`", labels)) == metric.labels


def test_every_name_in_the_text_is_a_metric() -> None:
    for name in re.findall(r"`(bulkhead_\w+)", PAGE):
        assert name in DECLARED


@pytest.mark.parametrize("metric", DECLARED.values(), ids=DECLARED)
def test_names_follow_the_conventions_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"bulkhead_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.name.endswith("_seconds") or metric.kind != "histogram"


def test_all_metrics_are_declared_in_one_place() -> None:
    registered = {name for name in Metric.registry if name.startswith("bulkhead_")}
    assert registered == set(DECLARED)
