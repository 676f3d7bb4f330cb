"""`bulkhead fetch` against the service."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from click.testing import Result
from flask.testing import FlaskClient

from app.client.fetch import download
from tests.api.commands.transfer.conftest import Run, Service
from tests.support.dicomweb import PartitionClient
from tests.support.instances import EXPLICIT_LITTLE, RLE, make_instance

STUDY = "2.25.1"


@pytest.fixture
def stored(client: FlaskClient) -> dict[str, bytes]:
    """The files of three series of two studies, by their names in the target."""
    files = {
        f"{study}/{series}/{instance}.dcm": make_instance(
            study=study, series=series, instance=instance, patient_id=f"P{study[-1]}", modality=modality
        )
        for study, series, instance, modality in (
            (STUDY, "2.25.11", "2.25.111", "CT"),
            (STUDY, "2.25.11", "2.25.112", "CT"),
            (STUDY, "2.25.12", "2.25.121", "MR"),
            ("2.25.2", "2.25.21", "2.25.211", "CT"),
        )
    }
    PartitionClient(client).stored(*files.values())
    return files


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def summary(result: Result) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(result.stdout)
    return document


@pytest.mark.parametrize(
    ("terms", "names"),
    [
        ([STUDY], {f"{STUDY}/2.25.11/2.25.111.dcm", f"{STUDY}/2.25.11/2.25.112.dcm", f"{STUDY}/2.25.12/2.25.121.dcm"}),
        ([f"{STUDY}/2.25.12", "2.25.2"], {f"{STUDY}/2.25.12/2.25.121.dcm", "2.25.2/2.25.21/2.25.211.dcm"}),
        ([f"{STUDY}/2.25.11/2.25.112"], {f"{STUDY}/2.25.11/2.25.112.dcm"}),
        (["PatientID=P1", "Modality=MR"], {f"{STUDY}/2.25.12/2.25.121.dcm"}),
        (["PatientID=P2"], {"2.25.2/2.25.21/2.25.211.dcm"}),
    ],
)
def test_the_files_are_those_that_were_stored(
    bulkhead: Run, stored: dict[str, bytes], out: Path, terms: list[str], names: set[str]
) -> None:
    result = bulkhead("fetch", "--partition", "clinic-a", *terms, "-o", out)
    assert result.exit_code == 0, result.output
    assert tree(out) == {name: stored[name] for name in names}
    assert f"Fetched {len(names)} file" in result.stdout


def test_a_zip_archive(bulkhead: Run, stored: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "new.zip"
    result = bulkhead("fetch", "--partition", "clinic-a", STUDY, "2.25.2", "--zip", path)
    assert result.exit_code == 0, result.output
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == stored
    again = bulkhead("fetch", "--partition", "clinic-a", STUDY, "--zip", path)
    assert again.exit_code == 1
    assert "exists. Remove it" in again.stderr
    assert not list(tmp_path.glob(".*.part"))


def test_files_that_are_there_are_not_retrieved_again(
    bulkhead: Run, service: Service, stored: dict[str, bytes], out: Path
) -> None:
    assert bulkhead("fetch", "--partition", "clinic-a", STUDY, "-o", out).exit_code == 0
    service.requests.clear()
    (out / STUDY / "2.25.11" / "2.25.111.dcm").unlink()
    (out / STUDY / "2.25.11" / "2.25.112.dcm").write_bytes(b"cut")
    again = summary(bulkhead("fetch", "--partition", "clinic-a", STUDY, "-o", out, "--json"))
    assert (again["fetched"], again["present"]) == (2, 1)
    assert tree(out) == {name: data for name, data in stored.items() if name.startswith(f"{STUDY}/")}
    assert len([path for path in service.paths("GET") if path.count("/") == 9]) == 2


def test_another_transfer_syntax(bulkhead: Run, stored: dict[str, bytes], out: Path) -> None:
    for name, syntax in (("RLELossless", RLE), (EXPLICIT_LITTLE, EXPLICIT_LITTLE)):
        folder = out / name
        result = bulkhead("fetch", "--partition", "clinic-a", "2.25.2", "-o", folder, "--transfer-syntax", name)
        assert result.exit_code == 0, result.output
        (path,) = folder.rglob("*.dcm")
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax


def test_what_cannot_be_transcoded_hides_nothing(
    bulkhead: Run, client: FlaskClient, stored: dict[str, bytes], out: Path
) -> None:
    PartitionClient(client).stored(make_instance(study="2.25.2", instance="2.25.9", pixel=bytes(7), series="2.25.8"))
    result = bulkhead("fetch", "--partition", "clinic-a", "2.25.2", "-o", out, "--transfer-syntax", RLE)
    assert result.exit_code == 1
    assert "1 file not fetched:" in result.stdout
    assert "1 x HTTP 406: The specified transcoding is not supported." in result.stdout
    assert [path.name for path in out.rglob("*.dcm")] == ["2.25.211.dcm"]


@pytest.mark.parametrize("terms", [["2.25.404"], ["PatientID=nobody"], ["2.25.404/2.25.1/2.25.2"]])
def test_nothing_is_found(bulkhead: Run, stored: dict[str, bytes], tmp_path: Path, terms: list[str]) -> None:
    result = bulkhead("fetch", "--partition", "clinic-a", *terms, "--zip", tmp_path / "x.zip")
    assert result.exit_code == 1
    assert "1 file not fetched" in result.stdout
    assert not (tmp_path / "x.zip").exists()
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(
    "arguments", [[], ["a/b"], ["1.2.3", "PatientID=1"], ["Nonsense=1"], ["1.2", "--transfer-syntax", "best"], ["../1"]]
)
def test_a_wrong_command_line(bulkhead: Run, service: Service, arguments: list[str]) -> None:
    assert bulkhead("fetch", *arguments).exit_code == 2
    assert service.requests == []


class Breaking(httpx.SyncByteStream):
    """A body that breaks after its first bytes."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"first bytes"
        raise httpx.ReadError("connection reset")


