"""How commands print rows."""

from __future__ import annotations

import re
import sys

import pytest

from app.entry.client_commands.rows import print_json, print_members, print_table, printable

UID = "1.2.392.200103.20080913.113635.0.2009.6.22.21.43.10.22941.1"
COLUMNS = ("PatientName", "StudyDescription", "StudyInstanceUID")


def lines_on_terminal(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(COLUMNS, [["[red]Doe\x1b^Jane", "CT of the chest with a long description, twice " * 2, UID]])
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()


def test_a_wide_terminal_keeps_each_uid_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = lines_on_terminal(140, monkeypatch, capsys)
    assert any(UID in line for line in lines)
    assert "[red]Doe ^Jane" in lines[3]  # neither markup of rich nor a control character
    assert "Description" in lines[1]


def test_a_narrow_terminal_shows_every_character(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = lines_on_terminal(60, monkeypatch, capsys)
    assert max(map(len, lines)) <= 60
    folded = [line[-22:].strip() for line in lines[3:]]
    assert "".join(folded) == UID


def test_elsewhere_rows_are_aligned_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "b"), [["1", "x"], ["1000", "y"]])
    assert capsys.readouterr().out == "a     b\n1     x\n1000  y\n"


def test_no_rows_are_a_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a",), [])
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "Nothing was found.\n")


def test_json_is_an_array(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(iter([]))
    print_json(iter([{"a": 1}, {"a": 2}]))
    assert capsys.readouterr().out == '[]\n[\n{"a":1},\n{"a":2}\n]\n'


def test_members(capsys: pytest.CaptureFixture[str]) -> None:
    print_members({"status": "running", "percentComplete": 40})
    assert capsys.readouterr().out == "status           running\npercentComplete  40\n"


def test_control_characters_are_replaced() -> None:
    assert printable("a\x1b[31m\r\nä\x9b") == "a [31m  ä "
