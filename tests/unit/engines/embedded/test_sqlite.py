"""What `SqliteTable` promises beyond the port: several processes, kill -9, forks, thread churn, broken files."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.engines.embedded.sqlite import SqliteTable, _put
from app.errors import Conflict, StorageUnavailable
from app.storage.table.ports import Absent, Add, Change, Delete, Holds, Item, Key, Present, Put, Require
from tests.support.open_files import open_files, open_files_below

PREAMBLE = """
import os, sys, threading
from pathlib import Path
from app.engines.embedded.sqlite import SqliteTable
from app.errors import Conflict
from app.storage.table.ports import Absent, Item, Key, Put
table = SqliteTable(Path(sys.argv[1]))
def run(count, call):
    threads = [threading.Thread(target=call, args=(n,)) for n in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""

ADD = """
values = []
run(4, lambda n: values.extend(table.add(Key("p", "s"), "n", 1) for _ in range(50)))
print(*values)
"""

CREATE = """
won = []
def create(n):
    for name in range(40):
        try:
            table.write(Put(Item(Key("p", f"{name:02d}"), {"by": os.getpid()}), Absent()))
            won.append(name)
        except Conflict as conflict:
            assert conflict.key == ("p", f"{name:02d}")
run(4, create)
print(*won)
"""

WRITE_FOREVER = """
def write(n):
    for number in range(10**9):
        name = f"{sys.argv[2]}/{n}/{number:06d}"
        table.write(*(Put(Item(Key(f"part {part}", name), {}, b"x" * 500)) for part in range(20)))
        sys.stdout.write(name + "\\n")
        sys.stdout.flush()
run(4, write)
"""

FORK = """
key = Key("p", "s")
table.add(key, "n", 1)
assert table.get(key).fields == {"n": 1}
stop = threading.Event()
def churn():
    while not stop.is_set():
        table.add(Key("p", "churn"), "n", 1)
        list(table.query("p"))
others = [threading.Thread(target=churn, daemon=True) for _ in range(2)]
for other in others: other.start()
def inherited():
    for descriptor in range(3, 256):
        try:
            yield os.readlink(b"/proc/self/fd/%d" % descriptor)
        except FileNotFoundError:
            pass
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        assert not any(b"index.db" in name for name in inherited()), "a connection crossed the fork"
        for _ in range(25):
            table.add(key, "n", 1)
            assert table.get(key).fields["n"] > 1
        table.write(Put(Item(Key("p", f"child/{os.getpid()}"), {})))
        os._exit(0)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
stop.set()
for other in others: other.join()
assert table.add(key, "n", 1) == 102
assert table.count("p") == 6
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PREAMBLE + script, *arguments], stdout=subprocess.PIPE, text=True)


def outputs(script: str, path: Path, processes: int = 2) -> list[str]:
    """Return what each of several processes prints, all started at once on one file."""
    started = [start(script, str(path)) for _ in range(processes)]
    printed = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0] * processes
    return printed


def test_processes_never_get_the_same_value(tmp_path: Path) -> None:
    values = [int(value) for printed in outputs(ADD, tmp_path / "index.db") for value in printed.split()]
    assert sorted(values) == list(range(1, 401))


def test_only_one_of_two_processes_creates_an_item(tmp_path: Path) -> None:
    won = [int(name) for printed in outputs(CREATE, tmp_path / "index.db") for name in printed.split()]
    assert sorted(won) == list(range(40))


def test_a_killed_process_leaves_only_complete_writes(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    acknowledged: set[str] = set()
    for life in range(3):
        process = start(WRITE_FOREVER, str(path), str(life))
        assert process.stdout is not None
        acknowledged.update(process.stdout.readline().strip() for _ in range(40))
        process.send_signal(signal.SIGKILL)
        acknowledged.update(line.strip() for line in process.stdout if line.endswith("\n"))
        process.wait()
        process.stdout.close()
    table = SqliteTable(path)
    parts = [{item.key.sk for item in table.query(f"part {part}")} for part in range(20)]
    assert all(part == parts[0] for part in parts)
    assert acknowledged <= parts[0]
    assert len(parts[0]) <= len(acknowledged) + 3 * 4  # and at most the writes that were running
    table.close()


def test_a_killed_process_keeps_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    process = start("with table._commits.exclusive():\n print('held', flush=True)\n sys.stdin.read()", str(path))
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.kill()
    process.wait()
    process.stdout.close()
    table = SqliteTable(path)
    table.write(Put(Item(Key("p", "s"), {})))
    table.close()


def test_forks_during_reads_and_writes(tmp_path: Path) -> None:
    outputs(FORK, tmp_path / "index.db", processes=1)


def test_threads_that_end_leave_no_connections(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "index.db")

    def work(n: int) -> None:
        table.write(Put(Item(Key("p", f"{n:03d}"), {})))
        list(table.query("p"))

    work(0)
    before = len(open_files_below(tmp_path))
    assert before > 0
    for n in range(100):
        thread = threading.Thread(target=work, args=(n,))
        thread.start()
        thread.join()
    assert len(open_files_below(tmp_path)) <= before
    table.close()


def test_a_closed_table_opens_again(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "index.db")
    for n in range(3):
        table.write(Put(Item(Key("p", str(n)), {})))
        assert table.count("p") == n + 1
        table.close()


def test_a_reader_sees_what_another_table_wrote(tmp_path: Path) -> None:
    one, other = SqliteTable(tmp_path / "a" / "b" / "index.db"), SqliteTable(tmp_path / "a" / "b" / "index.db")
    for n in range(10):
        one.write(Put(Item(Key("p", "s"), {"n": n})))
        found = other.get(Key("p", "s"))
        assert found is not None
        assert found.fields["n"] == n
    one.close()
    other.close()


def test_a_write_is_synced_and_an_add_is_not(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "index.db")
    for call, level in (
        (lambda: table.write(Put(Item(Key("p", "s"), {}))), 2),
        (lambda: table.add(Key("p", "n"), "n", 1), 1),
        (lambda: table.write(Put(Item(Key("p", "s"), {}))), 2),
    ):
        call()
        connection = table._commits._connection
        assert connection is not None
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    table.close()


def test_a_write_creates_no_temporary_file(tmp_path: Path) -> None:
    """SQLite keeps such a file open until the transaction ends. It needs one for more than 64 KiB of old pages."""
    table = SqliteTable(tmp_path / "index.db")
    table.write(*(Put(Item(Key("p", f"{n:03d}"), {}, b"a" * 3000)) for n in range(50)))
    names: list[str] = []

    def put_again(connection: sqlite3.Connection) -> int:
        _put([("p", f"{n:03d}", b"{}", b"b" * 3000) for n in range(50)], connection)
        names.extend(path.name for path in open_files())
        return 0

    table._commits.run(put_again, durable=True)
    assert "index.db-wal" in names
    assert not [name for name in names if name.startswith("etilqs")]
    table.close()


def test_files_that_are_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    path.write_bytes(b"this is not a database at all" * 1000)
    with pytest.raises(StorageUnavailable):
        SqliteTable(path)
    with pytest.raises(StorageUnavailable):
        SqliteTable(tmp_path)
    with pytest.raises(StorageUnavailable):
        SqliteTable(path / "below" / "a.db")


def test_a_file_that_is_damaged_later(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    table = SqliteTable(path)
    table.write(Put(Item(Key("p", "s"), {})))
    table.close()
    path.write_bytes(b"no longer a database" * 1000)
    for call in (
        lambda: table.get(Key("p", "s")),
        lambda: table.get_many([Key("p", "s")]),
        lambda: list(table.query("p")),
        lambda: table.count("p"),
        lambda: table.write(Put(Item(Key("p", "s"), {}))),
        lambda: table.add(Key("p", "s"), "n", 1),
    ):
        with pytest.raises(StorageUnavailable) as caught:
            call()
        assert caught.value.__cause__ is not None
    table.close()


def test_a_conflict_leaves_the_connection_usable(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "index.db")
    put = Put(Item(Key("p", "s"), {}), Absent())
    table.write(put)
    connection = table._commits._connection
    with pytest.raises(Conflict):
        table.write(put)
    table.write(Put(Item(Key("p", "t"), {})))
    assert table._commits._connection is connection
    table.close()


def test_a_write_sees_what_earlier_writes_of_its_transaction_changed(tmp_path: Path) -> None:
    """The writes wait for one transaction, in this order. A conflict fails its own write only."""
    table = SqliteTable(tmp_path / "index.db")
    key, apart = Key("p", "s"), Key("p", "apart")
    table.write(Put(Item(key, {"n": 0})))
    calls: list[tuple[Change, type[Exception] | None]] = [
        (Put(Item(key, {"n": 1}), Holds("n", 0)), None),
        (Put(Item(key, {"n": 2}), Holds("n", 0)), Conflict),
        (Delete(key, Holds("n", 1)), None),
        (Require(key, Present()), Conflict),
        (Put(Item(key, {"n": 3}), Absent()), None),
        (Put(Item(apart, {}), Absent()), None),
        (Put(Item(key, {"n": 4}), Absent()), Conflict),
        (Add(key, {"n": 5}), None),
        (Require(key, Holds("n", 8)), None),
    ]
    pause = threading.Event()
    with ThreadPoolExecutor(len(calls)) as threads:
        with table._commits.exclusive():
            futures = []
            for count, (change, _) in enumerate(calls, 1):
                futures.append(threads.submit(table.write, change))
                while len(table._commits._waiting) < count:
                    pause.wait(0.001)
        errors = [future.exception() for future in futures]
    assert [error and type(error) for error in errors] == [expected for _, expected in calls]
    assert list(table.query("p")) == [Item(apart, {}), Item(key, {"n": 8})]
    table.close()


def test_adding_to_a_text_field_is_a_type_error(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "index.db")
    table.write(Put(Item(Key("p", "s"), {"n": "text"})))
    with pytest.raises(TypeError):
        table.add(Key("p", "s"), "n", 1)
    assert table.add(Key("p", "s"), "m", 1) == 1
    table.close()


def test_a_write_that_conflicts_leaves_nothing_of_its_other_parts(tmp_path: Path) -> None:
    """`Engine.writes_at_once` says so to the writer of the index."""
    table = SqliteTable(tmp_path / "table.db")
    kept, added = Item(Key("p", "kept"), {}), Item(Key("p", "added"), {})
    table.write(Put(kept))
    with pytest.raises(Conflict):
        table.write(Put(kept, Absent()), before=[Put(added)], after=[Delete(Key("p", "gone"))])
    assert list(table.query("p")) == [kept]
