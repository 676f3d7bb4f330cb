"""`bulkhead update`: a refusal that is not in the form of the server ends the command with one line."""

from __future__ import annotations

import httpx
import pytest
from click.testing import CliRunner

from app.entry.client_commands.update import update


@pytest.mark.parametrize("body", [b"{oops", b"[1]", b'{"00741048": 1}', b'{"00741048": {"Value": [1]}}', b"a text"])
def test_a_refusal_in_another_form(body: bytes) -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(400, content=body))
    arguments = ["--partition", "clinic-a", "1.2.3", "PatientID=P1"]
    result = CliRunner().invoke(update, arguments, obj=transport)
    assert (result.exit_code, type(result.exception)) == (1, SystemExit), result.output
    assert result.output.startswith("Error: The server refuses the request: ")
