from __future__ import annotations

import time

import pytest

from app.services.operations import runner
from app.services.update import task
from app.storage.tags.query_tags import QueryTags, QueryTagStore
from tests.support.updates import TAGS


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step has two instances, leases and waits end at once, and there is an extended query tag at each level."""
    monkeypatch.setattr(task, "BATCH", 2)
    monkeypatch.setattr(runner, "LEASE_SECONDS", 0)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(QueryTagStore, "read", lambda _: QueryTags(0, TAGS))
