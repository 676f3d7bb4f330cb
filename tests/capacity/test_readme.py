"""The part of the manual that `make costs` writes."""

from __future__ import annotations

import pytest

from tests.capacity.readme import BEGIN, END, MANUAL, at_rest, replaced, searches, stored_bytes, stores
from tests.capacity.reads import ReadCost
from tests.capacity.workloads import Cost, FamilyCost


def test_the_ceiling_is_that_of_the_busiest_key_and_the_price_has_the_put_of_the_file() -> None:
    families = {"a": FamilyCost(all_keys=9.0, hottest_key=1.0), "b": FamilyCost(all_keys=2.0, hottest_key=2.0)}
    cost = Cost("known series", instances=1, write_units=8.0, read_units=4.0, calls=3.0, families=families)
    *_, row = stores([cost, cost._replace(name="deletion of a study")])
    assert row == "| deletion of a study | 8.0 | 4.0 | 3.0 | `b` | 500 | 5.50 |"
    assert list(stores([cost]))[-1].endswith("| 500 | 10.50 |")


def test_a_search_is_billed_by_its_read_units() -> None:
    *_, row = searches([ReadCost("no filter", found=100, read_units=1_200, calls=11, milliseconds=5.0)])
    assert row == "| no filter | 1,200 | 11 | 150.00 |"


def test_an_instance_takes_some_items_at_rest() -> None:
    stored = stored_bytes()
    assert 1 <= stored.items <= 10
    assert 500 <= stored.bytes <= 6_000
    assert f"{stored.bytes:,.0f} bytes" in next(at_rest(stored))


def test_only_the_marked_part_of_the_manual_is_replaced() -> None:
    manual = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replaced(manual, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert replaced(replaced(manual, "new"), "new") == replaced(manual, "new")
    assert "new" in replaced(MANUAL.read_text(), "new")
    with pytest.raises(ValueError, match="lacks the marks"):
        replaced("before\n", "new")
