"""The archives of the tests of pages.

Pages read through the use cases of the API, which have tests on both engines. So one engine is enough here, and a test
of what only pages read names both with `both_engines`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from app.settings import Settings
from tests.conftest import settings_of
from tests.support.selection import ENGINES

both_engines = pytest.mark.parametrize("settings", ENGINES, indirect=True)
"""Runs a test on both engines."""


@pytest.fixture(params=["embedded"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty archive."""
    return settings_of(request, tmp_path)
