"""`bulkhead doctor`: each check finds its fault, and nothing is changed."""

from __future__ import annotations

import json
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner, Result

from app import bootstrap
from app.engines.aws import inspection as aws_inspection
from app.engines.embedded import files
from app.entry import cli
from app.entry.doctor import command, folders, installation
from app.entry.doctor.findings import FAULT, OK, WARNING, Check, Finding, findings_of
from app.services.backlog import Waiting
from app.settings import Settings
from app.storage.table import keys
from app.storage.table.codec import encode
from app.storage.table.layout import CURRENT, Layout
from app.storage.table.ports import Item, Put

Doctor = Callable[..., list[Finding]]


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(cli.main, ["doctor", *arguments], env=environment)


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Return a function that runs the command on a data folder and returns its findings.

    The machine has a disk with enough space, and as much time as it needs. A test may replace that.
    """
    monkeypatch.setattr(command, "findings_of", partial(findings_of, seconds=60.0))
    monkeypatch.setattr(folders, "file_system_of", lambda _: "ext4")
    monkeypatch.setattr(folders, "_LITTLE_SPACE", 0)

    def findings(**environment: str) -> list[Finding]:
        given = {"BULKHEAD_DATA_DIR": str(tmp_path / "data"), "BULKHEAD_PORT": "0", **environment}
        result = run("--json", **given)
        found = [Finding(**each) for each in json.loads(result.stdout)]
        assert result.exit_code == (1 if any(each.status == FAULT for each in found) else 0)
        return found

    return findings


def one(found: list[Finding], check: str) -> Finding:
    """Return the only finding of a check."""
    (finding,) = [each for each in found if each.check == check]
    return finding


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make_archive(folder: Path) -> None:
    """Create an archive, and close its files as a service does when it stops."""
    settings = Settings(data_dir=folder)
    engine = bootstrap.build_engine(settings)
    bootstrap.build_services(settings, engine)
    engine.table.close()  # type: ignore[attr-defined]  # the table is that of the embedded engine


def test_a_new_machine_has_no_faults_and_nothing_is_created(doctor: Doctor, tmp_path: Path) -> None:
    found = doctor()
    assert {each.status for each in found} == {OK}
    assert list(tmp_path.iterdir()) == []


def test_an_archive_is_read_and_not_changed(doctor: Doctor, tmp_path: Path) -> None:
    make_archive(tmp_path / "data")
    before = content(tmp_path)
    found = doctor()
    assert f"layout {CURRENT}, that of this release" in one(found, "layout").text
    assert one(found, "worker").text == "No work is late."
    assert content(tmp_path) == before


def test_lines_for_people() -> None:
    result = run(BULKHEAD_PORT="x", BULKHEAD_ENGNE="aws")
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[0].startswith("fault    settings  BULKHEAD_ENGNE: There is no such setting. Did you mean")
    assert lines[1].startswith("fault    settings  BULKHEAD_PORT='x'")
    assert lines[1].endswith(". Correct the variable. `bulkhead settings` explains each.")
    assert any(line.startswith("ok       version") for line in lines)
    assert "2 faults" in lines[-1]


# --- the machine ----------------------------------------------------------------------------------------------------


def test_packages_that_do_not_fit(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: ["click<1", "nothing-of-this-name>=2", "x; extra == 'dev'"])
    texts = [each.text for each in doctor() if each.check == "packages"]
    assert texts[0].endswith("and Bulkhead needs <1.")
    assert texts[1:] == ["nothing-of-this-name is not installed."]


def test_an_extra_that_is_not_installed_is_no_fault(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "_EXTRAS", {"dimse": ("no_such_package.part", "`bulkhead listen`")})
    found = one(doctor(), "extras")
    assert found.status == OK
    assert "pip install 'bulkhead[dimse]'" in found.text


def test_too_few_open_files(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    assert one(doctor(), "open files").status == WARNING


# --- the data folder ------------------------------------------------------------------------------------------------


def test_a_data_folder_below_a_file(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert one(doctor(BULKHEAD_DATA_DIR=str(tmp_path / "file/data")), "data folder").status == FAULT


def test_a_data_folder_of_another_user(doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = one(doctor(), "data folder")
    assert found.status == FAULT
    assert "cannot be written by user id" in found.text


def test_an_index_of_another_user(doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_archive(tmp_path / "data")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("sqlite") and access(path, mode))
    assert "index.sqlite cannot be written" in one(doctor(), "data folder").text


@pytest.mark.parametrize(("reserved", "little", "status"), [(2**62, 0, FAULT), (0, 2**62, WARNING), (0, 0, OK)])
def test_free_space(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, reserved: int, little: int, status: str) -> None:
    monkeypatch.setattr(files, "RESERVED_BYTES", reserved)
    monkeypatch.setattr(folders, "_LITTLE_SPACE", little)
    assert one(doctor(), "free space").status == status


@pytest.mark.parametrize(("kind", "status"), [("nfs4", WARNING), ("tmpfs", WARNING), ("xfs", OK)])
def test_file_systems(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, kind: str, status: str) -> None:
    monkeypatch.setattr(folders, "file_system_of", lambda _: kind)
    assert one(doctor(), "file system").status == status


def test_the_nearest_and_last_mount_decides(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    place = str(tmp_path).replace(" ", "\\040")
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nserver:/b {place} nfs4 rw 0 0\ntmp {place} tmpfs rw 0 0\nbroken\n")
    assert folders.file_system_of(tmp_path / "data", mounts) == "tmpfs"
    assert folders.file_system_of(Path("/"), mounts) == "ext4"
    assert folders.file_system_of(tmp_path, tmp_path / "none") == ""


def test_a_clock_behind_the_archive(doctor: Doctor, tmp_path: Path) -> None:
    make_archive(tmp_path / "data")
    tomorrow = time.time() + 86_400
    os.utime(tmp_path / "data/index.sqlite", (tomorrow, tomorrow))
    assert one(doctor(), "clock").status == WARNING


def test_a_spool_folder_that_does_not_exist(doctor: Doctor, tmp_path: Path) -> None:
    found = one(doctor(BULKHEAD_SPOOL_DIR=str(tmp_path / "spool")), "folders")
    assert found.status == FAULT
    assert "BULKHEAD_SPOOL_DIR" in found.text
    assert one(doctor(BULKHEAD_METRICS_DIR=str(tmp_path / "numbers")), "folders").status == OK


# --- the archive ----------------------------------------------------------------------------------------------------


def test_a_damaged_index(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/index.sqlite").write_bytes(b"not a database" * 1000)
    found = one(doctor(), "layout")
    assert found.status == FAULT
    assert "file is not a database" in found.text


def test_an_archive_in_use_is_read(doctor: Doctor, tmp_path: Path) -> None:
    """The newest writes are in the log of SQLite."""
    settings = Settings(data_dir=tmp_path / "data")
    engine = bootstrap.build_engine(settings)
    bootstrap.build_services(settings, engine)
    assert (tmp_path / "data/index.sqlite-wal").stat().st_size
    engine.table.write(Put(Item(keys.LAYOUT, encode(Layout(version=99)))))
    assert "99" in one(doctor(), "layout").text


@pytest.mark.parametrize(("version", "status"), [(2, OK), (99, FAULT)])
def test_the_layout_of_another_release(doctor: Doctor, tmp_path: Path, version: int, status: str) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    bootstrap.initialise(settings)
    bootstrap.build_engine(settings).table.write(Put(Item(keys.LAYOUT, encode(Layout(version=version)))))
    (tmp_path / "data/bulkhead.json").unlink()
    found = one(doctor(), "layout")
    assert found.status == status
    assert str(version) in found.text


@pytest.mark.parametrize(
    ("waiting", "status"),
    [
        (Waiting(3600.0, 0.0, 0), WARNING),
        (Waiting(0.0, 3600.0, 0), WARNING),
        (Waiting(5.0, 0.0, 0), OK),
        (None, WARNING),
    ],
)
def test_work_that_nobody_does(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: Waiting | None, status: str
) -> None:
    make_archive(tmp_path / "data")
    monkeypatch.setattr("app.bootstrap.inspection.Backlog.current", lambda _: waiting)
    assert one(doctor(), "worker").status == status


# --- AWS ------------------------------------------------------------------------------------------------------------

AWS = {"BULKHEAD_ENGINE": "aws", "BULKHEAD_TABLE": "archive", "BULKHEAD_BUCKET": "archive"}


@pytest.mark.usefixtures("aws")
def test_aws_without_and_with_its_stores(doctor: Doctor) -> None:
    found = doctor(**AWS)
    assert one(found, "table").status == FAULT
    assert "bulkhead init" in one(found, "table").advice
    assert "bulkhead init" in one(found, "bucket").advice
    bootstrap.initialise(Settings(engine="aws", table="archive", bucket="archive"))
    found = doctor(**AWS)
    assert [one(found, name).status for name in ("table", "bucket", "layout", "worker")] == [OK] * 4


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("ahead", "status", "word"),
    [(-3600.0, FAULT, "behind"), (3600.0, FAULT, "ahead"), (60.0, WARNING, "ahead"), (2.0, OK, "agrees")],
)
def test_the_clock_of_aws(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, ahead: float, status: str, word: str
) -> None:
    from datetime import UTC, datetime, timedelta

    monkeypatch.setattr(aws_inspection, "_date", lambda _: datetime.now(UTC) - timedelta(seconds=ahead))
    found = one(doctor(**AWS), "clock")
    assert (found.status, word in found.text) == (status, True)


@pytest.mark.parametrize(
    ("parts", "advised"), [(("table", "queue"), "AWS_ENDPOINT_URL"), (("bucket",), "bulkhead init")]
)
def test_a_server_that_is_not_aws(monkeypatch: pytest.MonkeyPatch, parts: tuple[str, ...], advised: str) -> None:
    error = ClientError({"Error": {"Code": "404"}}, "GetItem")
    reads: dict[str, Callable[..., object]] = {
        "table": aws_inspection.read_table,
        "queue": aws_inspection.read_queue,
        "bucket": aws_inspection.read_bucket,
    }
    for part in parts:
        client = Mock(**{f"{call}.side_effect": error for call in ("get_item", "head_bucket", "get_queue_attributes")})
        with pytest.raises(aws_inspection.NoAnswer) as raised:
            reads[part](client, "name")
        assert advised in raised.value.advice


def test_aws_without_credentials(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    nowhere = str(tmp_path / "none")
    given = {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true"}
    files = {"AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere}
    found = one(doctor(**AWS, **given, **files), "table")
    assert "Unable to locate credentials" in found.text
    assert found.advice.startswith("Correct the credentials")


# --- the server -----------------------------------------------------------------------------------------------------


class Listener(NamedTuple):
    port: str
    answers: list[bytes]


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A server that answers what the test says."""
    answers: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[0])

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield Listener(str(server.server_port), answers)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (b'{"overallStatus": "Healthy", "details": []}', OK, "Bulkhead listens on"),
        (
            b'{"overallStatus": "Degraded", "details": [{"name": "data", "status": "Degraded",'
            b' "description": "Lost."}]}',
            WARNING,
            "is degraded: data: Lost.",
        ),
        (b"<p>Hello", FAULT, "Another program"),
        (b"[]", FAULT, "Another program"),
    ],
)
def test_who_listens_on_the_port(doctor: Doctor, listener: Listener, answer: bytes, status: str, text: str) -> None:
    listener.answers.append(answer)
    found = one(doctor(BULKHEAD_PORT=listener.port), "port")
    assert found.status == status
    assert text in found.text


