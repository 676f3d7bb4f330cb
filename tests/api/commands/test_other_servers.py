"""Commands that call another server: one line says so."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from app.entry import cli
from app.settings.client import CLIENT_VARIABLES


@pytest.mark.parametrize("document", [[1], [{}], {"a": 1}, "text", [{"path": 1, "sequence": "1"}], 5])
@pytest.mark.parametrize(
    "command",
    ["feed", "tags list", "partitions", "partitions --counts", "find", "workitems find", "workitems show 1.2"],
)
def test_json_that_is_no_answer_of_bulkhead_gives_no_traceback(command: str, document: Any) -> None:
    server = httpx.MockTransport(lambda _: httpx.Response(200, json=document))
    environment = dict.fromkeys(CLIENT_VARIABLES, "")
    result = CliRunner().invoke(cli.main, command.split(), env=environment, obj=server)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.exit_code in (0, 3)
