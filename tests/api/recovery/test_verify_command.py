"""`bulkhead verify`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.bootstrap import recovery
from app.bootstrap.engines import Engine
from app.entry import cli
from app.errors import RecoveryError
from app.services.recovery.progress_file import ProgressFile
from app.services.recovery.verification import Verification
from app.settings import Settings
from tests.support.bulk_update import embedded_only
from tests.support.recovery import instance_rows

pytestmark = [embedded_only, pytest.mark.usefixtures("study_to_update")]


def verify(settings: Settings, *arguments: str) -> Result:
    environment = {"BULKHEAD_DATA_DIR": str(settings.data_dir), "BULKHEAD_LOG_LEVEL": "error"}
    return CliRunner().invoke(cli.main, ["verify", *arguments], env=environment)


def test_an_archive_without_faults(settings: Settings) -> None:
    result = verify(settings)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "No faults."
    assert "4 instances" in result.stdout


def test_faults_are_named_and_end_with_exit_code_1(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "PAUSE_SECONDS", 0)
    row = instance_rows(engine.table)[0]
    engine.blobs.delete([row.blob])
    file = tmp_path / "report.json"
    result = verify(settings, "--json", str(file))
    assert result.exit_code == 1
    assert f"1 rows whose file is lost:\n  partition {row.partition} {row.study}/{row.series}" in result.stderr
    assert result.stderr.splitlines()[-1] == "1 faults are left."
    report = json.loads(file.read_bytes())
    assert report["found"] == {"lost_file": 1}
    assert report["faults"][0]["instance"] == row.instance


def test_a_folder_without_an_archive(tmp_path: Path) -> None:
    result = verify(Settings(data_dir=tmp_path / "empty"))
    assert result.exit_code == 2
    assert "There is no archive in" in result.stderr
    assert not (tmp_path / "empty").exists(), "it is perhaps a disk that is not mounted"


def test_a_partition_that_does_not_exist(settings: Settings) -> None:
    result = verify(settings, "--partition", "nobody")
    assert result.exit_code == 2
    assert "There is no partition 'nobody'." in result.stderr


def test_a_file_of_another_run(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "progress"
    file.write_text('{"task": {"format": 1, "task": "rebuild"}, "saved": {}}')
    result = verify(settings, "--resume", str(file))
    assert result.exit_code == 2
    assert "belongs to another run" in result.stderr


@pytest.mark.parametrize("option", ["--json", "--resume"])
def test_a_file_in_a_folder_that_does_not_exist_is_refused_before_the_check(
    settings: Settings, tmp_path: Path, option: str
) -> None:
    result = verify(settings, option, str(tmp_path / "nowhere" / "file"))
    assert result.exit_code == 2
    assert f"There is no folder '{tmp_path / 'nowhere'}'." in result.stderr
    assert "Checked:" not in result.output


def test_a_report_that_cannot_be_written_is_one_line(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    result = verify(settings, "--json", str(tmp_path / "report"))
    assert result.exit_code == 1
    assert f"The report cannot be written to {tmp_path / 'report'}." in result.stderr.splitlines()[-1]


def test_progress_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    progress = ProgressFile(tmp_path / "nowhere" / "progress", {"task": "verify"})
    with pytest.raises(RecoveryError, match="The progress cannot be written to"):
        progress.save({})


def test_an_interrupted_check_has_an_exit_code_of_its_own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(check: Verification) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Verification, "run", interrupted)
    result = verify(settings)
    assert result.exit_code == 130, "1 means that faults are left"
    assert result.stderr.splitlines()[-1] == "Interrupted. With --resume the next call goes on."
