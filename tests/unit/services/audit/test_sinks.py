"""The audit file: several processes append to it, it is renamed by size, and no line is lost."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest

from app.bootstrap.audit import build_audit
from app.errors import AuditUnavailable, ConfigurationError
from app.services.audit.call import AuditedCall
from app.services.audit.sinks import AuditFile, write_to_standard_error
from app.services.audit.trail import AuditTrail
from app.services.audit.verification import verify
from app.settings import Settings
from tests.unit.services.audit.trails import write_lines

LIMIT = 4000


def test_a_full_file_is_renamed_and_no_line_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    write_lines(AuditFile(path, LIMIT).append, calls=20)
    files = sorted(tmp_path.iterdir())
    assert files[0] == path
    assert len(files) > 5
    assert all(LIMIT <= file.stat().st_size < LIMIT + 1000 for file in files[1:])
    found = verify(files)
    assert (found.lines, found.faults, found.running) == (3 * 42, [], {})


def _append_calls(path: Path) -> None:
    write_lines(AuditFile(path, LIMIT).append, processes=1, calls=60)


def test_processes_that_write_at_once_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    processes = [multiprocessing.get_context("fork").Process(target=_append_calls, args=(path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = verify(tmp_path.iterdir())
    assert (found.lines, found.processes, found.faults, found.cut) == (4 * 122, 4, [], [])
    assert found.files > 10


def test_a_file_that_another_program_renamed_or_deleted_is_made_again(tmp_path: Path) -> None:
    path, kept = tmp_path / "audit.log", tmp_path / "audit.log.1"
    file = AuditFile(path, 0)
    file.append(b"a\n")
    path.rename(kept)
    file.append(b"b\n")
    path.unlink()
    file.append(b"c\n")
    assert (kept.read_bytes(), path.read_bytes()) == (b"a\n", b"c\n")


def test_the_first_line_after_one_that_was_cut_begins_a_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b'{"eventType":"AuditEvent","ti')
    file = AuditFile(path, 0)
    file.append(b"a\n")
    file.append(b"b\n")
    assert path.read_bytes() == b'{"eventType":"AuditEvent","ti\na\nb\n'


def test_a_line_that_a_full_disk_cut_is_written_again_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.log"
    trail = AuditTrail(AuditFile(path, 0).append)
    call = AuditedCall(event="query")
    trail.executing(call)
    write = os.write

    def fill_the_disk(descriptor: int, data: bytes) -> int:
        if len(data) < 300:  # the rest of a line
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:100])

    with monkeypatch.context() as full:
        full.setattr("app.services.audit.sinks.os.write", fill_the_disk)
        with pytest.raises(AuditUnavailable):
            trail.executed(call, 200)
    trail.executed(call, 200)
    trail.stop()
    found = verify([path])
    assert (found.lines, found.faults, len(found.cut)) == (4, [], 1)


def _append_for_ever(path: Path) -> None:
    trail = AuditTrail(AuditFile(path, 20_000).append)
    while True:
        trail.executing(AuditedCall(event="query"))


def test_a_kill_9_loses_no_line_that_was_written(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    process = multiprocessing.get_context("fork").Process(target=_append_for_ever, args=(path,))
    process.start()
    while not list(tmp_path.glob("audit.log.*")):
        time.sleep(0.01)
    process.kill()
    process.join()
    found = verify(tmp_path.iterdir())
    assert (found.faults, found.cut) == ([], [])
    assert found.lines > 20


def test_a_process_that_was_forked_begins_its_own_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    trail = AuditTrail(AuditFile(path, 0).append)
    trail.start()
    child = multiprocessing.get_context("fork").Process(target=trail.executing, args=(AuditedCall(event="query"),))
    child.start()
    child.join()
    trail.executing(AuditedCall(event="query"))
    found = verify([path])
    assert (found.lines, found.processes, found.faults) == (4, 2, [])


def test_only_the_owner_and_its_group_read_the_file(tmp_path: Path) -> None:
    AuditFile(tmp_path / "audit.log", 0)
    assert (tmp_path / "audit.log").stat().st_mode & 0o137 == 0


def test_standard_error_gets_the_lines(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    build_audit(Settings()).executing(AuditedCall(event="query"))
    (tmp_path / "captured").write_text("log line\n" + capfd.readouterr().err + "log line\n")
    assert verify([tmp_path / "captured"]).lines == 2


def test_a_standard_error_that_does_not_block_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    lines = [b"%06d" % number + b"x" * 1000 + b"\n" for number in range(300)]
    read: list[bytes] = []

    def read_all() -> None:
        while chunk := os.read(reader, 4096):
            read.append(chunk)

    thread = threading.Thread(target=read_all)
    with open(writer, "w") as standard_error:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr("app.services.audit.sinks.sys.__stderr__", standard_error)
        threading.Timer(0.05, thread.start).start()  # the pipe is full by then
        for line in lines:
            write_to_standard_error(line)
    thread.join()
    os.close(reader)
    assert b"".join(read) == b"".join(lines)


def test_a_standard_error_without_a_reader_refuses_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as standard_error:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr("app.services.audit.sinks.sys.__stderr__", standard_error)
        with pytest.raises(AuditUnavailable):
            write_to_standard_error(b"a\n")


def test_off_writes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    trail = build_audit(Settings(audit="off"))
    trail.start()
    trail.executing(AuditedCall(event="query"))
    trail.stop()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["no folder/audit.log", "."])
def test_a_path_that_cannot_be_written_stops_the_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"BULKHEAD_AUDIT=.*: The file cannot be written"):
        build_audit(Settings(audit=str(tmp_path / name)))


def test_a_secret_that_cannot_be_read_or_is_empty_stops_the_start(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    with pytest.raises(ConfigurationError, match=r"BULKHEAD_AUDIT_KEY_FILE=.*cannot be read"):
        build_audit(Settings(audit_key_file=secret))
    secret.write_bytes(b" \n")
    with pytest.raises(ConfigurationError, match="is empty"):
        build_audit(Settings(audit_key_file=secret))
