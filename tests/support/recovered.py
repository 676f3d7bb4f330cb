"""What clients read from an archive, to compare it before and after a recovery."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path
from typing import Any

from app.bootstrap.engines import create_stores
from app.settings import Settings
from tests.support.dicomweb import AS_STORED, PartitionClient, parts

SEARCHES = (
    "/studies?includefield=all",
    "/series?includefield=all",
    "/instances?includefield=all",
    "/studies?PatientName=Doe&fuzzymatching=true",
    "/studies?PatientName=*oe*",
    "/studies?PatientID=P1&includefield=00201206,00201208",
    "/studies?StudyDate=20240101-20241231",
    "/studies?ModalitiesInStudy=MR",
    "/instances?SOPClassUID=1.2.840.10008.5.1.4.1.1.2",
)

_UIDS = ("0020000D", "0020000E", "00080018")


def answers(clinic: PartitionClient, *, original: bool = True) -> dict[str, Any]:
    """Return the answers of searches, the metadata and the files of a partition, and its statistics."""
    found: dict[str, Any] = {path: _rows(clinic, path + "&limit=200") for path in SEARCHES}
    headers = [{}, {"msdicom_request_original": "true"}] if original else [{}]
    for study in sorted({row["0020000D"]["Value"][0] for row in found[SEARCHES[0]]}):
        for given in headers:
            for each in clinic.get(f"/studies/{study}/metadata", **given).get_json(force=True):
                found[f"metadata {each['00080018']['Value'][0]} {given}"] = each
            files = clinic.get(f"/studies/{study}", AS_STORED, **given)
            assert files.status_code == 200, files.text
            found[f"files {study} {given}"] = sorted(part.body for part in parts(files))
    name = clinic.prefix.rpartition("/")[2]
    found["statistics"] = clinic.client.get(f"/v2/partitions/{name}/statistics").get_json()
    return found


def _rows(clinic: PartitionClient, path: str) -> list[Any]:
    response = clinic.get(path)
    assert response.status_code in (200, 204), response.text
    rows: list[Any] = response.get_json(force=True) if response.status_code == 200 else []
    return sorted(
        rows, key=lambda row: [row.get(tag, {}).get("Value", [""])[0] for tag in ("0020000D", "0020000E", "00080018")]
    )


def pass_a_second(settings: Settings) -> None:
    """Let the files of now be older than the next ones. S3 gives the times of objects in whole seconds."""
    if settings.engine == "aws":
        time.sleep(1.1)


def without_table(settings: Settings, folder: Path) -> Settings:
    """Return the settings of an archive that has the same blobs and an empty table."""
    if settings.engine == "aws":
        other = dataclasses.replace(settings, table="archive-2")
        create_stores(other)
        return other
    shutil.copytree(settings.data_dir / "blobs", folder / "blobs")
    return dataclasses.replace(settings, data_dir=folder)
