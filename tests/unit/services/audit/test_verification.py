"""The verification finds every change of an audit trail, and accepts what an unchanged one may have."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from app.entry import cli
from app.services.audit import verification
from app.services.audit.digests import digest_of, seal
from app.services.audit.verification import Verification, verify
from tests.unit.services.audit.trails import mixed_lines

KEY = b"a secret"


def verified(folder: Path, *files: Sequence[bytes], key: bytes | None = None, is_part: bool = False) -> Verification:
    """Write the lines into files, and check them."""
    paths = []
    for number, lines in enumerate(files):
        path = folder / f"audit.log.{number}"
        path.write_bytes(b"".join(lines))
        paths.append(path)
    return verify(paths, key=key, is_part=is_part)


def line_of(line: bytes) -> tuple[str, int]:
    members = json.loads(line)
    return members["process"], members["line"]


@pytest.mark.parametrize("key", [None, KEY])
def test_an_unchanged_trail_has_no_fault(tmp_path: Path, key: bytes | None) -> None:
    found = verified(tmp_path, mixed_lines(key=key), key=key)
    assert (found.lines, found.processes, found.files) == (30, 3, 1)
    assert (found.faults, found.running, found.cut) == ([], {}, [])


def test_the_files_of_a_renamed_trail_may_come_in_any_order(tmp_path: Path) -> None:
    lines = mixed_lines()
    assert verified(tmp_path, lines[20:], lines[7:20], lines[:7]).faults == []
    part = verified(tmp_path, lines[7:20])
    assert {fault.text for fault in part.faults} == {
        f"it is missing before {tmp_path}/audit.log.0:{n}." for n in (1, 3, 5)
    }
    assert verified(tmp_path, lines[7:20], is_part=True).faults == []
    assert verified(tmp_path, lines[:7], lines[20:], is_part=True).faults != []


def test_a_line_beyond_the_limit_of_runs_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "MAX_RUNS", 2)
    lines = mixed_lines(processes=1)
    assert verified(tmp_path, lines[:3], lines[3:]).faults == []
    (fault,) = verified(tmp_path, lines[:3], lines[3:6], lines[6:]).faults
    text = f"{tmp_path}/audit.log.2:1 is not checked: its process has more than 2 runs. Check fewer files."
    assert (fault.line, fault.text) == (7, text)


def test_other_lines_and_text_before_a_line_are_ignored(tmp_path: Path) -> None:
    lines = mixed_lines()
    between = [b'{"event": "request", "level": "info"}\n', b"\n", b"\xff\xfe{\n"]
    prefixed = [b"2026-11-30T02:00:00Z stderr F " + line for line in lines]
    found = verified(tmp_path, [each for line in prefixed for each in (*between, line)])
    assert (found.lines, found.faults, found.cut) == (30, [], [])


def test_a_last_line_that_was_cut_is_no_fault(tmp_path: Path) -> None:
    lines = mixed_lines()
    for length in range(30, len(lines[-1]) - 1, 7):
        found = verified(tmp_path, [*lines[:-1], lines[-1][:length]])
        assert (found.faults, len(found.cut), len(found.running)) == ([], 1, 1), length


def test_a_line_that_was_cut_does_not_hide_the_next_one(tmp_path: Path) -> None:
    first, second = mixed_lines(processes=1), mixed_lines(processes=1)
    found = verified(tmp_path, [*first[:-1], first[-1][:50], *second])
    assert (found.faults, len(found.running), found.processes) == ([], 1, 2)


Alter = Callable[[list[bytes], int], list[bytes]]

CHANGES: dict[str, tuple[Alter, str]] = {
    "missing": (lambda lines, at: [*lines[:at], *lines[at + 1 :]], "it is missing before {file}:{at}."),
    "doubled": (lambda lines, at: [*lines[: at + 1], lines[at], *lines[at + 1 :]], "{file}:{after} has it again."),
    "changed": (
        lambda lines, at: [*lines[:at], lines[at].replace(b"query", b"store"), *lines[at + 1 :]],
        "{file}:{at} was changed, or its digest has a key.",
    ),
    "moved": (
        lambda lines, at: [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]],
        "{file}:{at} is at another place.",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_first_change_is_named(tmp_path: Path, change: str) -> None:
    alter, text = CHANGES[change]
    lines = mixed_lines(processes=1)
    found = verified(tmp_path, alter(lines, 3))
    expected = text.format(file=tmp_path / "audit.log.0", at=4, after=5)
    assert [fault.text for fault in found.faults] == [expected]
    line = 5 if change == "moved" else 4  # of two lines in the wrong order, the later one comes too early
    assert [(fault.process, fault.line) for fault in found.faults] == [(line_of(lines[3])[0], line)]


def forged(line: bytes) -> bytes:
    """Return the line with another address, and the digest of its new bytes."""
    members = json.loads(line)
    del members["digest"]
    members["address"] = "10.9.9.9"
    content = json.dumps(members, separators=(",", ":")).encode()
    return seal(content, digest_of(content, None))


def test_a_line_with_a_digest_of_its_new_bytes_is_found_by_the_next_line(tmp_path: Path) -> None:
    lines = mixed_lines(processes=1)
    (fault,) = verified(tmp_path, [*lines[:3], forged(lines[3]), *lines[4:]]).faults
    assert (fault.line, "does not follow" in fault.text) == (5, True)


def test_a_secret_is_needed_to_make_digests(tmp_path: Path) -> None:
    lines = mixed_lines(processes=1, key=KEY)
    (fault,) = verified(tmp_path, [*lines[:-1], forged(lines[-1])], key=KEY).faults
    assert (fault.line, fault.text.endswith("or its digest has another key.")) == (len(lines), True)
    (fault,) = verified(tmp_path, lines).faults
    assert (fault.line, fault.text.endswith("or its digest has a key.")) == (1, True)
    (fault,) = verified(tmp_path, mixed_lines(processes=1), key=KEY).faults
    assert fault.line == 1


@pytest.mark.parametrize(
    "text",
    [
        b'"process":"\xff","line":1',
        b'"process":"\\u001b[31mred","line":1',
        b'"process":"0123456789abcdef","line":-1',
        b'"process":["0123456789abcdef"],"line":1',
        b'"process":"0123456789abcdef","line":1,"x":' + b"[" * 100_000,
        b'"process":"0123456789abcdef","line":1,"x":' + b"9" * 2_000_000,
    ],
    ids=["bytes", "control", "negative", "list", "deep", "long"],
)
def test_a_line_that_no_process_wrote_is_a_change(tmp_path: Path, text: bytes) -> None:
    lines = mixed_lines(processes=1)
    odd = b'{"eventType":"AuditEvent",' + text + b',"digest":"' + b"0" * 64 + b'"}\n'
    found = verified(tmp_path, [*lines, odd])
    assert found.lines == len(lines)
    assert found.faults or found.cut


def test_a_line_in_another_file_is_found(tmp_path: Path) -> None:
    lines = mixed_lines(processes=1)
    (fault,) = verified(tmp_path, [*lines[:3], *lines[4:]], [lines[3]]).faults
    assert fault.text.endswith("is at another place.")


def test_a_removed_stop_is_said(tmp_path: Path) -> None:
    lines = mixed_lines(processes=1)
    found = verified(tmp_path, lines[:-2])
    assert found.faults == []
    assert {str(place) for place in found.running.values()} == {f"{tmp_path}/audit.log.0:{len(lines) - 2}"}


@settings(max_examples=60)
@given(data=st.data(), key=st.sampled_from([None, KEY]))
def test_every_change_of_a_line_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, key: bytes | None
) -> None:
    lines = mixed_lines(key=key)
    at = data.draw(st.integers(0, len(lines) - 4))  # the last three are the ends of their processes
    kind = data.draw(st.sampled_from(["remove", "double", "byte", "swap"]))
    if kind == "remove":
        del lines[at]
    elif kind == "double":
        lines.insert(data.draw(st.integers(0, len(lines))), lines[at])
    elif kind == "byte":
        line = bytearray(lines[at])
        place = data.draw(st.integers(len(b'{"eventType":"AuditEvent"'), len(line) - 2))
        line[place] ^= data.draw(st.integers(1, 255))
        lines[at] = bytes(line)
    else:
        same = [n for n, line in enumerate(lines) if line_of(line)[0] == line_of(lines[at])[0] and n != at]
        other = data.draw(st.sampled_from(same))
        lines[at], lines[other] = lines[other], lines[at]
    split = data.draw(st.integers(0, len(lines)))
    folder = tmp_path_factory.mktemp("trail")
    assert verified(folder, lines[:split], lines[split:], key=key).faults


# --- the command ---


def bulkhead(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, ["audit", "verify", *arguments])


def test_the_command_says_what_it_checked_and_ends_with_1_after_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    lines = mixed_lines()
    path.write_bytes(b"".join(lines))
    result = bulkhead(str(path), str(path))
    assert result.exit_code == 0
    assert result.stdout == "30 audit lines of 3 processes in 1 files: none is missing or changed.\n"
    path.write_bytes(b"".join(lines[:5] + lines[6:-1] + [lines[-1][:40]]))
    result = bulkhead(str(path))
    process, line = line_of(lines[5])
    following = next(n for n, each in enumerate(lines[6:], start=6) if line_of(each) == (process, line + 1))
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"process {process}, line {line}: it is missing before {path}:{following}.",
        f"process {line_of(lines[-1])[0]}: the line stop is not there. {path}:26 is its last line.",
        f"{path}:29 ends in the middle.",
        "28 audit lines of 3 processes in 1 files: 1 faults.",
    ]


def test_a_file_without_audit_lines_ends_with_1_and_a_missing_file_with_2(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b"{}\n")
    result = bulkhead(str(path))
    assert (result.exit_code, result.stdout) == (1, "There are no audit lines in 1 files.\n")
    assert bulkhead(str(tmp_path / "other.log")).exit_code == 2
    assert bulkhead(str(path), "--key-file", str(tmp_path / "none")).exit_code == 2


def test_the_command_reads_the_secret_from_a_file(tmp_path: Path) -> None:
    path, secret = tmp_path / "audit.log", tmp_path / "secret"
    path.write_bytes(b"".join(mixed_lines(key=KEY)))
    secret.write_bytes(KEY + b"\n")
    assert bulkhead(str(path)).exit_code == 1
    assert bulkhead(str(path), "--key-file", str(secret)).exit_code == 0
