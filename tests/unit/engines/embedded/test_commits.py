"""Group commit: which writers share a transaction, and what happens when a leader fails or a writer is interrupted."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from app.engines.embedded import commits as module
from app.engines.embedded import connections
from app.engines.embedded.commits import GroupCommit
from app.errors import Conflict, StorageUnavailable
from app.storage.table.deadline import Deadline, DeadlinePassed, within
from tests.support.waiting import wait_until


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that reaches SQLite."""
    seen: list[str] = []
    connect = connections.connect

    def traced(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.set_trace_callback(seen.append)
        return connection

    monkeypatch.setattr(module, "connect", traced)
    return seen


@pytest.fixture
def commits(tmp_path: Path) -> GroupCommit:
    made = sqlite3.connect(tmp_path / "file.db")
    made.execute("CREATE TABLE number (n INTEGER UNIQUE)")
    made.close()
    return GroupCommit(tmp_path / "file.db", tmp_path / "file.lock")


def insert(n: int) -> Callable[[sqlite3.Connection], int]:
    def operation(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO number VALUES (?)", (n,))
        return n * n

    return operation


def refuse(_: sqlite3.Connection) -> int:
    raise Conflict(("p", "s"))


def numbers(commits: GroupCommit) -> list[int]:
    connection = sqlite3.connect(commits._path)
    found = [n for (n,) in connection.execute("SELECT n FROM number ORDER BY n")]
    connection.close()
    return found


def held_back(commits: GroupCommit, *operations: Callable[[sqlite3.Connection], int]) -> list[Future[int]]:
    """Start each operation in a thread. None runs before all of them wait."""
    threads = ThreadPoolExecutor(len(operations))
    with commits.exclusive():
        futures = []
        for count, operation in enumerate(operations, 1):
            futures.append(threads.submit(commits.run, operation, durable=True))
            wait_until(lambda wanted=count: len(commits._waiting) == wanted)  # type: ignore[misc]
    threads.shutdown()
    return futures


def test_waiting_writers_share_one_transaction(commits: GroupCommit, statements: list[str]) -> None:
    futures = held_back(commits, *(insert(n) for n in range(8)))
    assert [future.result() for future in futures] == [n * n for n in range(8)]
    assert statements.count("COMMIT") == 1
    assert numbers(commits) == list(range(8))


def test_a_refused_operation_fails_only_its_own_writer(commits: GroupCommit, statements: list[str]) -> None:
    futures = held_back(commits, insert(1), refuse, insert(2))
    assert [type(future.exception()) for future in futures] == [type(None), Conflict, type(None)]
    assert statements.count("COMMIT") == 1
    assert numbers(commits) == [1, 2]


def test_an_error_of_the_transaction_fails_all_its_writers(commits: GroupCommit) -> None:
    futures = held_back(commits, insert(1), insert(1), insert(2))
    assert [type(future.exception()) for future in futures] == [
        sqlite3.IntegrityError,  # the leader gets the cause
        StorageUnavailable,
        StorageUnavailable,
    ]
    assert numbers(commits) == []
    assert commits.run(insert(3), durable=True) == 9
    assert numbers(commits) == [3]


def test_a_file_that_cannot_be_opened_fails_the_current_writers(
    commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    with monkeypatch.context() as broken:
        broken.setattr(module, "connect", fail)
        futures = held_back(commits, insert(1), insert(2))
        assert {type(future.exception()) for future in futures} == {sqlite3.OperationalError, StorageUnavailable}
    assert commits.run(insert(3), durable=True) == 9


def test_a_lock_that_cannot_be_taken_fails_one_writer_at_a_time(
    commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no locks available")

    with monkeypatch.context() as broken:
        broken.setattr("app.engines.embedded.commits.fcntl.flock", fail)
        for _ in range(2):
            with pytest.raises(OSError, match="no locks"):
                commits.run(insert(1), durable=True)
    assert commits.run(insert(1), durable=True) == 1


def test_the_other_writers_do_not_wait_for_an_interrupted_one(commits: GroupCommit) -> None:
    """After Ctrl-C in the main thread the other writers continue, and the interrupted write does not happen."""
    threads = ThreadPoolExecutor(2)
    main = threading.get_ident()
    interrupted: list[int] = []

    def once(number: int, _: object) -> None:
        interrupted.append(number)
        if len(interrupted) == 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, once)
    with commits.exclusive():
        leader = threads.submit(commits.run, insert(1), durable=True)
        wait_until(lambda: len(commits._waiting) == 1)

        def interrupt() -> None:
            wait_until(lambda: len(commits._waiting) == 2)
            while not interrupted:  # a signal just before the wait begins does not end it
                signal.pthread_kill(main, signal.SIGINT)
                time.sleep(0.05)

        interrupter = threads.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            commits.run(insert(2), durable=True)
        interrupter.result()
    signal.signal(signal.SIGINT, before)
    assert leader.result() == 1
    assert commits.run(insert(3), durable=True) == 9
    assert numbers(commits) == [1, 3]
    threads.shutdown()


def test_a_batch_is_durable_if_one_of_its_writes_must_be(commits: GroupCommit, statements: list[str]) -> None:
    for durable in (False, False, True, True, False):
        commits.run(lambda _: 0, durable=durable)
    pragmas = [statement for statement in statements if "synchronous" in statement]
    assert pragmas == ["PRAGMA synchronous = NORMAL", "PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"]


def test_a_large_log_is_truncated_when_there_is_no_reader(
    commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 100_000
    monkeypatch.setattr(module, "LARGEST_LOG", limit)
    monkeypatch.setattr(module, "_TRUNCATION_MILLISECONDS", 1)
    commits.restart()
    log = commits._path.with_name("file.db-wal")
    reader = connections.connect(commits._path)
    reader.execute("PRAGMA journal_mode = WAL")
    reader.execute("BEGIN")
    reader.execute("SELECT n FROM number").fetchall()
    for n in range(100):
        commits.run(insert(n), durable=False)
    assert log.stat().st_size > 2 * limit
    reader.execute("END")
    for n in range(100, 200):
        commits.run(insert(n), durable=False)
        if log.stat().st_size <= limit:
            break
    assert log.stat().st_size <= limit
    assert numbers(commits) == list(range(n + 1))
    reader.close()


# --- deadlines --------------------------------------------------------------------------------------------------------


def within_deadline(commits: GroupCommit, operation: Callable[[sqlite3.Connection], int], deadline: Deadline) -> int:
    with within(deadline):
        return commits.run(operation, durable=True)


def test_a_writer_waits_no_longer_than_its_request_may(commits: GroupCommit) -> None:
    with ThreadPoolExecutor(2) as threads:
        with commits.exclusive():
            leader = threads.submit(commits.run, insert(1), durable=True)
            wait_until(lambda: len(commits._waiting) == 1)
            late = threads.submit(within_deadline, commits, insert(2), Deadline(0))
            with pytest.raises(DeadlinePassed):
                late.result(60)
            follower = threads.submit(commits.run, insert(3), durable=True)
            wait_until(lambda: len(commits._waiting) == 2)
        assert (leader.result(), follower.result()) == (1, 9)
    assert numbers(commits) == [1, 3]


def test_the_wait_for_another_program_ends_with_the_time_of_the_request(
    commits: GroupCommit, statements: list[str]
) -> None:
    assert commits.run(insert(1), durable=True) == 1
    with closing(sqlite3.connect(commits._path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            within_deadline(commits, insert(2), Deadline(0))
        other.execute("ROLLBACK")
    assert [each for each in statements if "busy_timeout" in each] == ["PRAGMA busy_timeout = 0"]
    statements.clear()
    assert within_deadline(commits, insert(2), Deadline(0)) == 4, "what succeeds at once needs no time"
    limits = [each for each in statements if "busy_timeout" in each]
    assert limits == ["PRAGMA busy_timeout = 0", "PRAGMA busy_timeout = 30000"]
    assert numbers(commits) == [1, 2]


def test_a_read_waits_no_longer_than_its_request_may(commits: GroupCommit) -> None:
    reads = connections.ReadConnections(commits._path)
    with within(Deadline(20, lambda: 0)):
        assert reads.rows("PRAGMA busy_timeout", ()) == [(20_000,)]
    assert reads.rows("PRAGMA busy_timeout", ()) == [(1000 * connections.BUSY_SECONDS,)]
    reads.pause()


def test_the_log_is_extended_and_the_file_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COMMITS_BEFORE_EXTENSION", 3)
    path = tmp_path / "file.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("CREATE TABLE number (n INTEGER UNIQUE)")
    commits = GroupCommit(path, tmp_path / "file.lock")
    log = tmp_path / "file.db-wal"
    sizes = []
    for n in range(6):
        commits.run(insert(n), durable=True)
        sizes.append(log.stat().st_size)
    assert sizes[1] < module._EXTENDED_LOG
    assert sizes[2:] == [module._EXTENDED_LOG] * 4
    copy = tmp_path / "copy"  # what a power loss leaves: the file and its log, without the memory that processes share
    copy.mkdir()
    for name in ("file.db", "file.db-wal"):
        (copy / name).write_bytes((tmp_path / name).read_bytes())
    with closing(sqlite3.connect(copy / "file.db")) as found:
        assert [n for (n,) in found.execute("SELECT n FROM number ORDER BY n")] == list(range(6))
        assert found.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    commits.pause()
