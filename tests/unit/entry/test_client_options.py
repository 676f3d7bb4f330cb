"""The options, errors and exit codes that the commands that call a server share."""

from __future__ import annotations

from pathlib import Path

import click
import httpx
import pytest
from click.testing import CliRunner, Result

from app.client.connection import ArchiveClient
from app.entry.client_commands.common import calls_server, json_option
from app.settings import Settings
from app.settings.client import CLIENT_VARIABLES


@click.command()
@calls_server
@json_option
def count(client: ArchiveClient, as_json: bool) -> None:
    click.echo(f"{len(client.json('/studies'))} {as_json}")


def run(
    answer: httpx.Response | BaseException, *arguments: str, **environment: str
) -> tuple[Result, list[httpx.Request]]:
    requests: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    given = dict.fromkeys(CLIENT_VARIABLES, "") | environment
    return CliRunner().invoke(count, arguments, env=given, obj=httpx.MockTransport(respond)), requests


def test_options_and_variables(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("from-file\n")
    answer = httpx.Response(200, json=[{}, {}])
    result, (request,) = run(
        answer,
        "--json",
        "--partition",
        "b",
        "--token-file",
        str(token),
        BULKHEAD_URL="http://localhost:9",
        BULKHEAD_PARTITION="a",
    )
    assert result.stdout == "2 True\n"
    assert str(request.url) == "http://localhost:9/v2/partitions/b/studies"
    assert request.headers["Authorization"] == "Bearer from-file"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx.Response(400, text="No."), 1),
        (httpx.Response(403, text="No."), 1),
        (httpx.Response(401, text="No."), 3),
        (httpx.ConnectError("refused"), 3),
        (httpx.Response(200, html="<p>"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(answer: httpx.Response | BaseException, code: int) -> None:
    result, _ = run(answer, "--partition", "a")
    assert result.exit_code == code
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [["--url", "nowhere"], ["--partition", "a/b"], ["--token-file", "/does/not/exist"]]
)
def test_a_wrong_command_line_is_exit_code_2(arguments: list[str]) -> None:
    result, requests = run(httpx.Response(204), *arguments)
    assert result.exit_code == 2
    assert requests == []


def test_an_empty_token_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").touch()
    result, _ = run(httpx.Response(204), "--token-file", str(tmp_path / "token"))
    assert result.exit_code == 2
    assert "is empty" in result.stderr


def test_a_token_in_clear_is_warned_about() -> None:
    result, _ = run(httpx.Response(204), "--url", "http://pacs.test", "--token", "t", "--partition", "a")
    assert result.exit_code == 0
    assert "without encryption" in result.stderr


def test_the_service_ignores_the_variables_of_the_commands() -> None:
    assert Settings.from_environment(dict.fromkeys(CLIENT_VARIABLES, "x")) == Settings()
