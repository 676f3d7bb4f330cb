"""Archives of older, of the same and of newer layouts, on both engines."""

from __future__ import annotations

import threading
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from app import bootstrap
from app.engines.embedded.sqlite import SqliteTable
from app.entry import cli
from app.errors import ConfigurationError, StorageUnavailable
from app.settings import Settings
from app.storage.table import keys, layout
from app.storage.table.layout import CURRENT, FIRST, NewerLayout, open_table
from app.storage.table.ports import Delete, Item, Key, Put, Table

NOTE = Key("note", "note")


def stored(table: Table) -> int | None:
    item = table.get(keys.LAYOUT)
    return int(item.fields["version"]) if item else None


def set_layout(table: Table, version: int) -> None:
    table.write(Put(Item(keys.LAYOUT, {"version": version})))


def file_of(folder: Path) -> Path:
    return folder / "bulkhead.json"


class TestTable:
    @pytest.fixture
    def table(self, engine: bootstrap.Engine) -> Table:
        """The table of an archive that was just made."""
        return engine.table

    def test_a_new_archive_has_the_current_layout(self, table: Table) -> None:
        assert stored(table) == CURRENT

    def test_an_archive_of_release_0_1_0_opens_and_gets_a_version(self, settings: Settings, table: Table) -> None:
        table.write(Delete(keys.LAYOUT))
        bootstrap.build_services(settings, bootstrap.build_engine(settings))
        assert stored(table) == CURRENT

    def test_a_newer_archive_is_refused_and_not_written(self, settings: Settings, table: Table) -> None:
        set_layout(table, CURRENT + 7)
        with pytest.raises(ConfigurationError, match=rf"layout {CURRENT + 7}.* up to {CURRENT}\."):
            bootstrap.build_services(settings, bootstrap.build_engine(settings))
        with pytest.raises(NewerLayout):
            bootstrap.initialise(settings)
        assert stored(table) == CURRENT + 7

    def test_each_migration_runs_once_and_in_order(self, table: Table) -> None:
        ran: list[int] = []
        steps = {version: lambda _, version=version: ran.append(version) for version in (CURRENT, CURRENT + 2)}
        for _ in range(2):
            open_table(table, steps, CURRENT + 3)
        assert ran == [CURRENT, CURRENT + 2]
        assert stored(table) == CURRENT + 3

    def test_a_migration_rewrites_items(self, table: Table) -> None:
        table.write(Put(Item(NOTE, {"old": "a"})), Delete(keys.LAYOUT))

        def rename(old: Table) -> None:
            item = old.get(NOTE)
            if item and "old" in item.fields:
                old.write(Put(Item(NOTE, {"new": item.fields["old"]})))

        open_table(table, {FIRST: rename})
        assert table.get(NOTE) == Item(NOTE, {"new": "a"})

    def test_a_migration_that_dies_runs_again_at_the_next_start(self, table: Table) -> None:
        table.write(Delete(keys.LAYOUT))

        def die(_: Table) -> None:
            raise StorageUnavailable

        with pytest.raises(StorageUnavailable):
            open_table(table, {FIRST: die})
        assert stored(table) == FIRST
        ran: list[str] = []
        open_table(table, {FIRST: lambda _: ran.append("again")})
        assert ran == ["again"]
        assert stored(table) == CURRENT


@pytest.mark.parametrize("old", [False, True], ids=["new archive", "archive of release 0.1.0"])
def test_processes_that_open_an_archive_together(tmp_path: Path, old: bool) -> None:
    path = tmp_path / "index.sqlite"
    if old:
        SqliteTable(path).write(Put(Item(keys.partition("clinic"), {"key": 1, "name": "clinic", "created": ""})))
    start, failures = threading.Barrier(4), []

    def step(table: Table) -> None:
        table.write(Put(Item(NOTE, {"rewritten": True})))

    def open_together() -> None:
        table = SqliteTable(path)
        start.wait()
        try:
            open_table(table, {FIRST: step})
        except Exception as error:  # noqa: BLE001 - the test reports it
            failures.append(error)

    threads = [threading.Thread(target=open_together) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert stored(SqliteTable(path)) == CURRENT
    assert (SqliteTable(path).get(NOTE) is not None) == old


class TestDataFolder:
    def test_it_names_the_layout(self, tmp_path: Path) -> None:
        bootstrap.initialise(Settings(data_dir=tmp_path))
        assert orjson.loads(file_of(tmp_path).read_bytes()) == {"layout": CURRENT}
        assert [path.name for path in tmp_path.glob("*.tmp")] == []

    def test_a_newer_one_is_refused_before_its_table_is_opened(self, tmp_path: Path) -> None:
        file_of(tmp_path).write_bytes(b'{"layout": 9, "more": true}')
        (tmp_path / "index.sqlite").write_bytes(b"a form that this release does not know" * 1000)
        with pytest.raises(NewerLayout, match="layout 9"):
            bootstrap.build_engine(Settings(data_dir=tmp_path))

    def test_a_damaged_file_is_a_failure_of_the_store(self, tmp_path: Path) -> None:
        bootstrap.initialise(Settings(data_dir=tmp_path))
        file_of(tmp_path).write_bytes(b"{")
        with pytest.raises(StorageUnavailable):
            bootstrap.build_engine(Settings(data_dir=tmp_path))
        result = CliRunner().invoke(cli.main, ["verify"], env={"BULKHEAD_DATA_DIR": str(tmp_path)})
        assert f"{file_of(tmp_path)} is damaged. Remove it" in result.stderr
        file_of(tmp_path).unlink()
        bootstrap.initialise(Settings(data_dir=tmp_path))
        assert orjson.loads(file_of(tmp_path).read_bytes()) == {"layout": CURRENT}

    @pytest.mark.parametrize("command", ["serve", "worker", "init"])
    def test_every_command_refuses_a_newer_archive_with_exit_code_2(self, tmp_path: Path, command: str) -> None:
        bootstrap.initialise(Settings(data_dir=tmp_path))
        set_layout(SqliteTable(tmp_path / "index.sqlite"), CURRENT + 1)
        result = CliRunner().invoke(cli.main, [command], env={"BULKHEAD_DATA_DIR": str(tmp_path)})
        assert result.exit_code == 2
        assert f"layout {CURRENT + 1}" in result.stderr
        assert f"up to {CURRENT}." in result.stderr
        assert "Run the release that wrote the data, or a newer one." in result.stderr


def test_the_message_names_both_layouts() -> None:
    assert "layout 5" in str(NewerLayout(5, 4))
    assert "up to 4" in str(NewerLayout(5, 4))
    layout.check(4, 4)
