"""`bulkhead rebuild`: folders that it refuses."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from app.entry import cli


def test_a_folder_without_files_of_an_archive_is_refused_and_nothing_is_created_there(tmp_path: Path) -> None:
    for folder in (tmp_path / "not-mounted", tmp_path):
        result = CliRunner().invoke(cli.main, ["rebuild"], env={"BULKHEAD_DATA_DIR": str(folder)})
        assert result.exit_code == 2
        assert f"There are no files of an archive in {folder}." in result.stderr
    assert list(tmp_path.iterdir()) == []