def retrieval(answer: Callable[[], httpx.Response], times: int) -> Callable[[httpx.Request], httpx.Response | None]:
    """Return what answers the first retrievals of a file."""
    left = [times]

    def before(request: httpx.Request) -> httpx.Response | None:
        if request.method != "GET" or not request.headers["Accept"].startswith("application/dicom;") or not left[0]:
            return None
        left[0] -= 1
        return answer()

    return before


FAULTS = {
    "breaks": lambda: httpx.Response(200, stream=Breaking()),
    "other bytes": lambda: httpx.Response(200, content=b"x", headers={"Repr-Digest": "sha-256=:AAAA:"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_download_that_breaks_is_repeated(
    bulkhead: Run, service: Service, stored: dict[str, bytes], out: Path, fault: str
) -> None:
    service.before = retrieval(FAULTS[fault], 2)
    result = bulkhead("fetch", "--partition", "clinic-a", "2.25.2", "-o", out)
    assert result.exit_code == 0, result.output
    assert list(tree(out).values()) == [stored["2.25.2/2.25.21/2.25.211.dcm"]]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_download_that_breaks_for_ever_leaves_no_file(
    bulkhead: Run, service: Service, stored: dict[str, bytes], out: Path, fault: str
) -> None:
    service.before = retrieval(FAULTS[fault], 99)
    result = bulkhead("fetch", "--partition", "clinic-a", "2.25.2", "-o", out)
    assert result.exit_code == 1
    assert tree(out) == {}


@pytest.mark.parametrize("into", ["folder", "zip"])
def test_an_interrupted_run_goes_on(
    bulkhead: Run, service: Service, stored: dict[str, bytes], tmp_path: Path, into: str
) -> None:
    target = ["-o", tmp_path / "out"] if into == "folder" else ["--zip", tmp_path / "x.zip"]
    calls: list[int] = []

    def interrupt(request: httpx.Request) -> None:
        if request.method == "GET" and request.headers["Accept"].startswith("application/dicom;"):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt

    service.before = interrupt
    result = bulkhead("fetch", "--partition", "clinic-a", STUDY, "--jobs", 1, *target)
    assert result.exit_code == 130
    assert ("Give the same command again" in result.stderr) == (into == "folder")
    left = [path for path in tmp_path.rglob("*") if path.suffix in (".part", ".zip")]
    assert left == []
    service.before = lambda _request: None
    again = summary(bulkhead("fetch", "--partition", "clinic-a", STUDY, "--json", *target))
    assert (again["fetched"], again["present"]) == ((1, 2) if into == "folder" else (3, 0))


def test_a_refused_caller_ends_the_run(bulkhead: Run, service: Service, stored: dict[str, bytes], out: Path) -> None:
    service.before = retrieval(lambda: httpx.Response(401, text="The credentials have expired."), 99)
    result = bulkhead("fetch", "--partition", "clinic-a", STUDY, "--jobs", 1, "-o", out)
    assert result.exit_code == 3
    assert "The credentials have expired." in result.stderr
    assert tree(out) == {}


def test_a_folder_that_cannot_be_written_ends_the_run(bulkhead: Run, stored: dict[str, bytes], out: Path) -> None:
    out.write_text("a file")
    result = bulkhead("fetch", "--partition", "clinic-a", STUDY, "-o", out / "deeper")
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_the_number_of_attempts_is_bounded(
    bulkhead: Run, service: Service, stored: dict[str, bytes], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_TRIES", 2)
    service.before = retrieval(FAULTS["breaks"], 99)
    result = bulkhead("fetch", "--partition", "clinic-a", "2.25.2", "-o", out)
    assert "1 x the download breaks: connection reset" in result.stdout
    assert len([path for path in service.paths("GET") if path.count("/") == 9]) == 2
