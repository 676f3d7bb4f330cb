"""The audit trail of real processes that write one file, are killed, and start again (conformance §13.5)."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import requests

from app.services.audit.reading import audit_lines
from app.services.audit.verification import verify
from tests.integration.copies import served
from tests.integration.test_kill import CLINIC, Writer, kill
from tests.support.instances import uid

pytestmark = pytest.mark.integration


def test_kill_9_loses_no_line_of_an_answered_call(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    folder.mkdir()
    environment = {
        "BULKHEAD_DATA_DIR": str(tmp_path / "data"),
        "BULKHEAD_LOG_LEVEL": "error",
        "BULKHEAD_AUDIT": str(folder / "audit.log"),
        "BULKHEAD_AUDIT_BYTES": "5000",
    }
    with served(environment) as copy:
        writers = [Writer(copy.url, uid()) for _ in range(4)]
        for writer in writers:
            writer.start()
        time.sleep(1)  # the writers store for so long
        kill(copy)
        for writer in writers:
            writer.join()
    with served(environment) as copy:
        assert requests.get(f"{copy.url}{CLINIC}/studies").status_code == 200

    found = verify(folder.iterdir())
    assert (found.faults, found.cut) == ([], [])
    assert found.files > 3
    assert 0 < len(found.running) < found.processes  # some were killed, the others stopped
    lines = [json.loads(line) for file in folder.iterdir() for _, line in audit_lines(file)]
    stored = [line for line in lines if line["event"] == "store" and line["phase"] == "Executed"]
    assert sum(line["count"] for line in stored) >= sum(len(writer.stored) for writer in writers) > 0
    assert {line["study"] for line in stored} <= {uids[0] for writer in writers for uids in writer.tried}
