"""The model of DynamoDB: its table keeps the contract of the port, and its units are those of DynamoDB."""

from __future__ import annotations

import pytest

from app.errors import Throttled
from app.storage.table.ports import Absent, Add, Delete, Item, Key, Put, Require, Table
from tests.capacity.memory_table import MemoryTable
from tests.capacity.metered_table import MeteredTable, ThrottledTable
from tests.capacity.simulation import Load, simulate
from tests.contracts import test_table


@pytest.fixture
def table() -> Table:
    return MeteredTable(MemoryTable())


class TestItems(test_table.TestItems): ...


class TestGetMany(test_table.TestGetMany): ...


class TestConditions(test_table.TestConditions): ...


class TestParts(test_table.TestParts): ...


class TestAllItems(test_table.TestAllItems): ...


def item(size: int, sk: str = "s") -> Item:
    """Return an item of `size` bytes, as DynamoDB counts."""
    return Item(Key("p", sk), {}, b"x" * (size - len("pk" + "p" + "sk" + sk + "_data")))


class TestUnits:
    @pytest.mark.parametrize(("size", "units"), [(100, 1), (1024, 1), (1025, 2), (2048, 2)])
    def test_a_plain_write_costs_one_unit_for_each_kilobyte(self, size: int, units: int) -> None:
        table = MeteredTable(MemoryTable())
        table.write(Put(item(size)))
        table.write_each([Put(item(size, "t"))])
        assert table.meter.write_units == 2 * units

    def test_a_transaction_costs_twice_as_much(self) -> None:
        table = MeteredTable(MemoryTable())
        table.write(Put(item(1025), Absent()), Require(Key("p", "t"), Absent()), before=[Put(item(1025, "u"))])
        assert table.meter.write_units == 4 + 2 + 2

    def test_a_deletion_costs_what_it_removes(self) -> None:
        table = MeteredTable(MemoryTable())
        table.write(Put(item(3000)))
        table.write(Delete(Key("p", "s")))
        assert table.meter.write_units == 3 + 3

    def test_reads(self) -> None:
        table = MeteredTable(MemoryTable())
        table.write_each([Put(item(1500, str(n))) for n in range(4)])
        assert len(list(table.query("p"))) == 4
        assert table.meter.read_units == 2
        table.get_many([Key("p", "0"), Key("p", "no item")])
        assert table.meter.read_units == 4

    def test_an_addition_is_a_write(self) -> None:
        table = MeteredTable(MemoryTable())
        table.add(Key("c", "c"), "n", 1)
        table.write(Put(item(100)), Add(Key("c", "d"), {"n": 1}))
        assert table.meter.writes == {"c": 1 + 2, "p": 2}


class TestThrottling:
    def test_a_key_takes_a_thousand_units_a_second(self) -> None:
        now = 100.0
        table = ThrottledTable(MemoryTable(), lambda: now)
        for _ in range(1000):
            table.write(Put(item(100)))
        with pytest.raises(Throttled):
            table.write(Put(item(100)))
        table.write(Put(Item(Key("q", "s"), {})))
        now += 0.5
        for _ in range(500):
            table.write(Put(item(100)))
        assert table.refused == {"p": 1}
        assert table.peak["p"] == 1501

    def test_a_load_is_stored(self) -> None:
        outcome = simulate(Load(rate=48, batch=4, writers=4, seconds=2, partitions=2, studies=1))
        assert outcome.stored == 96
        assert outcome.refused_requests == 0
        assert max(outcome.peaks.values()) < 1
