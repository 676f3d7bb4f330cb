"""`bulkhead token` and `bulkhead grant` beside a running service."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app import create_app
from app.entry import cli
from app.settings import Settings
from app.storage.table import clock
from tests.support.clock import stop_clock
from tests.support.tokens import ask, stop_access_clock

Command = Callable[..., Result]

TOKEN = ("token", "create", "--name", "CT 3", "--role", "writer", "--partition", "clinic-a")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A service with tokens as credentials, on an archive that the commands share."""
    return Settings(data_dir=tmp_path, log_level="error", auth=("tokens",))


@pytest.fixture
def bulkhead(tmp_path: Path) -> Command:
    """Return a function that runs the command on the archive."""

    def run(*arguments: str, **environment: str) -> Result:
        given = {"BULKHEAD_DATA_DIR": str(tmp_path), "BULKHEAD_AUTH": "tokens", **environment}
        return CliRunner().invoke(cli.main, arguments, env=given)

    return run


def test_the_token_is_alone_on_standard_output_and_works_at_once(bulkhead: Command, settings: Settings) -> None:
    client = create_app(settings).test_client()
    result = bulkhead("token", "create", "--name", "OHIF", "--role", "reader", "--partition", "*")
    assert result.exit_code == 0, result.output
    assert re.fullmatch(r"bh_[0-9A-Za-z]{49}\n", result.stdout)
    assert result.stdout.strip() not in result.stderr
    assert ask(client, result.stdout.strip(), "Microsoft.Default").status_code == 204


def test_the_list_has_everything_but_the_secret(bulkhead: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: 1_800_000_000.5)
    secret = bulkhead(*TOKEN, "--role", "reader", "--expires", "90d").stdout.strip()
    printed = bulkhead("token", "list").stdout
    assert "CT 3" in printed
    assert "writer,reader" in printed
    listed = bulkhead("token", "list", "--json").stdout
    assert secret not in printed + listed
    (row,) = json.loads(listed)
    assert re.fullmatch("6b49d200[0-9a-f]{6}", row.pop("id"))
    assert row == {
        "name": "CT 3",
        "roles": ["writer", "reader"],
        "partitions": ["clinic-a"],
        "expires": "2027-04-15T08:00:00Z",
        "created": "2027-01-15T08:00:00Z",
        "lastUsed": None,
        "createdBy": f"bulkhead command, user id {os.getuid()}",
    }


