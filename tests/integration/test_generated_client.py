"""A client that openapi-python-client generates of the OpenAPI document: it stores, searches and reads metadata."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

pytestmark = pytest.mark.integration

PACKAGE = "generated_bulkhead_client"
OVERRIDES = """\
content_type_overrides:
  application/dicom: application/octet-stream
  multipart/related; type="application/dicom": application/octet-stream
"""
"""The generator writes no call with a body of a media type that it does not know. It sends these as bytes."""


@pytest.fixture(scope="module")
def generated(service_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of the package of the client, which can be imported."""
    folder = tmp_path_factory.mktemp("client")
    configuration = folder / "configuration.yaml"
    configuration.write_text(OVERRIDES)
    command = [
        *(str(Path(sys.executable).with_name("openapi-python-client")), "generate", "--url"),
        *(f"{service_url}/v2/api.json", "--output-path", str(folder / PACKAGE), "--meta", "none"),
        *("--config", str(configuration)),
    ]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "Endpoint will not be generated" not in made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    yield PACKAGE
    sys.path.remove(str(folder))


def call(name: str) -> Any:
    """Return a module of the client."""
    return importlib.import_module(f"{PACKAGE}.{name}")


def test_the_client_stores_an_instance_and_finds_it(generated: str, service_url: str) -> None:
    client = call("client").Client(base_url=service_url, raise_on_unexpected_status=True)
    body = call("types").File(payload=io.BytesIO(Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()))
    stored = call("api.store.partition_store_instance").sync_detailed("generated", client=client, body=body)
    assert stored.status_code == 200
    (reference,) = stored.parsed["00081199"].value
    instance = reference["00081155"]["Value"][0]
    filters = call("models.partition_search_studies_filters").PartitionSearchStudiesFilters()
    filters["PatientID"] = "1CT1"
    (found,) = call("api.query.partition_search_studies").sync("generated", client=client, filters=filters, limit=5)
    assert found["00100020"].value == ["1CT1"]
    filters["PatientID"] = "nobody"
    assert call("api.query.partition_search_studies").sync("generated", client=client, filters=filters) is None
    (metadata,) = call("api.retrieve.partition_retrieve_study_metadata").sync(
        "generated", found["0020000D"].value[0], client=client
    )
    assert metadata["00080018"].value == [instance]


def test_the_client_reads_the_management_resources(generated: str, service_url: str) -> None:
    client = call("client").Client(base_url=service_url, raise_on_unexpected_status=True)
    names = [each.partition_name for each in call("api.partition.get_partitions").sync(client=client)]
    assert "Microsoft.Default" in names
    assert call("api.service.get_health").sync(client=client).overall_status == "Healthy"
    refused = call("api.query.partition_search_studies").sync_detailed("absent", client=client)
    assert (refused.status_code, refused.parsed) == (400, "Specified PartitionName absent doesn't exist.")
