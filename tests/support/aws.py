"""AWS as moto plays it, one call after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import pytest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber


@contextmanager
def atomic_aws() -> Iterator[None]:
    """Play AWS in this process. Each call is atomic, as on AWS; moto alone lets threads write between a condition's
    check and its write, so that under load two conditional writes win."""
    one_at_a_time = Lock()
    process = BotocoreStubber.process_request

    def alone(stubber: BotocoreStubber, request: Any) -> Any:
        with one_at_a_time:
            return process(stubber, request)

    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setattr(BotocoreStubber, "process_request", alone)
        yield
