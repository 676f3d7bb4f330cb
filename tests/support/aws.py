"""AWS in this process, played by moto. This is the only place that starts moto."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any, Final

import pytest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

REGION: Final = "us-east-1"
OTHER_REGION: Final = "eu-central-1"
"""In this region a bucket needs a location constraint."""

_process_request = BotocoreStubber.process_request
_one_request = RLock()


@contextmanager
def aws_environment(region: str = REGION) -> Iterator[None]:
    """Set credentials that no AWS account has, and the region."""
    with pytest.MonkeyPatch.context() as environment:
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(variable, "testing")
        environment.setenv("AWS_DEFAULT_REGION", region)
        yield


@contextmanager
def mocked_aws(region: str = REGION) -> Iterator[None]:
    """Answer all AWS calls of this process from an empty account.

    Each request is atomic, as on AWS. Without the lock, moto lets other threads write between the check of a condition
    and its write, and it copies tables while other threads write to them.
    """
    with aws_environment(region), pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setattr(BotocoreStubber, "process_request", _one_at_a_time)
        yield


def _one_at_a_time(stubber: BotocoreStubber, request: Any) -> Any:
    with _one_request:
        return _process_request(stubber, request)
