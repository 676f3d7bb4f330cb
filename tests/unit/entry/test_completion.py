"""Completion of the command in a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner

from app.entry import cli

ROOT: Final = Path(__file__).parents[3]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_names_the_command(shell: str) -> None:
    result = CliRunner().invoke(cli.main, ["completion", shell])
    assert result.exit_code == 0
    assert "_BULKHEAD_COMPLETE" in result.stdout


def test_an_unknown_shell_is_refused() -> None:
    assert CliRunner().invoke(cli.main, ["completion", "cmd"]).exit_code == 2


@pytest.mark.parametrize(
    ("words", "expected"), [(["bulkhead", "doc"], "doctor"), (["bulkhead", "grant", "re"], "remove")]
)
def test_bash_completes_commands(words: list[str], expected: str, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash
    program = tmp_path / "bulkhead"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom app.entry.cli import main\nmain()\n"
    )
    program.chmod(0o755)
    script = CliRunner().invoke(cli.main, ["completion", "bash"]).stdout
    quoted = " ".join(words)
    asked = f"{script}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n_bulkhead_completion bulkhead\n"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    printed = subprocess.run(
        [bash, "-c", f'{asked}echo "${{COMPREPLY[@]}}"'], env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == expected
