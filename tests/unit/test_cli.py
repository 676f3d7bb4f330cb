"""The command: its output and its exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app import bootstrap
from app.entry import cli
from app.errors import DataPartitionsFeatureCannotBeDisabledException, StorageUnavailable
from app.settings import settings_table


def bulkhead(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(cli.main, arguments, env=environment)


def refuse(error: Exception) -> object:
    def refusing(*_: object) -> None:
        raise error

    return refusing


@pytest.mark.parametrize("command", ["serve", "worker", "init", "settings"])
def test_every_fault_of_the_settings_is_named_with_exit_code_2(command: str) -> None:
    result = bulkhead(command, BULKHEAD_PORT="x", BULKHEAD_ENGINE="floppy")
    assert result.exit_code == 2
    assert "BULKHEAD_PORT='x'" in result.stderr
    assert "BULKHEAD_ENGINE='floppy'" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("engine", ["embedded", "aws"])
def test_serve_refuses_before_any_process_starts(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    monkeypatch.setattr(bootstrap, "build_engine", lambda _: None)
    monkeypatch.setattr(bootstrap, "build_services", refuse(DataPartitionsFeatureCannotBeDisabledException()))
    monkeypatch.setattr(cli, "Supervisor", refuse(AssertionError("a process was started")))
    monkeypatch.setattr(cli, "Server", refuse(AssertionError("a process was started")))
    result = bulkhead("serve", BULKHEAD_ENGINE=engine, BULKHEAD_TABLE="t", BULKHEAD_BUCKET="b")
    assert result.exit_code == 2
    assert "DataPartitionsFeatureCannotBeDisabledException" in result.stderr


@pytest.mark.parametrize("engine", ["embedded", "aws"])
def test_serve_refuses_to_serve_everyone_beyond_this_machine(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    monkeypatch.setattr(bootstrap, "build_engine", refuse(AssertionError("the archive was opened")))
    settings = {"BULKHEAD_ENGINE": engine, "BULKHEAD_TABLE": "t", "BULKHEAD_BUCKET": "b", "BULKHEAD_HOST": "0.0.0.0"}
    result = bulkhead("serve", **settings)
    assert result.exit_code == 2
    assert "BULKHEAD_AUTH=none with BULKHEAD_HOST=0.0.0.0: " in result.stderr
    assert "BULKHEAD_ALLOW_ANONYMOUS=true" in result.stderr


def test_a_missing_table_ends_with_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    error = StorageUnavailable()
    error.__cause__ = NotADirectoryError("/srv is no folder")
    monkeypatch.setattr(bootstrap, "initialise", refuse(error))
    result = bulkhead("init")
    assert result.exit_code == 1
    assert "The data store operation failed. NotADirectoryError: /srv is no folder" in result.stderr


def test_the_operator_sees_the_cause_of_a_failure(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"not a database" * 1000)
    result = bulkhead("serve", BULKHEAD_DATA_DIR=str(tmp_path))
    assert result.exit_code == 1
    assert "The data store operation failed. DatabaseError: file is not a database" in result.stderr


def test_init_creates_the_data_folder_and_may_be_repeated(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    for _ in range(2):
        result = bulkhead("init", BULKHEAD_DATA_DIR=str(folder))
        assert result.exit_code == 0, result.output
        assert folder.is_dir()
    assert str(folder) in result.stdout


def test_settings_prints_the_current_values() -> None:
    result = bulkhead("settings", BULKHEAD_PORT="9000")
    assert "| `BULKHEAD_PORT` | `9000` |" in result.stdout
    assert len(result.stdout.splitlines()) == len(settings_table().splitlines())


@pytest.mark.parametrize("command", ["serve", "worker", "init", "settings"])
def test_the_help_names_and_explains_each_command(command: str) -> None:
    assert command in bulkhead("--help").stdout
    assert len(bulkhead(command, "--help").stdout.splitlines()) > 5
