"""The front page shows patients, so the audit trail has it as a search."""

from __future__ import annotations

import json
from pathlib import Path

from app import create_app
from app.settings import Settings
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance


def test_the_front_page_is_a_search_in_the_audit_trail(tmp_path: Path) -> None:
    trail = tmp_path / "audit.log"
    client = create_app(Settings(data_dir=tmp_path, log_level="error", audit=str(trail))).test_client()
    PartitionClient(client).stored(make_instance())
    assert client.get("/").status_code == 200
    lines = [json.loads(line) for line in trail.read_text().splitlines()]
    executed = [(line["event"], line.get("count")) for line in lines if line.get("phase") == "Executed"]
    assert executed[-1] == ("query", 1)