def test_a_free_port_and_a_foreign_address(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    assert "is free" in one(doctor(BULKHEAD_PORT=str(number)), "port").text
    found = one(doctor(BULKHEAD_PORT=str(number), BULKHEAD_HOST="192.0.2.1", BULKHEAD_AUTH="tokens"), "port")
    assert found.status == FAULT
    assert "BULKHEAD_HOST" in found.advice


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"BULKHEAD_HOST": "0.0.0.0"}, FAULT),
        ({"BULKHEAD_HOST": "0.0.0.0", "BULKHEAD_ALLOW_ANONYMOUS": "true"}, WARNING),
        ({"BULKHEAD_HOST": "0.0.0.0", "BULKHEAD_AUTH": "tokens"}, OK),
    ],
)
def test_who_may_call(doctor: Doctor, settings: dict[str, str], status: str) -> None:
    assert one(doctor(**settings), "access").status == status


def test_a_broken_roles_file(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "roles.json").write_text("{")
    found = [each for each in doctor(BULKHEAD_ROLES_FILE=str(tmp_path / "roles.json")) if each.check == "access"]
    assert [each.status for each in found] == [OK, FAULT]


def test_an_issuer_that_does_not_answer(doctor: Doctor) -> None:
    jwt = {"BULKHEAD_AUTH": "jwt", "BULKHEAD_JWT_ISSUERS": "http://127.0.0.1:9", "BULKHEAD_JWT_AUDIENCES": "a"}
    assert one(doctor(**jwt), "issuer").status == WARNING


