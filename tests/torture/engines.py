"""The engines of a campaign: embedded, moto, and DynamoDB Local with an S3 server."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.engines.aws import clients
from app.engines.embedded.blobs import EmbeddedBlobs
from tests.integration.servers import (
    KEYS,
    SIMULATOR,
    dynamodb_local,
    free_port,
    running,
    s3_server,
    s3_server_installed,
)

REPOSITORY: Final = Path(__file__).parents[2]
NAMES: Final = ("embedded", "moto", "dynamodb-local")
_NAME: Final = "torture"
_EXPORTS: Final = "torture-exports"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUnderTest:
    """An engine: the settings of its processes, and what the checks read behind the service."""

    environment: Mapping[str, str]
    destination: Mapping[str, Any]
    """The destination of exports, without a prefix."""
    partition_keys: Callable[[], set[str]]
    """Returns all partition keys of the table."""
    blobs: Callable[[], set[str]]
    """Returns the keys of all blobs."""
    exported: Callable[[str], dict[str, bytes]]
    """Returns the files of an export below a prefix, by name."""


def installed() -> list[str]:
    """Return the engines that can run here. DynamoDB Local needs what `make integration` installs."""
    simulator = (REPOSITORY / SIMULATOR / "DynamoDBLocal.jar").is_file() and shutil.which("java")
    return [name for name in NAMES if name != NAMES[2] or (simulator and s3_server_installed())]


@contextmanager
def engine(name: str, folder: Path) -> Iterator[EngineUnderTest]:
    """Start the engine of this name with an empty archive. Its servers end at the end."""
    with ExitStack() as started:
        if name == "embedded":
            yield _embedded(folder)
            return
        if name == "moto":
            port = free_port()
            command = [sys.executable, "-m", "tests.torture.moto_server", str(port)]
            started.enter_context(running(command, port, folder / "moto.log", REPOSITORY))
            endpoints = [f"http://127.0.0.1:{port}"] * 2
        else:
            endpoints = [
                started.enter_context(dynamodb_local(folder, REPOSITORY)),
                started.enter_context(s3_server(folder)),
            ]
        yield _aws(*endpoints)


def _embedded(folder: Path) -> EngineUnderTest:
    data = folder / "data"

    def partition_keys() -> set[str]:
        with sqlite3.connect(data / "index.sqlite") as connection:
            return {row[0] for row in connection.execute("SELECT DISTINCT pk FROM item")}

    def blobs() -> set[str]:
        return {blob.key for blob in EmbeddedBlobs(data / "blobs", 0).listed()}

    def exported(prefix: str) -> dict[str, bytes]:
        files = (data / "exports" / prefix).rglob("*.dcm")
        return {file.as_posix(): file.read_bytes() for file in files}

    return EngineUnderTest(
        environment=_COMMON | {"BULKHEAD_DATA_DIR": str(data)},
        destination={"type": "file", "settings": {}},
        partition_keys=partition_keys,
        blobs=blobs,
        exported=exported,
    )


def _aws(dynamodb: str, s3: str) -> EngineUnderTest:
    environment = _COMMON | {
        "BULKHEAD_ENGINE": "aws",
        "BULKHEAD_TABLE": _NAME,
        "BULKHEAD_BUCKET": _NAME,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb,
        "AWS_ENDPOINT_URL_S3": s3,
        "AWS_ACCESS_KEY_ID": KEYS[0],
        "AWS_SECRET_ACCESS_KEY": KEYS[1],
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    os.environ.update(environment)
    subprocess.run([sys.executable, "-m", "app.entry.cli", "init"], env=os.environ, check=True, capture_output=True)
    bucket = clients.s3()
    bucket.create_bucket(Bucket=_EXPORTS)

    def partition_keys() -> set[str]:
        pages = clients.dynamodb().get_paginator("scan").paginate(TableName=_NAME, ProjectionExpression="pk")
        return {item["pk"]["S"] for page in pages for item in page["Items"]}

    def listed(name: str, prefix: str = "") -> Iterator[str]:
        for page in bucket.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=prefix):
            yield from (each["Key"] for each in page.get("Contents", ()))

    def exported(prefix: str) -> dict[str, bytes]:
        found = (key for key in listed(_EXPORTS, prefix) if key.endswith(".dcm"))
        return {key: bucket.get_object(Bucket=_EXPORTS, Key=key)["Body"].read() for key in found}

    return EngineUnderTest(
        environment=environment,
        destination={"type": "s3", "settings": {"bucketName": _EXPORTS}},
        partition_keys=partition_keys,
        blobs=lambda: set(listed(_NAME)),
        exported=exported,
    )


_COMMON: Final = {
    "BULKHEAD_AUDIT": "off",
    "BULKHEAD_LOG_LEVEL": "warning",
    "BULKHEAD_DELETE_DELAY_SECONDS": "1",
    "BULKHEAD_DECODING_PROCESSES": "1",
}
