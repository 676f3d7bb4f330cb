"""Values as people read them. What breaks its VR stays as it is."""

from __future__ import annotations

import pytest

from app.imaging.documents import value_text


@pytest.mark.parametrize(
    ("value", "shown"), [("20240131", "2024-01-31"), ("2024.01.31", "2024-01-31"), ("2024", "2024"), ("", "")]
)
def test_a_date(value: str, shown: str) -> None:
    assert value_text.date(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [("1847", "18:47"), ("184746", "18:47:46"), ("18:47:46.25", "18:47:46.25"), ("noon", "noon")]
)
def test_a_time(value: str, shown: str) -> None:
    assert value_text.time(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [("20240131", "2024-01-31"), ("202401311847+0100", "2024-01-31 18:47 +0100"), ("2024", "2024"), ("x", "x")],
)
def test_a_date_and_time(value: str, shown: str) -> None:
    assert value_text.date_time(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [("Doe^Jane", "Doe, Jane"), ("Doe", "Doe"), ("^Jane", "Jane"), ("=\u5c71^\u82b1", "\u5c71, \u82b1")],
)
def test_a_person(value: str, shown: str) -> None:
    assert value_text.person(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1.0, "1"), (0.1, "0.1"), (1e300, "1e+300"), (float("nan"), "not a number"), (-2.5, "-2.5")]
)
def test_a_number(value: float, shown: str) -> None:
    assert value_text.number(value) == shown
