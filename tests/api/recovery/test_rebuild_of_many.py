"""An index of many instances that is made again from the blobs alone answers as the lost one did."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.bootstrap.engines import Engine
from app.settings import Settings
from tests.support.many_instances import TOGETHER, rebuild_answers_as_before

MANY = {"embedded": 10_000, "aws": 3 * TOGETHER}
"""The mock of AWS takes a tenth of a second for an instance. `tests/integration` has many on real servers."""


def test_some_instances(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    rebuild_answers_as_before(settings, engine, tmp_path / "new", TOGETHER)


@pytest.mark.lengthy
@pytest.mark.timeout(900)
def test_ten_thousand_instances(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    rebuild_answers_as_before(settings, engine, tmp_path / "new", MANY[settings.engine])
