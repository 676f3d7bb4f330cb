"""DCMTK and Orthanc send to `bulkhead listen`, which stores on `bulkhead serve`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
import requests

from tests.integration.copies import bulkhead
from tests.integration.orthanc import orthanc, orthanc_installed
from tests.support.bundled_files import FOLDER
from tests.support.certificates import self_signed
from tests.support.instances import make_instance
from tests.support.waiting import wait_until

TOOLS = ("storescu", "echoscu", "findscu")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(MISSING), reason=f"missing: {', '.join(MISSING)} (Debian: dcmtk)"),
]

FILES = {
    "CT_small.dcm": ("-xe",),
    "MR_small_implicit.dcm": ("-xi",),
    "MR_small_bigendian.dcm": ("-xb",),
    "JPEG2000.dcm": ("-xw",),
    "SC_rgb_jpeg_dcmtk.dcm": ("-xy",),
    "MR_small_RLE.dcm": ("-xr",),
    "image_dfl.dcm": ("-xd",),
}
"""A test file of pydicom -> the option with which storescu proposes its transfer syntax."""


@dataclass(frozen=True, slots=True)
class Listening:
    """A running `bulkhead listen`, its address and the folder of its spool."""

    process: subprocess.Popen[str]
    port: int
    spool: Path

    def delivered(self) -> bool:
        """Tell whether the server has everything."""
        return not list((self.spool / "queue").iterdir())


@contextmanager
def listening(url: str, folder: Path, *arguments: str) -> Iterator[Listening]:
    """Run `bulkhead listen` in front of a server."""
    options = ["--host", "127.0.0.1", "--port", "0", "--url", url, "--spool", str(folder / "spool"), *arguments]
    with (folder / "listen.log").open("a") as log:
        process = subprocess.Popen(
            bulkhead("listen", *options),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    assert process.stdout is not None
    try:
        found = re.search(r":(\d+)\.$", process.stdout.readline().strip())
        assert found, (folder / "listen.log").read_text()
        yield Listening(process, int(found[1]), folder / "spool")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def run(tool: str, gateway: Listening, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of DCMTK against the gateway."""
    command = [tool, *arguments[:-1], "127.0.0.1", str(gateway.port), *arguments[-1:]]
    return subprocess.run([each for each in command if each], capture_output=True, text=True, timeout=60, check=False)


def names(count: int) -> Sequence[str]:
    """Return names of new partitions that are AE titles as well."""
    return [uuid.uuid4().hex[:16] for _ in range(count)]


def instances(url: str, partition: str) -> set[str]:
    answer = requests.get(f"{url}/v2/partitions/{partition}/instances", timeout=60)
    return {each["00080018"]["Value"][0] for each in answer.json()} if answer.status_code == 200 else set()


