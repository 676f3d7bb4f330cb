"""The journal of an interrupted store."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.client.store.journal import Journal, JournalFailed, JournalInUse, journal_path


def test_the_next_run_knows_what_is_done(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "journal"
    with Journal(path) as journal:
        assert not journal.has("a")
        journal.add(["a", "b"])
    with Journal(path) as journal:
        assert [journal.has(key) for key in "abc"] == [True, True, False]
        assert journal.found == 2
        journal.remove()
    assert not path.exists()


def test_a_cut_line_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path) as journal:
        journal.add(["a", "b"])
    path.write_bytes(path.read_bytes()[:-5])
    with Journal(path) as journal:
        assert [journal.has(key) for key in "ab"] == [True, False]
        journal.add(["c"])
    with Journal(path) as journal:
        assert [journal.has(key) for key in "abc"] == [True, False, True]


def test_a_new_partition_of_the_same_name_starts_a_new_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", lambda: "2024") as journal:
        journal.add(["a"])
    with Journal(tmp_path / "journal", lambda: "2024") as journal:
        assert journal.has("a")
    with Journal(tmp_path / "journal", lambda: "2025") as journal:
        assert not journal.has("a")
        journal.add(["b"])
    with Journal(tmp_path / "journal", lambda: "2025") as journal:
        assert [journal.has(key) for key in "ab"] == [False, True]


def test_a_cut_mark_starts_a_new_journal(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("# 20")
    with Journal(tmp_path / "journal", lambda: "2025") as journal:
        journal.add(["a"])
    with Journal(tmp_path / "journal", lambda: "2025") as journal:
        assert journal.has("a")


def test_the_journal_names_no_file(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal") as journal:
        journal.add(["/patients/Doe^Jane.dcm"])
    assert b"Doe" not in (tmp_path / "journal").read_bytes()
    assert (tmp_path / "journal").stat().st_mode & 0o077 == 0


def test_an_empty_journal_leaves_no_file(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_runs_at_a_time_are_refused(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal"), pytest.raises(JournalInUse, match="--no-journal"):
        Journal(tmp_path / "journal")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalFailed, match=r"cannot be written: .*--no-journal"):
        Journal(tmp_path / "file" / "journal")


def test_each_server_partition_and_set_of_paths_has_its_journal(tmp_path: Path) -> None:
    paths = {
        journal_path(tmp_path, url, partition, [Path(each) for each in given])
        for url in ("http://a", "http://b")
        for partition in ("p", "q")
        for given in (["x"], ["y"], ["x", "y"])
    }
    assert len(paths) == 12
    assert journal_path(tmp_path, "u", "p", [Path("x"), Path("y")]) == journal_path(
        tmp_path, "u", "p", [Path("y"), Path("x")]
    )
