"""The wiring: which engine's reads are worth threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pytest
from moto import mock_aws

from app import bootstrap
from app.services.policy import V1, V2
from app.settings import Settings
from tests.support.instances import make_instance

Spreads = dict[str, list[int]]


@pytest.fixture
def spreads(monkeypatch: pytest.MonkeyPatch) -> Spreads:
    """What was spread, by what spread it: how many items each time."""
    seen: Spreads = {}

    def watch(name: str) -> None:
        def watched(call: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
            todo = list(items)
            seen.setdefault(name, []).append(len(todo))
            return map(call, todo)

        monkeypatch.setattr(bootstrap, name, watched)

    watch("parallel_map")
    watch("prefetch")
    return seen


def _page_and_study(settings: Settings, spreads: Spreads) -> None:
    """Store two studies, one of two instances; read a page of both that tells of their files; read the larger one."""
    bootstrap.initialise(settings)
    services = bootstrap.build_services(settings, bootstrap.build_engine(settings))
    clinic = services.partitions.resolve("clinic", create=True)
    for study, instance in (("1.1", "1.1.1.1"), ("1.2", "1.2.1.1"), ("1.2", "1.2.1.2")):
        body = BytesIO(make_instance(study=study, series=f"{study}.1", instance=instance))
        assert services.store(clinic, [body], None, V2).stored
    spreads.clear()
    page = services.search(clinic, "study", None, None, [("includefield", "00201208")], V1, lambda *_: "")
    assert [orjson.loads(row)["00201208"]["Value"] for row in page.documents] == [[2], [1]]
    for stream in services.retrieve.open_all(services.retrieve.instances(clinic, "1.2")):
        stream.close()


@mock_aws
def test_round_trips_to_aws_are_made_side_by_side(monkeypatch: pytest.MonkeyPatch, spreads: Spreads) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    _page_and_study(Settings(engine="aws", table="archive", bucket="archive"), spreads)
    assert spreads == {"parallel_map": [2, 2, 0], "prefetch": [2]}  # counts, newest instances, others; files


def test_reads_of_one_machine_are_not(tmp_path: Path, spreads: Spreads) -> None:
    _page_and_study(Settings(data_dir=tmp_path), spreads)
    assert spreads == {}
