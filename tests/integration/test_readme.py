"""The README's walk-through and tour, run as printed against a server of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from tests.integration.copies import served

pytestmark = pytest.mark.integration

README = Path(__file__).parents[2] / "README.md"


def shell(name: str) -> str:
    """Return the shell commands between the README's markers of this name."""
    found = re.search(rf"<!-- {name} -->\n```sh\n(.*?)```\n<!-- /{name} -->", README.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1].replace(".venv/bin/python", sys.executable)


def run(commands: str, archive: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        env={**os.environ, "ARCHIVE": archive},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_the_walk_through_works_as_printed(tmp_path: Path) -> None:
    with served({"BULKHEAD_DATA_DIR": str(tmp_path / "data")}) as copy:
        ended = run(shell("walk-through"), f"{copy.url}/v2", tmp_path)
    assert ended.returncode == 0, ended.stderr
    printed = ended.stdout
    lines = printed.splitlines()
    assert [line for line in lines if line.isdigit()] == ["204", "404", "200"]
    assert "45070" not in printed
    assert '"partitionName":"clinic-a"' in printed
    assert (tmp_path / "picture.jpg").read_bytes().startswith(b"\xff\xd8")
    assert (tmp_path / "window.png").read_bytes().startswith(b"\x89PNG")
    assert sum("CompressedSamples^CT1" in line for line in lines) == 3
    assert '"00201208":{"vr":"IS","Value":[1]}' in printed
    assert printed.count('"action":"Create"') == 2
    assert printed.count('"action":"Delete"') == 1


def test_the_tour_performs_every_other_call(tmp_path: Path) -> None:
    with served({"BULKHEAD_DATA_DIR": str(tmp_path / "data")}) as copy:
        ended = run(shell("tour"), f"{copy.url}/v2", tmp_path)
        again = run(shell("tour"), f"{copy.url}/v2", tmp_path)
    assert (ended.returncode, again.returncode) == (0, 0), ended.stderr + again.stderr
    printed = ended.stdout
    statuses = [int(line) for line in printed.splitlines() if re.fullmatch(r"  \d{3}", line)]
    tags = [202, 200, 200, 200, 200, 400, 204, 404]
    update_and_export = [202, 200, 200, 202]
    worklist = [201, 200, 200, 200, 200, 400, 409, 201, 202]
    assert statuses == [200, *tags, *update_and_export, *worklist]
    assert '"type":"reindex"' in printed
    assert '"00101010":{"vr":"AS","Value":["000Y"]}' in printed
    assert '"studyUpdated":1' in printed
    assert "\nCompressedSamples^CT1\n" in printed
    assert '"exported":1,"skipped":1' in printed
    assert "C312" in printed
    exported, _ = (tmp_path / "data" / "exports").rglob("*.dcm")
    assert b"Doe^Jane" in exported.read_bytes()


def test_the_commands_for_tokens_work_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create, serve, store = (
        shell("tokens").replace(".venv/bin/bulkhead", f"{sys.executable} -m app.entry.cli").splitlines()
    )
    setting, _, started = serve.partition(" ")
    assert (setting, started.split()[-1]) == ("BULKHEAD_AUTH=tokens", "serve")
    monkeypatch.setenv("BULKHEAD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHONPATH", str(README.parent))
    monkeypatch.setenv("FILE", str(get_testdata_file("CT_small.dcm")))
    assert run(create, "", tmp_path).returncode == 0
    with served({"BULKHEAD_AUTH": "tokens"}) as copy:
        stored = run(store, f"{copy.url}/v2", tmp_path)
        (tmp_path / "token.txt").write_text("bh_wrong")
        refused = run(store, f"{copy.url}/v2", tmp_path)
    assert '"00081199"' in stored.stdout
    assert refused.stdout == "The credentials are invalid."


@pytest.mark.parametrize(
    ("setting", "answer"),
    [("BULKHEAD_DISABLE_OPERATIONS", "400"), ("BULKHEAD_ENABLE_EXPORT", "404")],
)
def test_the_tour_stops_at_a_step_that_fails(tmp_path: Path, setting: str, answer: str) -> None:
    value = "true" if setting.startswith("BULKHEAD_DISABLE") else "false"
    with served({"BULKHEAD_DATA_DIR": str(tmp_path / "data"), setting: value}) as copy:
        ended = run(shell("tour"), f"{copy.url}/v2", tmp_path)
    assert ended.returncode == 1
    assert ended.stdout.endswith(f"\n  {answer}\n")
    assert ended.stderr == "Expected 202: the tour stops here.\n"


def test_the_tour_stops_at_an_operation_that_fails_or_does_not_end(tmp_path: Path) -> None:
    finished = re.search(r"^finished\(\) \{.*?^\}$", shell("tour"), re.DOTALL | re.MULTILINE)
    assert finished is not None
    (tmp_path / "answer.txt").write_text(f'{{"href":"file://{tmp_path}/operations"}}')
    for status in ("failed", "running"):
        (tmp_path / "operations").write_text(f'{{"status":"{status}"}}')
        ended = run(f"sleep() {{ :; }}\n{finished[0]}\nfinished", "", tmp_path)
        assert (ended.returncode, ended.stdout) == (1, f'{{"status":"{status}"}}\n')
