"""A client of the worklist (UPS-RS) for tests."""

from __future__ import annotations

import json
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.dicomweb import DICOM_JSON
from tests.support.workitems import COMPLETE, Dataset, state, workitem


class WorklistClient:
    """Calls the worklist under one prefix, which is a version and a partition."""

    def __init__(self, client: FlaskClient, prefix: str = "/v2/partitions/clinic-a") -> None:
        self.client = client
        self.prefix = prefix

    def send(self, method: str, path: str, body: Any, **headers: str) -> TestResponse:
        """Send a body. Bytes are sent unchanged, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Content-Type": DICOM_JSON} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(f"{self.prefix}/workitems{path}", method=method, data=data, headers=given)

    def get(self, path: str = "", **headers: str) -> TestResponse:
        return self.client.get(f"{self.prefix}/workitems{path}", headers=headers)

    # --- calls ---

    def add(self, uid: str, dataset: Dataset | None = None) -> TestResponse:
        return self.send("POST", f"?{uid}", [workitem() if dataset is None else dataset])

    def update(self, uid: str, dataset: Dataset, transaction: str = "") -> TestResponse:
        return self.send("POST", f"/{uid}" + (f"?{transaction}" if transaction else ""), [dataset])

    def change_state(self, uid: str, wanted: str, transaction: str) -> TestResponse:
        return self.send("PUT", f"/{uid}/state", [state(wanted, transaction)])

    def cancel(self, uid: str, dataset: Dataset | None = None) -> TestResponse:
        return self.send("POST", f"/{uid}/cancelrequest", [dataset or {}])

    # --- states ---

    def brought_to(self, uid: str, wanted: str, transaction: str) -> None:
        """Add a workitem and change its state to the one that is wanted."""
        assert self.add(uid).status_code == 201
        if wanted == "SCHEDULED":
            return
        assert self.change_state(uid, "IN PROGRESS", transaction).status_code == 200
        assert self.update(uid, COMPLETE, transaction).status_code == 200
        if wanted != "IN PROGRESS":
            assert self.change_state(uid, wanted, transaction).status_code == 200

    def state_of(self, uid: str) -> str:
        found: str = self.dataset(uid)["00741000"]["Value"][0]
        return found

    def dataset(self, uid: str) -> Dataset:
        response = self.get(f"/{uid}")
        assert response.status_code == 200, response.text
        dataset: Dataset = response.get_json(force=True)
        return dataset

    def found(self, query: str = "") -> list[str]:
        """Return the UIDs of the workitems that match, in the order of the response."""
        response = self.get(f"?{query}")
        assert response.status_code in (200, 204), response.text
        return [] if response.status_code == 204 else [uid_of(row) for row in response.get_json(force=True)]


def uid_of(row: Dataset) -> str:
    """Return the SOP Instance UID of a workitem."""
    uid: str = row["00080018"]["Value"][0]
    return uid
