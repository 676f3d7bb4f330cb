"""What each answer of the server to a store means for an instance of the spool (conformance §15.7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from app.client.connection import ArchiveClient
from app.gateway.http_sender import HttpSender
from app.gateway.outcomes import Outcome, Verdict

SECRET = "Doe^Jane"
STORED = {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]}}


def failed(reason: int) -> dict[str, Any]:
    comment = {"00000902": {"vr": "LO", "Value": [f"DICOM100: (0010,0010) - {SECRET}"]}}
    item = {"00081197": {"vr": "US", "Value": [reason]}, "00741048": {"vr": "SQ", "Value": [comment]}}
    return {"00081198": {"vr": "SQ", "Value": [item]}}


def outcome(tmp_path: Path, answer: httpx.Response | Exception) -> tuple[Outcome, list[httpx.Request]]:
    """Send a file to a server that gives this answer. Return the outcome and the requests."""
    requests: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        request.read()
        requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = ArchiveClient("http://archive", token="bh_secret", transport=httpx.MockTransport(handle))
    file = tmp_path / "file.dcm"
    file.write_bytes(b"DICM" * 100_000)
    return HttpSender(client).send("clinic-a", file), requests


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (httpx.Response(200, json=STORED), Verdict.STORED),
        (httpx.Response(202, json=STORED), Verdict.STORED),
        (httpx.Response(200, json={}), Verdict.LATER),
        (httpx.Response(200, json=[1]), Verdict.LATER),
        (httpx.Response(200, html="<title>Sign in to this network</title>"), Verdict.LATER),
        (httpx.Response(204), Verdict.LATER),
        (
            httpx.Response(409, json={"00081198": {"Value": [{"00081197": {"Value": [1]}, "00741048": 5}]}}),
            Verdict.REFUSED,
        ),
        (httpx.Response(409, json=failed(45070)), Verdict.STORED),
        (httpx.Response(409, json=failed(43264)), Verdict.REFUSED),
        (httpx.Response(409, json=failed(272)), Verdict.LATER),
        (httpx.Response(409, json={}), Verdict.LATER),
        (httpx.Response(409, text="no JSON"), Verdict.LATER),
        (httpx.Response(413, text=SECRET), Verdict.REFUSED),
        (httpx.Response(401), Verdict.UNAUTHORIZED),
        (httpx.Response(403), Verdict.UNAUTHORIZED),
        (httpx.Response(400, text=SECRET), Verdict.LATER),
        (httpx.Response(404), Verdict.LATER),
        (httpx.Response(302, headers={"Location": "https://elsewhere"}), Verdict.LATER),
        (httpx.Response(429), Verdict.LATER),
        (httpx.Response(500), Verdict.LATER),
        (httpx.Response(503, headers={"Retry-After": "30"}), Verdict.LATER),
        (httpx.ConnectError("refused"), Verdict.LATER),
        (httpx.ReadTimeout("late"), Verdict.LATER),
    ],
    ids=lambda value: str(getattr(value, "status_code", value)),
)
def test_the_answer_decides(tmp_path: Path, answer: httpx.Response | Exception, verdict: Verdict) -> None:
    given, requests = outcome(tmp_path, answer)
    assert given.verdict is verdict
    assert SECRET not in given.reason
    assert len(requests) == 1


def test_the_request_is_one_instance_with_its_length(tmp_path: Path) -> None:
    _, (request,) = outcome(tmp_path, httpx.Response(200, json=STORED))
    assert str(request.url) == "http://archive/v2/partitions/clinic-a/studies"
    assert request.headers["Content-Type"] == "application/dicom"
    assert request.headers["Content-Length"] == str(len(request.content)) == "400000"
    assert "Transfer-Encoding" not in request.headers
    assert request.headers["Authorization"] == "Bearer bh_secret"


def test_the_reason_of_a_refusal_has_what_the_server_says(tmp_path: Path) -> None:
    given, _ = outcome(tmp_path, httpx.Response(409, json=failed(43264)))
    assert given.details == {"failureReason": 43264, "comments": [f"DICOM100: (0010,0010) - {SECRET}"]}


def test_a_file_that_is_gone_is_tried_later(tmp_path: Path) -> None:
    client = ArchiveClient("http://archive", transport=httpx.MockTransport(lambda _: httpx.Response(200)))
    assert HttpSender(client).send("clinic-a", tmp_path / "gone.dcm").verdict is Verdict.LATER
