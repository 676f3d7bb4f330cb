"""Which tests `make test` runs. It leaves out the tests marked `thorough`; `make check` runs all tests.

A test or a parameter is thorough if it takes seconds and a quicker one covers most of its faults: repeats on a second
engine (the contract suites prove the engine), a kill at each call of a long operation, long random histories.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Final, TypeVar

import pytest

T = TypeVar("T")

thorough: Final = pytest.mark.thorough

ENGINES: Final = ("embedded", pytest.param("moto", marks=thorough))
"""Parameters of tests of what is built on the ports. They use the same code on each engine."""


def quick(chosen: Container[T], values: Iterable[T]) -> list[object]:
    """Return the values as parameters. Those that are not chosen are thorough."""
    return [pytest.param(value, marks=() if value in chosen else thorough) for value in values]
