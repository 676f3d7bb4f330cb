"""Orthanc as a peer: a server with its DICOMweb plugin that sends requests to another DICOMweb server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.integration.servers import free_port, running

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_PEER = "peer"


def orthanc_installed() -> bool:
    """Return whether Orthanc and its DICOMweb plugin are installed."""
    return shutil.which("Orthanc") is not None and PLUGIN.exists()


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running Orthanc that knows one DICOMweb server, its peer."""

    url: str

    def store(self, file: bytes) -> str:
        """Store a file in Orthanc itself. Return the identifier that Orthanc gives the instance."""
        return str(self._ok(requests.post(f"{self.url}/instances", data=file)).json()["ID"])

    def delete(self, identifier: str) -> None:
        """Delete an instance in Orthanc itself."""
        self._ok(requests.delete(f"{self.url}/instances/{identifier}"))

    def file(self, identifier: str) -> bytes:
        """Return the file of an instance in Orthanc itself."""
        return self._ok(requests.get(f"{self.url}/instances/{identifier}/file")).content

    def instances(self) -> list[str]:
        """Return the identifiers of the instances in Orthanc itself."""
        return list(self._ok(requests.get(f"{self.url}/instances")).json())

    def send_dimse(self, identifiers: list[str], title: str, address: tuple[str, int]) -> None:
        """Send instances to an application entity (C-STORE)."""
        host, port = address
        self._ok(requests.put(f"{self.url}/modalities/entity", json={"AET": title, "Host": host, "Port": port}))
        self._ok(requests.post(f"{self.url}/modalities/entity/store", json={"Resources": identifiers}))

    def echo_dimse(self) -> None:
        """Send a C-ECHO to the entity of `send_dimse`."""
        self._ok(requests.post(f"{self.url}/modalities/entity/echo", json={}))

    def send(self, identifiers: list[str]) -> None:
        """Send instances to the peer (STOW-RS)."""
        self._ask("stow", {"Resources": identifiers, "Synchronous": True})

    def query(self, path: str, **arguments: str) -> list[dict[str, Any]]:
        """Query the peer (QIDO-RS). Each match has one entry per tag, with the value in `Value`."""
        return list(self._ask("qido", {"Uri": path, "Arguments": arguments}).json())

    def retrieve(self, study: str) -> None:
        """Retrieve a study from the peer (WADO-RS) into Orthanc itself."""
        self._ask("retrieve", {"Resources": [{"Study": study}], "Synchronous": True})

    def _ask(self, action: str, body: dict[str, Any]) -> requests.Response:
        return self._ok(requests.post(f"{self.url}/dicom-web/servers/{_PEER}/{action}", json=body))

    def _ok(self, answer: requests.Response) -> requests.Response:
        assert answer.status_code == 200, answer.text
        return answer


@contextmanager
def orthanc(folder: Path, peer: str) -> Iterator[Orthanc]:
    """Start an Orthanc whose peer is the DICOMweb server at the URL `peer`. Its files are in `folder`."""
    port = free_port()
    configuration = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Servers": {_PEER: {"Url": f"{peer}/"}}},
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration))
    with running(["Orthanc", str(path)], port, folder / "orthanc.log", cwd=folder):
        yield Orthanc(f"http://127.0.0.1:{port}")
