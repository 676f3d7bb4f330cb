"""The wiring: which engine reads in parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pytest
from moto import mock_aws

from app import bootstrap
from app.services import parallel
from app.services.policy import V1, V2
from app.settings import Settings
from tests.support.instances import make_instance

ParallelCalls = dict[str, list[int]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> ParallelCalls:
    """How many items each parallel call had, by the name of the function."""
    seen: ParallelCalls = {}

    def watch(name: str) -> None:
        def watched(call: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
            todo = list(items)
            seen.setdefault(name, []).append(len(todo))
            return map(call, todo)

        monkeypatch.setattr(parallel, name, watched)

    watch("parallel_map")
    watch("prefetch")
    return seen


def _page_and_study(settings: Settings, calls: ParallelCalls) -> None:
    """Store two studies, one with two instances. Search both with their counts, and retrieve the larger one."""
    bootstrap.initialise(settings)
    services = bootstrap.build_services(settings, bootstrap.build_engine(settings))
    clinic = services.partitions.resolve("clinic", create=True)
    for study, instance in (("1.1", "1.1.1.1"), ("1.2", "1.2.1.1"), ("1.2", "1.2.1.2")):
        body = BytesIO(make_instance(study=study, series=f"{study}.1", instance=instance))
        assert services.store(clinic, [body], None, V2).stored
    calls.clear()
    page = services.search(clinic, "study", None, None, [("includefield", "00201208")], V1, lambda *_: "")
    assert [orjson.loads(row)["00201208"]["Value"] for row in page.documents] == [[2], [1]]
    for stream in services.retrieve.open_all(services.retrieve.instances(clinic, "1.2")):
        stream.close()


@mock_aws
def test_reads_from_aws_are_parallel(monkeypatch: pytest.MonkeyPatch, calls: ParallelCalls) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    _page_and_study(Settings(engine="aws", table="archive", bucket="archive"), calls)
    # The parts of the list of studies, counts, newest instances, others; files.
    assert calls == {"parallel_map": [9, 2, 2, 0], "prefetch": [2]}


def test_reads_on_one_machine_are_not_parallel(tmp_path: Path, calls: ParallelCalls) -> None:
    _page_and_study(Settings(data_dir=tmp_path), calls)
    assert calls == {}
