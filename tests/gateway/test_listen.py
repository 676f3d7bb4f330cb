"""`bulkhead listen`: its options, and its process from start to stop."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from click.testing import CliRunner, Result

from app.entry import cli
from tests.support import dicom_network as network
from tests.support.instances import make_instance, uid

NOWHERE = "http://127.0.0.1:9"


def listen(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, ["listen", *arguments])


@contextmanager
def listening(spool: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    """Run `bulkhead listen` on a free port, without a server behind it. Yield the process and its address."""
    options = ["--host", "127.0.0.1", "--port", "0", "--url", NOWHERE, "--spool", str(spool), *arguments]
    process = subprocess.Popen(
        [sys.executable, "-m", "app.entry.cli", "listen", *options],
        stdout=subprocess.PIPE,
        stderr=(spool.parent / "listen.log").open("a"),
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        found = re.search(r" on (127\.0\.0\.1):(\d+)\.", ready)
        assert found, (spool.parent / "listen.log").read_text()
        yield process, (found[1], int(found[2]))
    finally:
        process.kill()
        process.wait()


def test_without_pynetdicom_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynetdicom", None)
    result = listen()
    assert result.exit_code == 1
    assert result.stderr == "Error: This command needs pynetdicom: run `pip install 'bulkhead[dimse]'`.\n"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--aet", "A" * 17], "no AE title"),
        (["--aet", "TWO WORDS", "--partition-by", "called-aet"], "add --map 'TWO WORDS=PARTITION'"),
        (["--map", "CT1=a b", "--partition-by", "called-aet"], "is not AET=PARTITION"),
        (["--map", "CT1=a"], "--map needs --partition-by"),
        (["--allow", "CT1@nowhere"], "The form is AET, AET@ADDRESS or AET@NETWORK"),
        (["--spool-limit", "much"], "'much' is no size"),
        (["--tls-ca", __file__], "need --tls-certificate"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], reason: str) -> None:
    result = listen(*arguments)
    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.split())


def test_a_port_or_a_spool_that_cannot_be_used_ends_the_command(tmp_path: Path) -> None:
    with network.occupied_port() as port:
        result = listen("--host", "127.0.0.1", "--port", str(port), "--spool", str(tmp_path / "spool"))
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr
    (tmp_path / "file").touch()
    result = listen("--port", "0", "--spool", str(tmp_path / "file" / "spool"))
    assert result.exit_code == 1
    assert "cannot be used: File exists" in result.stderr


@pytest.mark.thorough
def test_a_process_keeps_what_it_acknowledged_and_stops_in_order(tmp_path: Path) -> None:
    files = [make_instance() for _ in range(3)]
    with listening(tmp_path / "spool") as (process, address):
        assert network.sent(address, tmp_path, *files) == [0x0000] * 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    log = (tmp_path / "listen.log").read_text()
    assert "stored=3" in log
    assert not re.search(r"\d+\.\d+\.\d+\.\d+\.\d+", log)
    assert "Doe" not in log
    assert len(list((tmp_path / "spool" / "queue").iterdir())) == 3


@pytest.mark.thorough
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Kill the process at random moments of a transfer. Each acknowledged instance is in the queue, complete."""
    spool, chance = tmp_path / "spool", random.Random(15)
    acknowledged: dict[str, int] = {}
    for _ in range(6):
        with listening(spool) as (process, address), network.association(address, make_instance()) as peer:
            killer = threading.Timer(chance.uniform(0.02, 0.4), process.kill)
            while True:
                instance = uid()
                file = make_instance(instance=instance, rows=64, columns=64)
                if network.status_of_store(peer, tmp_path, file) != 0x0000:
                    break
                acknowledged[instance] = len(file)
                if killer.ident is None:  # only now: on a busy machine the first instance may take long
                    killer.start()
            killer.join()
    with listening(spool):
        assert list((spool / "incoming").iterdir()) == []
        kept = {}
        for path in network.queue_files(spool):
            dataset = pydicom.dcmread(path)
            kept[str(dataset.SOPInstanceUID)] = len(dataset.PixelData)
    assert len(acknowledged) > 5
    assert set(kept) >= set(acknowledged)
    assert set(kept.values()) == {64 * 64 * 2}
