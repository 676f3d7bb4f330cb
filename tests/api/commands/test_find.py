"""`bulkhead find`, `bulkhead partitions` and `bulkhead rm`."""

from __future__ import annotations

import csv
import json
import sys
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import bootstrap
from app.client import pages
from app.entry.client_commands import rm
from app.settings import Settings
from tests.api.commands.conftest import Command, command_on
from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance
from tests.support.tokens import create_token


@pytest.fixture
def studies(clinic: PartitionClient) -> None:
    """Three studies; the first has two series."""
    clinic.stored(
        make_instance(study="2.25.1", series="2.25.11", instance="2.25.111", PatientName="Doe^Jane"),
        make_instance(study="2.25.1", series="2.25.12", instance="2.25.121", PatientName="Doe^Jane"),
        make_instance(study="2.25.2", series="2.25.21", instance="2.25.211", PatientName="Roe^\x1b[31mRed"),
        make_instance(study="2.25.3", series="2.25.31", instance="2.25.311", PatientName='Comma, "Quote"'),
    )


def uids(result: Any, tag: str = "0020000D") -> list[str]:
    assert result.exit_code == 0, result.output
    return [each[tag]["Value"][0] for each in json.loads(result.stdout)]


@pytest.mark.usefixtures("studies")
class TestFind:
    def test_a_table_of_studies(self, bulkhead: Command) -> None:
        result = bulkhead("find")
        heading, *rows = result.stdout.splitlines()
        assert heading.split() == [
            *("PatientName", "PatientID", "StudyDate", "ModalitiesInStudy", "StudyDescription"),
            *("NumberOfStudyRelatedInstances", "StudyInstanceUID"),
        ]
        assert [row.split()[-1] for row in rows] == ["2.25.3", "2.25.2", "2.25.1"]
        assert "\x1b" not in result.stdout

    @pytest.mark.parametrize(
        ("terms", "found"),
        [
            (["PatientName=Doe*"], ["2.25.1"]),
            (["00100010=doe*"], ["2.25.1"]),
            (["--fuzzy", "PatientName=Ja"], ["2.25.1"]),
            (["studies", "StudyInstanceUID=2.25.2"], ["2.25.2"]),
            (["PatientName=Nobody"], []),
        ],
    )
    def test_filters(self, bulkhead: Command, terms: list[str], found: list[str]) -> None:
        assert uids(bulkhead("find", "--json", *terms)) == found

    def test_series_and_instances_of_a_study(self, bulkhead: Command) -> None:
        series = uids(bulkhead("find", "series", "StudyInstanceUID=2.25.1", "--json"), "0020000E")
        assert sorted(series) == ["2.25.11", "2.25.12"]
        assert uids(bulkhead("find", "instances", "SeriesInstanceUID=2.25.12", "--json"), "00080018") == ["2.25.121"]

    def test_csv_quotes_what_it_must(self, bulkhead: Command) -> None:
        printed = bulkhead("find", "--csv", "--fields", "PatientName,0020000D").stdout
        rows = list(csv.reader(printed.splitlines()))
        assert rows[0] == ["PatientName", "StudyInstanceUID"]
        assert rows[1] == ['Comma, "Quote"', "2.25.3"]

    def test_the_limit_says_that_there_are_more(self, bulkhead: Command) -> None:
        result = bulkhead("find", "--limit", "2", "--json")
        assert uids(result) == ["2.25.3", "2.25.2"]
        assert "more than 2" in result.stderr
        assert bulkhead("find", "--limit", "3").stderr == ""

    def test_all_goes_through_the_pages(self, bulkhead: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pages, "LARGEST_PAGE", 2)
        assert len(set(uids(bulkhead("find", "instances", "--all", "--json"), "00080018"))) == 4

    def test_all_follows_the_links_beyond_the_highest_offset(
        self, bulkhead: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent: list[list[tuple[str, str]]] = []
        read = pages._page

        def noted(client: Any, path: str, parameters: list[tuple[str, str]], at_base: bool) -> tuple[list[Any], str]:
            sent.append(parameters)
            return read(client, path, parameters, at_base)

        monkeypatch.setattr(pages, "LARGEST_PAGE", 1)
        monkeypatch.setattr(pages, "_page", noted)
        assert len(uids(bulkhead("find", "instances", "--all", "--json"), "00080018")) == 4
        assert [parameters[-1][0] for parameters in sent] == ["offset", "cursor", "cursor", "cursor"]

    def test_ctrl_c_between_two_pages(self, bulkhead: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        read = pages._page

        def interrupted(*arguments: Any) -> tuple[list[Any], str]:
            if ("offset", "0") not in arguments[2]:
                raise KeyboardInterrupt
            return read(*arguments)

        monkeypatch.setattr(pages, "LARGEST_PAGE", 2)
        monkeypatch.setattr(pages, "_page", interrupted)
        result = bulkhead("find", "instances", "--all", "--json")
        assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")
        assert result.stdout.count("00080018") == 2

    def test_nothing_found_is_success(self, bulkhead: Command) -> None:
        result = bulkhead("find", "PatientID=nobody")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No studies were found.\n")

    @pytest.mark.parametrize(
        ("terms", "text"),
        [
            (["patientname=Doe"], "Did you mean PatientName?"),
            (["Nonsense=1"], "There is no attribute 'Nonsense'."),
            (["2.25.1"], "'2.25.1' is not KEYWORD=VALUE."),
            (["--fields", "Nope"], "There is no attribute 'Nope'."),
            (["--json", "--csv"], "exclude each other"),
            (["--limit", "0"], "--limit"),
        ],
    )
    def test_a_wrong_command_line(self, bulkhead: Command, terms: list[str], text: str) -> None:
        result = bulkhead("find", *terms)
        assert result.exit_code == 2
        assert text in result.stderr

    def test_a_refusal_of_the_server(self, bulkhead: Command) -> None:
        result = bulkhead("find", "StudyDate=yesterday")
        assert result.exit_code == 1
        assert "HTTP 400" in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_a_page_that_moves_gives_no_entry_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "LARGEST_PAGE", 2)
    listed = iter([(["c", "b"], ""), (["b", "a"], ""), ([], "")])
    monkeypatch.setattr(pages, "_page", lambda *_: next(listed))
    assert list(pages.pages(None, "/studies")) == [["c", "b"], ["a"]]  # type: ignore[arg-type]  # it is not called


@pytest.mark.usefixtures("studies")
class TestRemoval:
    def test_each_level_is_deleted(self, bulkhead: Command) -> None:
        result = bulkhead("rm", "--yes", "2.25.2", "2.25.1/2.25.11", "2.25.3/2.25.31/2.25.311")
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines() == [
            "Deleted the study 2.25.2.",
            "Deleted the series 2.25.1/2.25.11.",
            "Deleted the instance 2.25.3/2.25.31/2.25.311.",
        ]
        assert uids(bulkhead("find", "instances", "--json"), "00080018") == ["2.25.121"]

    def test_what_is_not_there_does_not_keep_the_others(self, bulkhead: Command) -> None:
        result = bulkhead("rm", "--yes", "--json", "2.25.9", "2.25.2")
        assert result.exit_code == 1
        assert json.loads(result.stdout) == [
            {"identifier": "2.25.9", "deleted": False},
            {"identifier": "2.25.2", "deleted": True},
        ]
        assert result.stderr == "There is no study 2.25.9.\n"

    def test_nobody_to_ask(self, bulkhead: Command) -> None:
        result = bulkhead("rm", "2.25.2")
        assert result.exit_code == 2
        assert "--yes" in result.stderr
        assert len(uids(bulkhead("find", "--json"))) == 3

    @pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 2), ("n\n", 1, 3), ("", 130, 3)])
    def test_the_person_at_the_terminal_decides(
        self, bulkhead: Command, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: int
    ) -> None:
        class Terminal:
            class stdin:  # noqa: N801 - it stands in for sys.stdin
                isatty = staticmethod(lambda: True)

            exit = staticmethod(sys.exit)

        monkeypatch.setattr(rm, "sys", Terminal)
        result = bulkhead("rm", "2.25.2", text=answer)
        assert result.exit_code == code
        assert "Delete the study 2.25.2 in the partition clinic-a for ever?" in result.stderr
        assert len(uids(bulkhead("find", "--json"))) == left

    def test_what_is_no_identifier(self, bulkhead: Command) -> None:
        for text in ("a", "1/2/3/4", "../x", ""):
            result = bulkhead("rm", "--yes", text)
            assert result.exit_code == 2
            assert "is neither STUDY" in result.stderr


