"""Any sequence of calls to a `Table` has the same effect as on a dict."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import Conflict
from app.storage.table.ports import (
    Absent,
    Add,
    Change,
    Delete,
    Expectation,
    Holds,
    Item,
    Key,
    Present,
    Put,
    Range,
    Require,
    Table,
)

SORT_KEYS = ["a", "a!", "a/", "a/b", "b", "é", "\ufffd", "\U0001f600"]

sort_keys = st.sampled_from(SORT_KEYS)
bounds = st.one_of(st.just(""), sort_keys, st.text(st.sampled_from("a!/bé\ufffd\U0001f600"), max_size=2))
values = st.one_of(st.integers(-3, 3), st.text(st.sampled_from('a"ü'), max_size=2))
fields = st.dictionaries(st.sampled_from(["x", "y"]), values, max_size=2)
expectations: st.SearchStrategy[Expectation] = st.one_of(
    st.just(Absent()), st.just(Present()), st.builds(Holds, st.sampled_from(["x", "y"]), values)
)
items = st.builds(lambda sk, fields, data: Item(Key("", sk), fields, data), sort_keys, fields, st.binary(max_size=3))
changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(Put, items, st.none() | expectations),
    st.builds(Delete, items.map(lambda item: item.key), st.none() | expectations),
    st.builds(Require, items.map(lambda item: item.key), expectations),
    st.builds(
        Add,
        items.map(lambda item: item.key),
        st.dictionaries(st.sampled_from(["count", "size"]), st.integers(-3, 3).filter(bool), min_size=1),
    ),
)
steps = st.one_of(
    st.lists(changes, min_size=1, max_size=4, unique_by=lambda change: change.key),
    st.tuples(sort_keys, st.integers(-5, 5).filter(bool)),  # moto returns no value for a counter that does not change
    st.tuples(bounds, bounds, st.booleans(), st.none() | st.integers(0, 5)),
    st.lists(sort_keys, max_size=10).map(tuple),
)

_fresh = itertools.count()


class Model:
    """The items of one pk, as a dict."""

    def __init__(self, pk: str) -> None:
        self.pk = pk
        self.items: dict[str, Item] = {}

    def at_fault(self, changes: list[Change]) -> Key | None:
        return next((change.key for change in changes if change.expect and not self.holds(change)), None)

    def holds(self, change: Change) -> bool:
        found = self.items.get(change.key.sk)
        match change.expect:
            case Absent():
                return found is None
            case Holds(field, value):
                return found is not None and field in found.fields and found.fields[field] == value
        return found is not None

    def apply(self, changes: list[Change]) -> None:
        for change in changes:
            if isinstance(change, Put):
                self.items[change.key.sk] = change.item
            elif isinstance(change, Delete):
                self.items.pop(change.key.sk, None)
            elif isinstance(change, Add):
                self.add(change.key.sk, change.by)

    def add(self, sk: str, by: Mapping[str, int]) -> dict[str, Any]:
        found = self.items.get(sk, Item(Key(self.pk, sk), {}))
        totals = {name: found.fields.get(name, 0) + number for name, number in by.items()}
        self.items[sk] = found._replace(fields=found.fields | totals)
        return totals

    def query(self, low: str, high: str, reverse: bool, limit: int | None) -> list[Item]:
        found = [
            self.items[sk]
            for sk in sorted(self.items, key=str.encode, reverse=reverse)
            if sk.encode() >= low.encode() and (not high or sk.encode() <= high.encode())
        ]
        return found[:limit]


def in_pk(pk: str, change: Change) -> Change:
    key = Key(pk, change.key.sk)
    match change:
        case Put(item, expect):
            return Put(item._replace(key=key), expect)
        case Delete(_, expect):
            return Delete(key, expect)
        case Add(_, by):
            return Add(key, by)
    return Require(key, change.expect)


def take(step: Any, table: Table, model: Model) -> None:
    """Apply one step to the table and to the dict, and compare."""
    match step:
        case [*_] if isinstance(step, list):
            write([in_pk(model.pk, change) for change in step], table, model)
        case (str(sk), int(by)):
            assert table.add(Key(model.pk, sk), "count", by) == model.add(sk, {"count": by})["count"]
        case (low, high, bool(reverse), limit):
            found = list(table.query(model.pk, Range(low, high), reverse=reverse, limit=limit))
            assert found == model.query(low, high, reverse, limit)
            assert table.count(model.pk, Range(low, high)) == len(model.query(low, high, False, None))
        case sks:
            expected = [model.items.get(sk) for sk in sks]
            assert table.get_many([Key(model.pk, sk) for sk in sks]) == expected
            assert [table.get(Key(model.pk, sk)) for sk in sks] == expected


def write(changes: list[Change], table: Table, model: Model) -> None:
    try:
        table.write(*changes)
    except Conflict as conflict:
        assert conflict.key == model.at_fault(changes) is not None
    else:
        assert model.at_fault(changes) is None
        model.apply(changes)


@settings(max_examples=60)
@given(sequence=st.lists(steps, min_size=1, max_size=12))
def test_a_table_behaves_like_a_dict(table: Table, sequence: list[Any]) -> None:
    model = Model(f"example/{next(_fresh)}")
    for step in sequence:
        take(step, table, model)
    assert list(table.query(model.pk)) == model.query("", "", False, None)
