"""schemathesis makes some thousand calls of the OpenAPI document, valid and invalid ones. Every answer must fit it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.copies import bulkhead, served

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]
CONFIGURATION = """\
[checks]
# A call that fits the document may break a rule of DICOM or of the archive. Half of the paths need partitions off.
positive_data_acceptance.enabled = false

[[operations]]
# The path of a study matches this one too, so it has the methods of a study as well. They answer 400: it is no UID.
include-path-regex = "bulkUpdate"
checks.unsupported_method.enabled = false
checks.allow_header_conformance.enabled = false
"""


def secret(environment: dict[str, str]) -> str:
    """Create a token with all rights in the archive. Return its secret."""
    command = bulkhead("token", "create", "--name", "schemathesis", "--role", "globalAdmin", "--partition", "*")
    made = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return made.stdout.split()[-1]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("auth", "phases"), [("none", "examples,coverage,fuzzing"), ("tokens", "examples,fuzzing")])
def test_no_answer_contradicts_the_document(tmp_path: Path, auth: str, phases: str) -> None:
    settings = {
        "BULKHEAD_DATA_DIR": str(tmp_path / "archive"),
        "BULKHEAD_AUTH": auth,
        "BULKHEAD_AUDIT": "off",
        "BULKHEAD_LOG_LEVEL": "error",
        "BULKHEAD_METRICS": "true",
    }
    hooks = {"SCHEMATHESIS_HOOKS": "tests.integration.schemathesis_hooks", "PYTHONPATH": str(REPOSITORY)}
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    with served(settings) as copy:
        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{copy.url}/v2/api.json"),
            *("--phases", phases, "--max-examples", "3", "--seed", "1", "--workers", "1"),
            *("--request-timeout", "20", "--no-color"),
            *(("--header", f"Authorization: Bearer {secret(os.environ | settings)}") if auth == "tokens" else ()),
        ]
        run = subprocess.run(command, env=os.environ | hooks, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[run.stdout.find("FAILURES") :][:20_000] + run.stderr
