"""`ArchiveClient` against servers that answer as a test says."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from app.client.attempts import Attempts
from app.client.connection import ArchiveClient
from app.client.errors import (
    CredentialsRefused,
    InvalidAddress,
    NotThere,
    Refused,
    RightMissing,
    ServerFailed,
    ServerUnreachable,
    UnexpectedAnswer,
)

Answer = httpx.Response | Exception


class Server:
    """Gives these answers, one after the other, and keeps the requests. The last answer is given for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.bodies.append(request.read())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def client(
    server: Callable[[httpx.Request], httpx.Response], pauses: list[float] | None = None, **given: str
) -> ArchiveClient:
    waited: list[float] = [] if pauses is None else pauses
    return ArchiveClient(
        given.get("url", "http://127.0.0.1:8080"),
        given.get("partition", "clinic-a"),
        token=given.get("token"),
        attempts=Attempts(number=3),
        pause=waited.append,
        transport=httpx.MockTransport(server),
    )


def test_a_call_goes_to_the_partition_with_token_and_user_agent() -> None:
    server = Server(httpx.Response(200, json=[{}]))
    with client(server, token="secret", url="http://127.0.0.1:8080/v2/") as calls:
        assert calls.json("/studies", params={"limit": 5}) == [{}]
    (request,) = server.requests
    assert str(request.url) == "http://127.0.0.1:8080/v2/partitions/clinic-a/studies?limit=5"
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.headers["User-Agent"].startswith("bulkhead/")
    assert request.headers["Accept"] == "application/dicom+json"


def test_a_base_call_has_no_partition() -> None:
    server = Server(httpx.Response(204))
    assert client(server).json("/operations/1", at_base=True) == []
    assert server.requests[0].url.path == "/v2/operations/1"


@pytest.mark.parametrize(
    ("listed", "path"),
    [
        (httpx.Response(200, json=[]), "/v2/partitions/Microsoft.Default/studies"),
        (httpx.Response(403, text="Authorization failed."), "/v2/partitions/Microsoft.Default/studies"),
        (httpx.Response(400, text="Data partitions capability is disabled."), "/v2/studies"),
    ],
)
def test_without_a_partition_the_server_is_asked_once(listed: httpx.Response, path: str) -> None:
    server = Server(listed, httpx.Response(204))
    calls = ArchiveClient(transport=httpx.MockTransport(server))
    calls.json("/studies")
    calls.json("/studies")
    assert [request.url.path for request in server.requests] == ["/v2/partitions", path, path]
    assert calls.partition == ("Microsoft.Default" if "partitions" in path else None)


def test_503_is_repeated_after_the_time_that_the_server_asks_for() -> None:
    pauses: list[float] = []
    server = Server(
        httpx.Response(503, headers={"Retry-After": "7"}), httpx.Response(429), httpx.Response(200, json=[])
    )
    with client(server, pauses) as calls:
        answer = calls.request("POST", "/studies", body=lambda: iter([b"a", b"b"]))
    assert answer.status_code == 200
    assert server.bodies == [b"ab"] * 3
    assert 7 <= pauses[0] < 8
    assert pauses[1] <= 1


def test_the_attempts_are_bounded() -> None:
    server = Server(httpx.Response(503, text="The data store operation failed."))
    with pytest.raises(ServerFailed, match=r"The data store operation failed\. \(HTTP 503\)"):
        client(server).request("GET", "/studies")
    assert len(server.requests) == 3


def test_a_server_that_never_answered_is_reported_at_once() -> None:
    server = Server(httpx.ConnectError("Connection refused"))
    with pytest.raises(ServerUnreachable) as raised:
        client(server).request("GET", "/studies")
    assert str(raised.value) == (
        "The server at http://127.0.0.1:8080 does not answer (Connection refused): "
        "start it with `bulkhead serve`, or name another with --url."
    )
    assert len(server.requests) == 1


def test_a_server_that_restarts_is_waited_for() -> None:
    server = Server(httpx.Response(204), httpx.ConnectError("refused"), httpx.Response(204))
    with client(server) as calls:
        calls.request("GET", "/studies")
        calls.request("POST", "/studies", body=b"x")
    assert len(server.requests) == 3


@pytest.mark.parametrize(("repeatable", "calls_made"), [(None, 2), (True, 4)])
def test_a_post_whose_answer_is_lost_is_repeated_only_if_it_may_be(repeatable: bool | None, calls_made: int) -> None:
    server = Server(httpx.Response(204), httpx.ReadError("reset"))
    with client(server) as calls:
        calls.request("GET", "/studies")
        with pytest.raises(ServerUnreachable):
            calls.request("POST", "/workitems", body=b"{}", repeatable=repeatable)
    assert len(server.requests) == calls_made


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (httpx.Response(400, text="Bad\nvalue."), Refused, "The server refuses the request: Bad value. (HTTP 400)."),
        (httpx.Response(401, text="No."), CredentialsRefused, "--token-file"),
        (httpx.Response(403, text="Authorization failed."), RightMissing, "bulkhead grant --help"),
        (httpx.Response(404), NotThere, "no reason given (HTTP 404)"),
        (httpx.Response(500, html="<h1>x</h1>"), ServerFailed, "Internal Server Error (HTTP 500)"),
        (httpx.Response(400, json={"error": {"code": "x", "message": "Why."}}), Refused, "Why. (HTTP 400)"),
        (httpx.Response(302, headers={"Location": "https://pacs.test/"}), UnexpectedAnswer, "https://pacs.test/"),
    ],
)
def test_refusals_say_what_the_server_says_in_one_line(
    answer: httpx.Response, error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as raised:
        client(Server(answer)).request("GET", "/studies")
    assert type(raised.value) is error
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_accepted_status_is_an_answer() -> None:
    assert client(Server(httpx.Response(409, text="x"))).request("POST", "/studies", accepted=(409,)).text == "x"


def test_html_in_place_of_json_is_another_server() -> None:
    with pytest.raises(UnexpectedAnswer, match="is it a Bulkhead server"):
        client(Server(httpx.Response(200, html="<p>"))).json("/studies")


@pytest.mark.parametrize(
    "url", ["ftp://a", "pacs.test:8080", "http://", "http://a/?b=c", "http://me:secret@a", "http://a:port"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidAddress):
        client(Server(), url=url)


@pytest.mark.parametrize("name", ["a/b", "..", "", "a" * 65, "ä"])
def test_what_is_no_partition_is_refused(name: str) -> None:
    with pytest.raises(InvalidAddress, match="no name of a partition"):
        client(Server(), partition=name)


@pytest.mark.parametrize(
    ("url", "clear"), [("http://pacs.test", True), ("https://pacs.test", False), ("http://[::1]:1", False)]
)
def test_a_token_in_clear_is_noticed(url: str, clear: bool) -> None:
    assert client(Server(), url=url, token="t").sends_token_in_clear is clear
    assert not client(Server(), url=url).sends_token_in_clear


def test_a_token_with_a_line_end_never_becomes_a_header() -> None:
    with pytest.raises(InvalidAddress):
        client(Server(), token="a\r\nX: y")
