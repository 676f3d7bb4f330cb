"""`bulkhead feed`."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from app import bootstrap
from app.client import feed as feed_of_client
from app.client.connection import ArchiveClient
from app.client.errors import ServerUnreachable
from app.client.feed import FeedReader
from app.entry.client_commands import feed
from app.settings import Settings
from tests.api.commands.conftest import Command, command_on
from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.tokens import create_token


@pytest.fixture
def changes(clinic: PartitionClient) -> None:
    """Three studies are stored in clinic-a and one in clinic-b; one of them is deleted."""
    for number in (1, 2, 3):
        clinic.stored(make_instance(study=f"2.25.{number}"))
    PartitionClient(clinic.client, "/v2/partitions/clinic-b").stored(make_instance(study="2.25.9"))
    clinic.client.delete("/v2/partitions/clinic-a/studies/2.25.2")


Event = Callable[[], object]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What happens in each pause of the command. After the last one the person presses Ctrl-C."""
    events: list[Event] = []

    def sleep(_: float) -> None:
        if not events:
            raise KeyboardInterrupt
        events.pop(0)()

    monkeypatch.setattr(feed, "sleep", sleep)
    return events


def studies(text: str) -> list[str]:
    return [json.loads(line)["studyInstanceUid"] for line in text.splitlines()]


@pytest.mark.usefixtures("changes")
class TestFeed:
    def test_lines_for_people(self, bulkhead: Command) -> None:
        result = bulkhead("feed")
        assert result.exit_code == 0, result.output
        assert [line.split()[2:5] for line in result.stdout.splitlines()] == [
            ["Create", "Current", "clinic-a"],
            ["Create", "Deleted", "clinic-a"],
            ["Create", "Current", "clinic-a"],
            ["Delete", "Deleted", "clinic-a"],
        ]

    def test_json_lines_of_all_partitions(self, serve: Serve) -> None:
        result = command_on(serve(), BULKHEAD_PARTITION="")("feed", "--json")
        assert studies(result.stdout) == ["2.25.1", "2.25.2", "2.25.3", "2.25.9", "2.25.2"]
        assert "metadata" not in json.loads(result.stdout.splitlines()[0])

    def test_with_metadata(self, bulkhead: Command) -> None:
        first = json.loads(bulkhead("feed", "--json", "--metadata").stdout.splitlines()[0])
        assert first["metadata"]["0020000D"]["Value"] == ["2.25.1"]

    def test_small_windows_give_the_same_entries(self, bulkhead: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = bulkhead("feed", "--json").stdout
        monkeypatch.setattr(feed_of_client, "_WINDOW", 1)
        assert bulkhead("feed", "--json").stdout == whole

    def test_since_a_number_and_a_time(self, bulkhead: Command) -> None:
        entries = [json.loads(line) for line in bulkhead("feed", "--json").stdout.splitlines()]
        after = bulkhead("feed", "--json", "--since", str(entries[1]["sequence"])).stdout
        assert [json.loads(line) for line in after.splitlines()] == entries[2:]
        from_then = bulkhead("feed", "--json", "--since", entries[2]["timestamp"]).stdout
        assert [json.loads(line) for line in from_then.splitlines()] == entries[2:]
        for since in ("now", "2999-01-01"):
            result = bulkhead("feed", "--json", "--since", since)
            assert (result.exit_code, result.stdout) == (0, "")

    def test_it_follows_and_says_where_to_go_on(
        self, bulkhead: Command, clinic: PartitionClient, pauses: list[Event]
    ) -> None:
        pauses += [
            lambda: None,
            lambda: clinic.stored(make_instance(study="2.25.4")),
            lambda: clinic.stored(make_instance(study="2.25.5")),
        ]
        result = bulkhead("feed", "--follow", "--since", "now", "--json")
        assert result.exit_code == 130
        assert studies(result.stdout) == ["2.25.4", "2.25.5"]
        last = json.loads(result.stdout.splitlines()[-1])["sequence"]
        assert f"Go on with --since {last}." in result.stderr
        clinic.stored(make_instance(study="2.25.6"))
        assert studies(bulkhead("feed", "--json", "--since", str(last)).stdout) == ["2.25.6"]

    def test_it_waits_for_a_server_that_restarts(
        self, bulkhead: Command, clinic: PartitionClient, pauses: list[Event], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = FeedReader.next_entries
        failures = [ServerUnreachable("http://pacs.test")]

        def read_or_fail(reader: FeedReader) -> list[dict[str, object]]:
            if pauses or not failures:
                return read(reader)
            raise failures.pop()

        def store() -> None:
            clinic.stored(make_instance(study="2.25.4"))
            pauses.append(lambda: None)

        monkeypatch.setattr(FeedReader, "next_entries", read_or_fail)
        pauses += [lambda: None, store]
        result = bulkhead("feed", "--follow", "--since", "now", "--json")
        assert result.exit_code == 130
        assert studies(result.stdout) == ["2.25.4"]
        assert "It is asked again." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"), [(["--since", "soon"], "'soon' is no sequence number"), (["--metadata"], "needs --json")]
)
def test_a_wrong_command_line(bulkhead: Command, arguments: list[str], text: str) -> None:
    result = bulkhead("feed", *arguments)
    assert result.exit_code == 2
    assert text in result.stderr


def test_an_empty_feed(bulkhead: Command) -> None:
    assert (bulkhead("feed").exit_code, bulkhead("feed").stdout) == (0, "")


def test_a_server_that_never_answered_ends_the_command(bulkhead: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: FeedReader) -> list[object]:
        raise ServerUnreachable("http://pacs.test")

    monkeypatch.setattr(FeedReader, "next_entries", fail)
    assert bulkhead("feed", "--follow").exit_code == 3


def test_numbers_that_appear_while_a_window_is_read_are_not_lost() -> None:
    """The window reaches beyond the newest entry that was seen before, and has a newer entry."""
    calls: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.query.decode())
        if request.url.path.endswith("latest"):
            return httpx.Response(200, json={"sequence": 5 if len(calls) == 1 else 9})
        offset = int(request.url.params["offset"])
        return httpx.Response(200, json=[{"sequence": number} for number in (5, 7, 9) if number > offset][:2])

    reader = FeedReader(ArchiveClient(transport=httpx.MockTransport(respond)))
    assert [entry["sequence"] for entry in reader.next_entries()] == [5, 7]
    assert [entry["sequence"] for entry in reader.next_entries()] == [9]
    assert reader.next_entries() == []


def test_callers_without_credentials_or_rights(
    serve: Serve, settings: Settings, engine: bootstrap.Engine, clinic: PartitionClient
) -> None:
    clinic.stored(make_instance())
    client = serve(auth=("tokens",))
    assert command_on(client)("feed").exit_code == 3
    elsewhere = create_token(settings, engine, "reader", partitions=("clinic-b",)).secret
    result = command_on(client, BULKHEAD_TOKEN=elsewhere)("feed")
    assert (result.exit_code, result.stdout) == (0, "")