@pytest.mark.parametrize(("name", "status"), [("trail.log", OK), ("none/trail.log", FAULT)])
def test_the_file_of_the_audit_trail(doctor: Doctor, tmp_path: Path, name: str, status: str) -> None:
    assert one(doctor(BULKHEAD_AUDIT=str(tmp_path / name)), "audit").status == status
    assert list(tmp_path.iterdir()) == []


def test_no_audit_trail_and_an_empty_key(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    found = doctor(BULKHEAD_AUDIT="off", BULKHEAD_AUDIT_KEY_FILE=str(tmp_path / "key"))
    assert [each.status for each in found if each.check == "audit"] == [FAULT, WARNING]


# --- the pages ------------------------------------------------------------------------------------------------------


def test_a_viewer_that_is_not_installed_is_no_fault(doctor: Doctor, tmp_path: Path) -> None:
    found = one(doctor(BULKHEAD_VIEWER_DIR=str(tmp_path / "viewer")), "viewer")
    assert found.status == OK
    assert "make viewer" in found.text


def test_an_installed_viewer(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "files.json").write_text('{"version": "3.13.2", "digest": "1", "files": {}}')
    assert one(doctor(BULKHEAD_VIEWER_DIR=str(tmp_path)), "viewer").text.startswith("OHIF 3.13.2 is installed")


def test_pages_that_are_switched_off(doctor: Doctor) -> None:
    assert one(doctor(BULKHEAD_SITE="false"), "site").status == OK


@pytest.mark.parametrize(("secret", "status"), [(b"x" * 32, OK), (b"short", FAULT), (None, FAULT)])
def test_the_key_of_sessions(doctor: Doctor, tmp_path: Path, secret: bytes | None, status: str) -> None:
    if secret is not None:
        (tmp_path / "key").write_bytes(secret)
    assert one(doctor(BULKHEAD_SESSION_KEY_FILE=str(tmp_path / "key")), "site").status == status


# --- how checks run -------------------------------------------------------------------------------------------------


def test_a_check_that_hangs_or_fails_is_a_finding() -> None:
    release = threading.Event()

    def hangs() -> Iterator[Finding]:
        release.wait(60)
        yield Finding("a", OK, "late")

    def fails() -> Iterator[Finding]:
        raise OSError("disk\nis gone")

    checks: dict[str, Check] = {"hangs": hangs, "fails": fails, "works": lambda: [Finding("works", OK, "")]}
    try:
        found = findings_of(checks, 0.5)  # the others need a moment on a busy machine
    finally:
        release.set()
    assert [(each.check, each.status) for each in found] == [("hangs", FAULT), ("fails", FAULT), ("works", OK)]
    assert found[1].text == "disk is gone"