@pytest.mark.parametrize(
    ("given", "expires"),
    [
        ("12h", "2027-01-15T20:00:00Z"),
        ("2027-02-01", "2027-02-01T00:00:00Z"),
        ("2027-02-01T10:00:00", "2027-02-01T10:00:00Z"),
        ("2027-02-01T10:00:00+02:00", "2027-02-01T08:00:00Z"),
        ("9999-12-31", "9999-12-31T00:00:00Z"),
    ],
)
def test_a_time_of_expiry(bulkhead: Command, monkeypatch: pytest.MonkeyPatch, given: str, expires: str) -> None:
    monkeypatch.setattr(clock, "now", lambda: 1_800_000_000.5)
    assert bulkhead(*TOKEN, "--expires", given).exit_code == 0
    assert json.loads(bulkhead("token", "list", "--json").stdout)[0]["expires"] == expires


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*TOKEN, "--expires", "soon"), "'soon' is neither as 90d or 12h, nor a date in ISO 8601."),
        ((*TOKEN, "--expires", "9999999d"), "'9999999d' is neither"),
        ((*TOKEN, "--expires", "0001-01-01T00:00:00+10:00"), "'0001-01-01T00:00:00+10:00' is neither"),
        ((*TOKEN, "--expires", "0001-01-01"), "--expires: 0001-01-01T00:00:00Z is not in the future."),
        ((*TOKEN, "--expires", "9999-12-31T23:59:59-10:00"), "'9999-12-31T23:59:59-10:00' is neither"),
        ((*TOKEN, "--expires", "0d"), "Z is not in the future."),
        ((*TOKEN, "--expires", "2020-01-01"), "--expires: 2020-01-01T00:00:00Z is not in the future."),
        ((*TOKEN, "--role", "surgeon"), "--role: There is no role 'surgeon'."),
        ((*TOKEN, "--partition", "a/b"), "--partition: 'a/b' is neither the name of a partition"),
        ((*TOKEN[:4], "--role", "writer"), "Missing option '--partition'"),
        (("token", "create", "--name", "x" * 65, *TOKEN[4:]), "--name: It must have 1 to 64 characters"),
        (("grant", "add", "--role", "reader", "--partition", "*"), "--issuer: It must have 1 to 1024 characters"),
        (
            ("grant", "add", "--token", "x", "--role", "reader", "--partition", "*"),
            "--token: There is no token with ID 'x'.",
        ),
        (
            ("grant", "add", "--issuer", "i", "--value", "v", "--action", "fly", "--partition", "*"),
            "--action: There is no action 'fly'.",
        ),
        (
            ("grant", "add", "--token", "0" * 14, "--issuer", "i", "--role", "reader", "--partition", "*"),
            "--token: It is in place of --issuer, --claim and --value.",
        ),
        (
            ("grant", "add", "--issuer", "i", "--value", "v", "--partition", "*"),
            "--role: A grant has either a role or actions.",
        ),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_stored(
    bulkhead: Command, arguments: tuple[str, ...], message: str
) -> None:
    result = bulkhead(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert json.loads(bulkhead("token", "list", "--json").stdout) == []
    assert json.loads(bulkhead("grant", "list", "--json").stdout) == []


def test_a_revoked_token_is_refused_within_30_seconds(
    bulkhead: Command, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is another process than the service."""
    pass_time = stop_access_clock(monkeypatch)
    client = create_app(settings).test_client()
    secret = bulkhead("token", "create", "--name", "x", "--role", "reader", "--partition", "*").stdout.strip()
    assert ask(client, secret, "Microsoft.Default").status_code == 204
    (row,) = json.loads(bulkhead("token", "list", "--json").stdout)
    assert bulkhead("token", "revoke", row["id"]).exit_code == 0
    assert json.loads(bulkhead("token", "list", "--json").stdout) == []
    pass_time(30)
    assert ask(client, secret, "Microsoft.Default").status_code == 401
    again = bulkhead("token", "revoke", row["id"])
    assert (again.exit_code, again.stdout) == (1, "")
    assert f"The specified token with ID '{row['id']}' cannot be found." in again.stderr


def test_grants_of_a_token_count_and_end_within_30_seconds(
    bulkhead: Command, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_time = stop_access_clock(monkeypatch)
    client = create_app(settings).test_client()
    secret = bulkhead(*TOKEN).stdout.strip()
    token = json.loads(bulkhead("token", "list", "--json").stdout)[0]["id"]
    assert ask(client, secret, "Microsoft.Default").status_code == 400
    added = bulkhead("grant", "add", "--token", token, "--action", "read", "--partition", "Micro*")
    assert re.fullmatch(r"[0-9a-f]{14}\n", added.stdout)
    pass_time(30)
    assert ask(client, secret, "Microsoft.Default").status_code == 204
    assert f"token={token}" in bulkhead("grant", "list").stdout
    assert bulkhead("grant", "remove", added.stdout.strip()).exit_code == 0
    pass_time(30)
    assert ask(client, secret, "Microsoft.Default").status_code == 400
    again = bulkhead("grant", "remove", added.stdout.strip())
    assert again.exit_code == 1
    assert "The specified grant with ID" in again.stderr


def test_a_grant_of_an_issuer_is_listed_as_it_was_added(bulkhead: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: 1_800_000_000.5)
    jane = ("--issuer", "https://login.example", "--value", "jane")
    added = bulkhead("grant", "add", *jane, "--role", "editor", "--partition", "research-*")
    assert added.exit_code == 0
    (row,) = json.loads(bulkhead("grant", "list", "--json").stdout)
    row.pop("id")
    assert "BULKHEAD_JWT_ISSUERS does not name 'https://login.example'" in added.stderr
    known = bulkhead("grant", "add", *jane, "--role", "editor", "--partition", "*", BULKHEAD_JWT_ISSUERS=jane[1])
    assert (known.exit_code, known.stderr) == (0, "")
    assert row == {
        "subject": {"issuer": "https://login.example", "claim": "sub", "value": "jane"},
        "role": "editor",
        "partitions": ["research-*"],
        "expires": None,
        "created": "2027-01-15T08:00:00Z",
        "createdBy": f"bulkhead command, user id {os.getuid()}",
    }


def test_without_tokens_as_credentials_a_warning_says_so(bulkhead: Command) -> None:
    result = bulkhead(*TOKEN, BULKHEAD_AUTH="none")
    assert result.exit_code == 0
    assert "With BULKHEAD_AUTH=none the service accepts no tokens." in result.stderr
    assert "accepts no tokens" not in bulkhead(*TOKEN).stderr


@pytest.mark.parametrize(
    "command", [("token", "create"), ("token", "revoke"), ("grant", "add"), ("grant", "remove"), ("token", "list")]
)
def test_the_help_explains_each_command(bulkhead: Command, command: tuple[str, ...]) -> None:
    assert len(bulkhead(*command, "--help").stdout.splitlines()) > 4
    assert command[1] in bulkhead(command[0], "--help").stdout


def test_a_fault_of_the_settings_ends_with_exit_code_2(bulkhead: Command) -> None:
    result = bulkhead("token", "list", BULKHEAD_PORT="x")
    assert result.exit_code == 2
    assert "BULKHEAD_PORT='x'" in result.stderr


def test_a_failing_data_store_ends_with_exit_code_1(bulkhead: Command, tmp_path: Path) -> None:
    (tmp_path / "index.sqlite").write_bytes(b"not a database" * 1000)
    result = bulkhead("token", "list")
    assert result.exit_code == 1
    assert "file is not a database" in result.stderr


def test_an_expired_token_stays_in_the_list(bulkhead: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    advance = stop_clock(monkeypatch)
    assert bulkhead(*TOKEN, "--expires", "1h").exit_code == 0
    advance(7200)
    assert len(json.loads(bulkhead("token", "list", "--json").stdout)) == 1


def test_commands_write_audit_lines_into_the_file_of_the_trail(bulkhead: Command, tmp_path: Path) -> None:
    trail = tmp_path / "audit.jsonl"
    silent = bulkhead(*TOKEN)
    secret = bulkhead(*TOKEN, BULKHEAD_AUDIT=str(trail)).stdout.strip()
    first, second = sorted(json.loads(bulkhead("token", "list", "--json").stdout), key=lambda each: str(each["id"]))
    bulkhead("token", "revoke", "0" * 14, BULKHEAD_AUDIT=str(trail))
    lines = [json.loads(line) for line in trail.read_text().splitlines()]
    assert "AuditEvent" not in silent.output
    assert secret not in trail.read_text()
    said = [(each["event"], each["phase"], each.get("status"), each.get("access", "")[:6]) for each in lines]
    assert said == [
        *(("start", "Executed", None, ""), ("access", "Executing", None, ""), ("access", "Executed", 201, "token ")),
        *(("stop", "Executed", None, ""), ("start", "Executed", None, "")),
        *(("access", "Executing", None, ""), ("access", "Executed", 404, ""), ("stop", "Executed", None, "")),
    ]
    assert lines[2]["access"].removeprefix("token ") in (first["id"], second["id"])
    assert lines[2]["caller"] == {"subject": f"bulkhead command, user id {os.getuid()}"}
    assert bulkhead("audit", "verify", str(trail)).exit_code == 0


@pytest.mark.thorough
@pytest.mark.usefixtures("aws")
def test_the_commands_work_on_aws(bulkhead: Command) -> None:
    engine = {"BULKHEAD_ENGINE": "aws", "BULKHEAD_TABLE": "archive", "BULKHEAD_BUCKET": "archive"}
    missing = bulkhead(*TOKEN, **engine)
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert bulkhead("init", **engine).exit_code == 0
    secret = bulkhead(*TOKEN, **engine).stdout.strip()
    (row,) = json.loads(bulkhead("token", "list", "--json", **engine).stdout)
    client = create_app(Settings(engine="aws", table="archive", bucket="archive", auth=("tokens",))).test_client()
    assert ask(client, secret).status_code == 403
    assert bulkhead("token", "revoke", row["id"], **engine).exit_code == 0
    client = create_app(Settings(engine="aws", table="archive", bucket="archive", auth=("tokens",))).test_client()
    assert ask(client, secret).status_code == 401
