"""The folder of the metrics of a server: made by its first process, named in the environment, removed at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.entry import metrics_folder
from app.metrics import folder
from app.settings import Settings, variable

VARIABLE = variable("metrics_dir")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Settings from variables that the test changes. Folders are made below the folder of the test."""
    monkeypatch.setenv(VARIABLE, "")  # so that the variable is restored after the test
    monkeypatch.setattr(folder, "_MEMORY", tmp_path)


def test_it_is_made_once_and_removed_by_its_maker(tmp_path: Path) -> None:
    metrics_folder.provide()
    (made,) = tmp_path.iterdir()
    assert Settings.from_environment(os.environ).metrics_dir == made
    metrics_folder.provide()
    assert list(tmp_path.iterdir()) == [made]
    metrics_folder.remove()
    assert list(tmp_path.iterdir()) == []
    assert VARIABLE not in os.environ


def test_a_forked_process_does_not_remove_it(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from app.entry import metrics_folder
from app.metrics import folder
folder._MEMORY = Path(sys.argv[1])
metrics_folder.provide()
child = os.fork()
if not child:
    metrics_folder.remove()
    os._exit(0)
os.waitpid(child, 0)
assert len(list(folder._MEMORY.iterdir())) == 1
metrics_folder.remove()
"""
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_the_operator_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "own"))
    metrics_folder.provide()
    metrics_folder.remove()
    assert os.environ[VARIABLE] == str(tmp_path / "own")
    assert list(tmp_path.iterdir()) == []


def test_without_metrics_there_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKHEAD_METRICS", "false")
    metrics_folder.provide()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_does_not_stop_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    metrics_folder.provide()
    assert Settings.from_environment(os.environ).metrics_dir is None
    metrics_folder.remove()