def test_partitions(bulkhead: Command, clinic: PartitionClient) -> None:
    clinic.stored(make_instance())
    listed = json.loads(bulkhead("partitions", "--json").stdout)
    assert [each["partitionName"] for each in listed] == ["Microsoft.Default", "clinic-a"]
    assert "clinic-a" in bulkhead("partitions").stdout
    _, counted = json.loads(bulkhead("partitions", "--counts", "--json").stdout)
    assert (counted["studies"], counted["instances"], counted["bytes"] > 0) == (1, 1, True)
    assert bulkhead("partitions", "--csv").stdout.startswith("partitionKey,partitionName")


def test_partitions_that_are_off(serve: Serve) -> None:
    result = command_on(serve(enable_data_partitions=False))("partitions")
    assert result.exit_code == 1
    assert "Data partitions capability is disabled." in result.stderr


def test_callers_without_credentials_or_rights(
    serve: Serve, settings: Settings, engine: bootstrap.Engine, clinic: PartitionClient
) -> None:
    clinic.stored(make_instance(study="2.25.1"))
    client: FlaskClient = serve(auth=("tokens",))
    reader = create_token(settings, engine, "reader").secret
    for arguments in (["find"], ["partitions"], ["rm", "--yes", "2.25.1"]):
        result = command_on(client)(*arguments)
        assert (result.exit_code, len(result.stderr.splitlines())) == (3, 1)
    assert command_on(client, BULKHEAD_TOKEN=reader)("find").exit_code == 0
    result = command_on(client, BULKHEAD_TOKEN=reader)("rm", "--yes", "2.25.1")
    assert result.exit_code == 1
    assert "bulkhead grant --help" in result.stderr