def original(url: str, partition: str, file: pydicom.Dataset) -> pydicom.Dataset:
    path = f"studies/{file.StudyInstanceUID}/series/{file.SeriesInstanceUID}/instances/{file.SOPInstanceUID}"
    headers = {"Accept": "application/dicom; transfer-syntax=*"}
    answer = requests.get(f"{url}/v2/partitions/{partition}/{path}", headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return pydicom.dcmread(BytesIO(answer.content))


def test_echo_and_unknown_titles(service_url: str, tmp_path: Path) -> None:
    with listening(service_url, tmp_path, "--allow", "CT1@127.0.0.1") as gateway:
        assert run("echoscu", gateway, "-aet", "CT1", "-aec", "BULKHEAD", "").returncode == 0
        unknown = run("echoscu", gateway, "-aet", "CT2", "-aec", "BULKHEAD", "")
        assert "Calling AE Title Not Recognized" in unknown.stderr
        unknown = run("echoscu", gateway, "-aet", "CT1", "-aec", "OTHER", "")
        assert "Called AE Title Not Recognized" in unknown.stderr


@pytest.mark.parametrize("name", FILES)
def test_dcmtk_stores_each_transfer_syntax(service_url: str, tmp_path: Path, name: str) -> None:
    (partition,) = names(1)
    file = pydicom.dcmread(FOLDER / name)
    if "PatientID" not in file or not file.get("StudyInstanceUID"):
        pytest.skip(f"{name} lacks what a store needs")
    with listening(service_url, tmp_path, "--partition", partition) as gateway:
        sent = run("storescu", gateway, *FILES[name], "-aec", "BULKHEAD", str(FOLDER / name))
        assert sent.returncode == 0, sent.stderr
        wait_until(gateway.delivered)
        assert list((gateway.spool / "refused").iterdir()) == []
    stored = original(service_url, partition, file)
    assert stored.file_meta.TransferSyntaxUID == file.file_meta.TransferSyntaxUID
    assert stored.PixelData == file.PixelData


def test_two_calling_titles_send_one_study_into_two_partitions(service_url: str, tmp_path: Path) -> None:
    first, second = names(2)
    path = tmp_path / "image.dcm"
    path.write_bytes(make_instance())
    options = ("--partition-by", "calling-aet", "--map", f"MR 2={second}")
    with listening(service_url, tmp_path, *options) as gateway:
        for title in (first, "MR 2"):
            assert run("storescu", gateway, "-aet", title, "-aec", "BULKHEAD", str(path)).returncode == 0
        wait_until(gateway.delivered)
    expected = {str(pydicom.dcmread(path).SOPInstanceUID)}
    assert instances(service_url, first) == instances(service_url, second) == expected


def test_dcmtk_stores_over_tls_with_a_certificate(service_url: str, tmp_path: Path) -> None:
    (partition,) = names(1)
    own, peer = self_signed(tmp_path, "own"), self_signed(tmp_path, "peer")
    path = tmp_path / "image.dcm"
    path.write_bytes(make_instance())
    certificates = ("--tls-certificate", str(own.certificate), "--tls-key", str(own.key))
    with listening(
        service_url, tmp_path, *certificates, "--tls-ca", str(peer.certificate), "--partition", partition
    ) as gateway:
        tls = ("+tls", str(peer.key), str(peer.certificate), "+cf", str(own.certificate))
        sent = run("storescu", gateway, *tls, "-aec", "BULKHEAD", str(path))
        assert sent.returncode == 0, sent.stderr
        assert run("storescu", gateway, "-aec", "BULKHEAD", str(path)).returncode != 0
        wait_until(gateway.delivered)
    assert len(instances(service_url, partition)) == 1


def test_dcmtk_finds_what_it_stored(service_url: str, tmp_path: Path) -> None:
    first, second = names(2)
    options = ("--partition-by", "called-aet", "--aet", first, "--aet", second, "--query")
    path = tmp_path / "image.dcm"
    path.write_bytes(make_instance(study="2.25.21", patient_name="Müller^Änne", SpecificCharacterSet="ISO_IR 192"))
    keys = ("QueryRetrieveLevel=STUDY", "PatientName=m*", "StudyInstanceUID", "NumberOfStudyRelatedInstances")
    query = [argument for key in keys for argument in ("-k", key)]
    with listening(service_url, tmp_path, *options) as gateway:
        assert run("storescu", gateway, "-aec", first, str(path)).returncode == 0
        wait_until(gateway.delivered)
        for title, count in ((first, 1), (second, 0)):
            answer = run("findscu", gateway, "-S", "-aec", title, *query, "")
            assert answer.returncode == 0, answer.stderr
            text = answer.stdout + answer.stderr
            assert text.count("2.25.21") == count
            assert text.count("Müller^Änne") == count


@pytest.mark.skipif(not orthanc_installed(), reason="Orthanc is missing (Debian: orthanc orthanc-dicomweb)")
def test_orthanc_sends_a_study(service_url: str, tmp_path: Path) -> None:
    (partition,) = names(1)
    with (
        listening(service_url, tmp_path, "--partition-by", "called-aet", "--aet", partition) as gateway,
        orthanc(tmp_path, service_url) as sender,
    ):
        files = [make_instance(study="2.25.11", series="2.25.12") for _ in range(5)]
        identifiers = [sender.store(file) for file in files]
        sender.send_dimse(identifiers, partition, ("127.0.0.1", gateway.port))
        sender.echo_dimse()
        wait_until(gateway.delivered)
    assert len(instances(service_url, partition)) == 5
