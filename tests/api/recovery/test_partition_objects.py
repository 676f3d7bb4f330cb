"""Each partition has an object with its name beside the blobs."""

from __future__ import annotations

from app.bootstrap.engines import Engine
from app.errors import StorageUnavailable
from app.storage.records.partition_objects import PartitionObjects
from app.storage.table import keys
from tests.conftest import Serve
from tests.support.background import work
from tests.support.dicomweb import PartitionClient
from tests.support.faulty_engine import Faults
from tests.support.instances import make_instance


def names(engine: Engine) -> dict[int, str]:
    return {each.key: each.name for each in PartitionObjects(engine.blobs).listed()}


def test_a_new_partition_gets_its_object(engine: Engine, clinic: PartitionClient) -> None:
    assert names(engine) == {1: "Microsoft.Default"}
    clinic.stored(make_instance())
    assert names(engine) == {1: "Microsoft.Default", 2: "clinic-a"}


def test_a_failing_blob_store_does_not_fail_the_request(engine: Engine, serve: Serve, faults: Faults) -> None:
    client = serve()
    failed: list[str] = []

    def fail(call: str) -> None:
        """Let the first object of the request fail: that of the partition."""
        if call == "blobs.put" and not failed:
            failed.append(call)
            raise StorageUnavailable

    faults.hook = fail
    PartitionClient(client).stored(make_instance())
    assert failed
    assert names(engine) == {1: "Microsoft.Default"}
    faults.hook = None
    work(client)
    assert names(engine) == {1: "Microsoft.Default", 2: "clinic-a"}


def test_an_archive_of_an_earlier_release_gets_its_objects(engine: Engine, serve: Serve) -> None:
    PartitionClient(serve()).stored(make_instance())
    engine.blobs.delete([keys.partition_object(1), keys.partition_object(2)])
    work(serve())
    assert names(engine) == {1: "Microsoft.Default", 2: "clinic-a"}
