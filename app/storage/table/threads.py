"""Threads that work for the context of their caller: for its deadline, and for whatever else belongs to its request."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from app.errors import StorageUnavailable

P = ParamSpec("P")
R = TypeVar("R")


class ContextThreads(ThreadPoolExecutor):
    """A pool of threads. Each call sees the context variables that its caller had when it submitted the call.

    `submit` raises `StorageUnavailable` if the system gives no thread. The call may still run later.
    """

    def submit(self, call: Callable[P, R], /, *arguments: P.args, **named: P.kwargs) -> Future[R]:
        try:
            return super().submit(partial(copy_context().run, call, *arguments, **named))
        except RuntimeError as error:
            raise StorageUnavailable from error
