"""The contract of the `Table` port (app/storage/table/ports.py), for each engine."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import Any

import pytest

from app.errors import Conflict
from app.storage.table.ports import (
    ALL,
    MAX_CHANGES,
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
    starting,
)

# in UTF-8 order; in UTF-16 order U+1F600, the last but one, would come before U+FFFD
SORTED = ["!", "A", "B", "a", "a/", "a/b", "ab", "b", "~", "ß", "é", "中", "\ufffd", "\U0001f600", "\U0010fffd"]


def item(sk: str, pk: str = "p", data: bytes = b"", **fields: Any) -> Item:
    return Item(Key(pk, sk), fields, data)


def fill(table: Table, sks: list[str], pk: str = "p") -> None:
    for sk in sks:  # one write each, because moto copies all its tables for each transaction
        table.write(Put(item(sk, pk, name=sk)))


def sks(items: Any) -> list[str]:
    return [found.key.sk for found in items]


def at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Return the results of `call` for each number below `count`. Each call has a thread of its own."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(call, range(count)))


class TestItems:
    def test_a_put_item_is_read(self, table: Table) -> None:
        put = item(
            "s",
            data=bytes(range(256)),
            text="Müller^Jörg 山田",
            empty="",
            number=-(2**53),
            zero=0,
            yes=True,
            no=False,
            names=["a", "", "ü", 7, True, [], {}],
            nested={"e": "", "a": {"b": [1, {"c": False}]}, "0008,0020": "x"},
        )
        table.write(Put(put))
        got = table.get(put.key)
        assert got == put
        assert got is not None
        assert isinstance(got.key, Key)
        assert isinstance(got.fields["yes"], bool)
        assert isinstance(got.fields["zero"], int)
        assert type(got.data) is bytes

    def test_a_tuple_is_read_as_a_list(self, table: Table) -> None:
        table.write(Put(item("s", names=("a", 1), nested={"inner": (True, ("b",))})))
        assert table.get(Key("p", "s")) == item("s", names=["a", 1], nested={"inner": [True, ["b"]]})

    def test_an_item_without_fields_and_data(self, table: Table) -> None:
        table.write(Put(item("s")))
        assert table.get(Key("p", "s")) == Item(Key("p", "s"), {}, b"")

    def test_an_item_of_300_kb(self, table: Table) -> None:
        put = item("s", data=b"\x00\xff" * 150_000, name="large")
        table.write(Put(put))
        assert table.get(put.key) == put
        assert list(table.query("p")) == [put]

    def test_a_missing_item_is_none(self, table: Table) -> None:
        assert table.get(Key("p", "s")) is None

    def test_put_replaces_the_whole_item(self, table: Table) -> None:
        table.write(Put(item("s", a=1, b=2, data=b"x")))
        table.write(Put(item("s", b=3)))
        assert table.get(Key("p", "s")) == item("s", b=3)

    def test_delete(self, table: Table) -> None:
        fill(table, ["a", "b"])
        table.write(Delete(Key("p", "a")))
        assert sks(table.query("p")) == ["b"]

    def test_deleting_a_missing_item_does_nothing(self, table: Table) -> None:
        table.write(Delete(Key("p", "a")))
        table.write(Delete(Key("p", "a")), Put(item("b")))
        assert sks(table.query("p")) == ["b"]

    def test_partition_keys_are_separate(self, table: Table) -> None:
        table.write(Put(item("s", "p", n=1)), Put(item("s", "p/", n=2)), Put(item("s", "P", n=3)))
        assert [found.fields["n"] for found in table.query("p")] == [1]
        assert [found.fields["n"] for found in table.query("P")] == [3]
        assert list(table.query("")) == []

    def test_attribute_names_that_databases_reserve(self, table: Table) -> None:
        put = item("s", status=1, key="a", value="b", size=3, select="c", count=4)
        table.write(Put(put))
        table.write(Put(put, Holds("status", 1)))
        assert table.add(put.key, "count", 2) == 6


class TestGetMany:
    def test_250_keys_some_missing_some_repeated(self, table: Table) -> None:
        fill(table, [f"{n:03d}" for n in range(0, 200, 2)])
        wanted = [Key("p", f"{n % 200:03d}") for n in range(250)]
        got = table.get_many(wanted)
        assert len(got) == 250
        for key, found in zip(wanted, got, strict=True):
            assert found == (item(key.sk, name=key.sk) if int(key.sk) % 2 == 0 else None)

    def test_no_keys(self, table: Table) -> None:
        assert table.get_many([]) == []

    def test_odd_characters(self, table: Table) -> None:
        odd = ['"', "\\", "'", "a\nb", "\u2028", "é", "\U0001f600", "$[0]", "%"]
        table.write(*(Put(item(sk, pk=sk)) for sk in odd))
        assert table.get_many([Key(sk, sk) for sk in odd]) == [item(sk, pk=sk) for sk in odd]

    def test_more_than_16_mb_together(self, table: Table) -> None:
        for n in range(6):
            table.write(*(Put(item(f"{n}{m}", data=b"x" * 340_000)) for m in range(10)))
        got = table.get_many([Key("p", f"{n}{m}") for n in range(6) for m in range(10)])
        assert sum(len(found.data) for found in got if found) == 60 * 340_000


class TestQuery:
    def test_bytewise_order(self, table: Table) -> None:
        fill(table, SORTED[::-1])
        assert sks(table.query("p")) == SORTED == sorted(SORTED, key=str.encode)
        assert sks(table.query("p", reverse=True)) == SORTED[::-1]

    @pytest.mark.parametrize(
        ("between", "expected"),
        [
            (ALL, ["a", "b", "c", "d"]),
            (Range("b", "c"), ["b", "c"]),
            (Range("b"), ["b", "c", "d"]),
            (Range("", "b"), ["a", "b"]),
            (Range("b", "b"), ["b"]),
            (Range("aa", "bz"), ["b"]),
            (Range("x", "z"), []),
            (Range("c", "b"), []),
        ],
    )
    def test_ranges_include_both_ends(self, table: Table, between: Range, expected: list[str]) -> None:
        fill(table, list("abcd"))
        fill(table, list("abcd"), pk="q")
        assert sks(table.query("p", between)) == expected
        assert sks(table.query("p", between, reverse=True)) == expected[::-1]
        assert table.count("p", between) == len(expected)

    def test_starting_with(self, table: Table) -> None:
        fill(table, ["series", "series/", "series/1", "series/\U0001f600", "series0", "study"])
        assert sks(table.query("p", starting("series/"))) == ["series/", "series/1", "series/\U0001f600"]

    @pytest.mark.parametrize("limit", [0, 1, 3, 4, 99])
    def test_limit(self, table: Table, limit: int) -> None:
        fill(table, list("abcd"))
        assert sks(table.query("p", limit=limit)) == list("abcd")[:limit]
        assert sks(table.query("p", limit=limit, reverse=True)) == list("dcba")[:limit]

    def test_more_than_1000_items(self, table: Table) -> None:
        names = [f"{n:05d}" for n in range(1300)]
        fill(table, names)
        assert sks(table.query("p")) == names
        assert sks(table.query("p", reverse=True)) == names[::-1]
        assert sks(table.query("p", Range("00100", "01199"), limit=1050)) == names[100:1150]
        assert table.count("p") == 1300
        assert table.count("p", Range("00100", "01199")) == 1100

    def test_more_than_a_megabyte(self, table: Table) -> None:
        names = [f"{n:02d}" for n in range(12)]
        for name in names:
            table.write(Put(item(name, data=name.encode() * 140_000)))
        found = list(table.query("p"))
        assert sks(found) == names
        assert all(got.data == got.key.sk.encode() * 140_000 for got in found)
        assert sks(table.query("p", reverse=True, limit=7)) == names[:4:-1]
        assert table.count("p") == 12

    def test_writes_while_iterating(self, table: Table) -> None:
        """A running query repeats no key, keeps the order and does not block writers."""
        names = [f"{n:04d}" for n in range(0, 1200, 2)]
        fill(table, names)
        found = table.query("p")
        seen = sks(islice(found, 10))
        table.write(Put(item("0000")), Put(item("0013")), Put(item("9999")), Delete(Key("p", "0004")))
        seen += sks(found)
        assert seen == sorted(set(seen))
        assert set(names) - {"0004"} <= set(seen)
        assert table.count("p") == 601

    def test_abandoned_queries_block_no_writer(self, table: Table) -> None:
        fill(table, list("abcd"))
        started = [table.query("p") for _ in range(50)]
        assert [next(query).key.sk for query in started] == ["a"] * 50
        table.write(Put(item("e")))
        assert table.count("p") == 5


HELD: list[tuple[str, Expectation]] = [
    ("absent", Absent()),
    ("present", Present()),
    ("present", Holds("state", "open")),
    ("present", Holds("version", 3)),
]
BROKEN: list[tuple[str, Expectation]] = [
    ("present", Absent()),
    ("absent", Present()),
    ("absent", Holds("state", "open")),
    ("present", Holds("state", "closed")),
    ("present", Holds("state", "")),
    ("present", Holds("version", 4)),
    ("present", Holds("version", "3")),
    ("present", Holds("missing", "open")),
]


class TestConditions:
    @pytest.fixture(autouse=True)
    def _present(self, table: Table) -> None:
        table.write(Put(item("present", state="open", version=3, flag=True)))

    @pytest.mark.parametrize(("sk", "expectation"), HELD)
    def test_an_expectation_that_holds(self, table: Table, sk: str, expectation: Expectation) -> None:
        table.write(Require(Key("p", sk), expectation))
        table.write(Require(Key("p", sk), expectation), Put(item("other")))
        assert table.get(Key("p", "other")) is not None
        table.write(Delete(Key("p", "other")), Put(item(sk, state="new"), expectation))
        assert table.get(Key("p", sk)) == item(sk, state="new")

    @pytest.mark.parametrize(("sk", "expectation"), HELD)
    def test_an_expectation_of_a_delete_that_holds(self, table: Table, sk: str, expectation: Expectation) -> None:
        table.write(Delete(Key("p", sk), expectation))
        assert table.count("p") == (1 if sk == "absent" else 0)

    @pytest.mark.parametrize(("sk", "expectation"), BROKEN)
    def test_an_expectation_that_does_not_hold(self, table: Table, sk: str, expectation: Expectation) -> None:
        key = Key("p", sk)
        before = list(table.query("p"))
        for change in (Put(item(sk, state="new"), expectation), Delete(key, expectation), Require(key, expectation)):
            for others in ((), (Put(item("before")), Delete(Key("p", "present")))[: 2 if sk == "absent" else 1]):
                with pytest.raises(Conflict) as caught:
                    table.write(*others, change, Put(item("after")))
                assert caught.value.key == key
                assert list(table.query("p")) == before
            with pytest.raises(Conflict):
                table.write(change)
        assert list(table.query("p")) == before

    def test_true_is_not_one(self, table: Table, request: pytest.FixtureRequest) -> None:
        if "moto" in request.node.name:
            pytest.skip("moto compares as Python does")
        with pytest.raises(Conflict):
            table.write(Require(Key("p", "present"), Holds("flag", 1)))
        table.write(Require(Key("p", "present"), Holds("flag", True)))

    def test_a_conflict_names_the_first_key_at_fault(self, table: Table) -> None:
        with pytest.raises(Conflict) as caught:
            table.write(
                Put(item("fine"), Absent()),
                Put(item("gone"), Present()),
                Put(item("present"), Absent()),
            )
        assert caught.value.key == ("p", "gone")


class TestWrite:
    def test_100_changes_are_all_or_nothing(self, table: Table) -> None:
        puts = [Put(item(f"{n:03d}", data=b"x" * 2000), Absent()) for n in range(MAX_CHANGES)]
        table.write(*puts)
        assert table.count("p") == 100
        later = [Put(item(f"{n:03d}", changed=True)) for n in range(MAX_CHANGES - 1)]
        with pytest.raises(Conflict) as caught:
            table.write(*later, Put(item("099"), Absent()))
        assert caught.value.key == ("p", "099")
        assert [found for found in table.query("p") if found.fields] == []

    def test_a_write_without_changes(self, table: Table) -> None:
        table.write()

    def test_too_many_changes(self, table: Table) -> None:
        with pytest.raises(ValueError, match="at most 100"):
            table.write(*(Put(item(str(n))) for n in range(MAX_CHANGES + 1)))
        assert table.count("p") == 0

    def test_one_key_twice(self, table: Table) -> None:
        with pytest.raises(ValueError, match="name the key"):
            table.write(Put(item("a")), Delete(Key("p", "a")))

    @pytest.mark.parametrize("key", [Key("", "s"), Key("p", ""), Key("p" * 2049, "s"), Key("p", "é" * 513)])
    def test_keys_that_cannot_be_stored(self, table: Table, key: Key) -> None:
        with pytest.raises(ValueError, match="is empty or longer"):
            table.write(Put(Item(key, {})))
        assert table.get(key) is None
        assert table.get_many([key, Key("p", "s")]) == [None, None]
        assert list(table.query("p" * 2049)) == []
        assert table.count("p" * 2049) == 0

    def test_the_longest_keys(self, table: Table) -> None:
        long = [Item(Key("p" * 2048, "é" * 512), {"n": 1}), Item(Key("p", "\U0001f600" * 256), {})]
        table.write(*map(Put, long))
        assert table.get_many([found.key for found in long]) == long
        assert list(table.query("p" * 2048, Range("é" * 512, "é" * 512))) == long[:1]

    def test_bounds_longer_than_a_key(self, table: Table) -> None:
        for call in (lambda: table.count("p", Range("", "x" * 1025)), lambda: list(table.query("p", Range("é" * 513)))):
            with pytest.raises(ValueError, match="longer than 1024 bytes"):
                call()

    def test_lone_surrogates(self, table: Table) -> None:
        with pytest.raises(ValueError, match="surrogates"):
            table.write(Put(item("\ud800")))

    def test_items_that_are_too_large(self, table: Table) -> None:
        with pytest.raises(ValueError, match="at most 350000"):
            table.write(Put(item("a", data=b"x" * 350_001)))
        with pytest.raises(ValueError, match="at most 4000000"):
            table.write(*(Put(item(str(n), data=b"x" * 300_000)) for n in range(14)))
        assert table.count("p") == 0


class TestParts:
    """The parts `before` and `after` of a write, and `write_each`."""

    def test_all_parts_take_effect(self, table: Table) -> None:
        fill(table, ["old", "older"])
        many = [Put(item(f"before {n:03d}", data=b"x")) for n in range(130)]
        gone = [Delete(Key("p", "old")), Delete(Key("p", "older")), Delete(Key("p", "no item"))]
        table.write(Put(item("row"), Absent()), before=many, after=gone)
        assert sks(table.query("p")) == [*(f"before {n:03d}" for n in range(130)), "row"]

    def test_a_conflict_applies_neither_the_changes_nor_the_deletions_after_them(self, table: Table) -> None:
        fill(table, ["old", "row"])
        with pytest.raises(Conflict) as caught:
            table.write(
                Put(item("row", changed=True), Absent()),
                Put(item("other")),
                before=[Put(item("posting"))],
                after=[Delete(Key("p", "old"))],
            )
        assert caught.value.key == Key("p", "row")
        assert {"old", "row"} <= set(sks(table.query("p"))) <= {"old", "row", "posting"}
        assert table.get(Key("p", "row")) == item("row", name="row")

    def test_one_change_beside_the_parts(self, table: Table) -> None:
        table.write(Put(item("row")), before=[Delete(Key("p", "x"))])
        assert sks(table.query("p")) == ["row"]

    @pytest.mark.parametrize("plain", [[Put(item("a"), Absent())], [Require(Key("p", "a"), Absent())]])
    def test_an_expectation_in_a_part_is_refused(self, table: Table, plain: list[Any]) -> None:
        with pytest.raises(ValueError, match="expectation"):
            table.write(Put(item("row")), before=plain)
        with pytest.raises(ValueError, match="expectation"):
            table.write_each(plain)

    def test_one_key_in_two_parts_is_refused(self, table: Table) -> None:
        with pytest.raises(ValueError, match="Two changes"):
            table.write(Put(item("row")), before=[Put(item("row"))])
        with pytest.raises(ValueError, match="Two changes"):
            table.write(Put(item("row")), after=[Delete(Key("p", "row"))])

    @pytest.mark.parametrize("durable", [True, False])
    @pytest.mark.parametrize("count", [0, 1, 2, 60])
    def test_write_each(self, table: Table, count: int, durable: bool) -> None:
        fill(table, ["old"])
        puts: list[Put | Delete] = [Put(item(f"{n:03d}", data=b"x")) for n in range(count)]
        table.write_each(chain(puts, [Delete(Key("p", "old"))]), durable=durable)
        assert sks(table.query("p")) == [f"{n:03d}" for n in range(count)]


class TestAllItems:
    def test_every_item_once(self, table: Table) -> None:
        wanted = {Key(f"p{n % 7}", f"{n:04d}") for n in range(60)}
        table.write_each(Put(Item(key, {"n": 1}, b"x" * 50_000)) for key in wanted)
        found = [each.key for each in table.items()]
        assert len(found) == len(wanted)
        assert set(found) == wanted

    def test_it_resumes_after_an_item_that_is_gone(self, table: Table) -> None:
        table.write_each(Put(item(f"{n}", pk=f"p{n}")) for n in range(9))
        found = [each.key for each in table.items()]
        table.write(Delete(found[3]))
        assert [each.key for each in table.items(found[3])] == found[4:]

    def test_an_empty_table(self, table: Table) -> None:
        assert list(table.items()) == []


class TestRaces:
    def test_one_of_16_creators_wins(self, table: Table) -> None:
        def create(n: int) -> bool:
            try:
                table.write(Put(item("s", winner=n), Absent()), Put(item(f"trace/{n:02d}")))
            except Conflict as conflict:
                assert conflict.key in (("p", "s"), None)
                return False
            return True

        won = at_once(16, create)
        assert sum(won) == 1
        winner = won.index(True)
        assert sks(table.query("p")) == ["s", f"trace/{winner:02d}"]
        assert table.get(Key("p", "s")) == item("s", winner=winner)

    def test_one_of_16_equal_creators_wins(self, table: Table) -> None:
        """All write the same item. A writer that lost must not take the item of the winner for its own."""

        def create(_: int) -> bool:
            try:
                table.write(Put(item("s", same=True), Absent()))
            except Conflict:
                return False
            return True

        assert sum(at_once(16, create)) == 1

    def test_optimistic_counting_loses_nothing(self, table: Table) -> None:
        table.write(Put(item("s", n=0)))

        def increase(_: int) -> None:
            while True:
                found = table.get(Key("p", "s"))
                assert found is not None
                n = found.fields["n"]
                try:
                    return table.write(Put(item("s", n=n + 1), Holds("n", n)))
                except Conflict:
                    continue

        at_once(8, increase)
        assert table.get(Key("p", "s")) == item("s", n=8)

    def test_adds_from_16_threads_are_distinct(self, table: Table) -> None:
        values = at_once(16, lambda _: [table.add(Key("p", "s"), "n", 1) for _ in range(10)])
        assert sorted(value for mine in values for value in mine) == list(range(1, 161))
        assert all(mine == sorted(mine) for mine in values)

    def test_writers_beside_conflicts_and_adds(self, table: Table) -> None:
        """A write that is refused does not fail the writes beside it."""
        table.write(Put(item("taken")))

        def work(n: int) -> bool:
            if n % 3 == 0:
                with pytest.raises(Conflict):
                    table.write(Put(item(f"never/{n:02d}")), Put(item("taken"), Absent()))
            elif n % 3 == 1:
                table.write(Put(item(f"done/{n:02d}")))
            else:
                table.add(Key("p", "count"), "n", 1)
            return True

        assert all(at_once(15, work))
        assert sks(table.query("p")) == ["count", *(f"done/{n:02d}" for n in range(1, 15, 3)), "taken"]
        assert table.get(Key("p", "count")) == item("count", n=5)


class TestAdd:
    def test_an_addition_within_a_write(self, table: Table) -> None:
        key = Key("p", "s")
        table.write(Add(key, {"n": 12}), Put(item("other", data=b"d")))
        table.write(Add(key, {"n": -20}))
        table.write(Add(Key("p", "other"), {"m": 1}), Delete(Key("p", "absent")))
        assert list(table.query("p")) == [item("other", data=b"d", m=1), item("s", n=-8)]

    def test_an_addition_of_a_write_that_conflicts_is_not_made(self, table: Table) -> None:
        with pytest.raises(Conflict):
            table.write(Add(Key("p", "s"), {"n": 1}), Put(item("absent"), Present()))
        assert list(table.query("p")) == []

    def test_a_write_that_conflicts_does_not_change_a_counter_that_is_there(self, table: Table) -> None:
        table.add(Key("p", "s"), "n", 5)
        for order in (1, -1):
            changes: list[Change] = [Add(Key("p", "s"), {"n": 1}), Put(item("a")), Put(item("absent"), Present())]
            with pytest.raises(Conflict):
                table.write(*changes[::order])
        assert list(table.query("p")) == [item("s", n=5)]

    def test_an_addition_to_a_key_that_is_written_too(self, table: Table) -> None:
        with pytest.raises(ValueError, match="name the key"):
            table.write(Add(Key("p", "s"), {"n": 1}), Put(item("s")))

    def test_additions_of_16_writers_all_count(self, table: Table) -> None:
        at_once(16, lambda n: table.write(Put(item(f"{n:02d}")), Add(Key("p", "s"), {"n": n})))
        assert table.get(Key("p", "s")) == item("s", n=sum(range(16)))
        assert table.count("p") == 17

    def test_a_missing_counter_starts_at_zero(self, table: Table) -> None:
        key = Key("p", "s")
        assert [table.add(key, "n", 1), table.add(key, "n", 20), table.add(key, "m", 5)] == [1, 21, 5]
        assert table.add(key, "n", -22) == -1
        assert table.get(key) == item("s", n=-1, m=5)

    def test_an_add_changes_no_other_field(self, table: Table) -> None:
        table.write(Put(item("s", name="x", n=2**40, data=b"d")))
        assert table.add(Key("p", "s"), "n", 1) == 2**40 + 1
        assert table.get(Key("p", "s")) == item("s", name="x", n=2**40 + 1, data=b"d")
