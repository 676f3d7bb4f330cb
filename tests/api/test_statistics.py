"""The statistics of partitions: numbers of studies, instances and bytes (conformance §2.9)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import bootstrap
from app.storage.table import keys
from app.storage.table.ports import Item, Put, Table
from tests.support.background import work
from tests.support.bulk_update import update
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

STUDY, OTHER, SERIES = "2.25.11", "2.25.12", "2.25.13"


def statistics(caller: PartitionClient) -> Any:
    answer = caller.get("/statistics")
    assert answer.status_code == 200
    return answer.json


def expected(studies: int, *files: bytes) -> dict[str, int]:
    return {"studies": studies, "instances": len(files), "bytes": sum(map(len, files))}


def test_each_store_counts_once(clinic: PartitionClient) -> None:
    first, second, third = make_instance(study=STUDY), make_instance(study=STUDY), make_instance(study=OTHER)
    clinic.stored(first)
    clinic.stored(second, third)
    assert clinic.store(first).status_code in (200, 202, 409)
    assert statistics(clinic) == expected(2, first, second, third)


def test_partitions_count_apart(client: FlaskClient, clinic: PartitionClient) -> None:
    elsewhere = PartitionClient(client, "/v2/partitions/clinic-b")
    file = make_instance(study=STUDY)
    clinic.stored(file)
    elsewhere.stored(file, more := make_instance(study=STUDY))
    assert statistics(clinic) == expected(1, file)
    assert statistics(elsewhere) == expected(1, file, more)


def test_deletions_are_subtracted_at_each_level(clinic: PartitionClient) -> None:
    alone = make_instance(study=STUDY, series=SERIES, instance="2.25.1")
    beside, another = make_instance(study=STUDY, series=SERIES), make_instance(study=STUDY)
    kept = make_instance(study=OTHER)
    clinic.stored(alone, beside, another, kept)
    clinic.delete(f"/studies/{STUDY}/series/{SERIES}/instances/2.25.1")
    assert statistics(clinic) == expected(2, beside, another, kept)
    clinic.delete(f"/studies/{STUDY}/series/{SERIES}")
    assert statistics(clinic) == expected(2, another, kept)
    clinic.delete(f"/studies/{STUDY}")
    assert statistics(clinic) == expected(1, kept)


def test_the_last_instance_takes_its_study_with_it(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(study=STUDY, series=SERIES, instance="2.25.1"))
    clinic.delete(f"/studies/{STUDY}/series/{SERIES}/instances/2.25.1")
    work(clinic.client)
    assert statistics(clinic) == expected(0)
    again = make_instance(study=STUDY)
    clinic.stored(again)
    assert statistics(clinic) == expected(1, again)


def test_a_bulk_update_changes_no_number(clinic: PartitionClient) -> None:
    file = make_instance(study=STUDY)
    clinic.stored(file)
    update(clinic, STUDY)
    assert statistics(clinic) == expected(1, file)
    clinic.delete(f"/studies/{STUDY}")
    assert statistics(clinic) == expected(0)


def test_stores_at_the_same_time_all_count(client: FlaskClient, clinic: PartitionClient) -> None:
    files = [make_instance(study=study) for study in (STUDY, OTHER) for _ in range(8)]
    with ThreadPoolExecutor(4) as threads:
        stores = threads.map(lambda file: PartitionClient(client.application.test_client()).stored(file), files)
        assert len(list(stores)) == 16
    assert statistics(clinic) == expected(2, *files)


def test_a_partition_of_the_first_release_has_no_numbers(engine: bootstrap.Engine, clinic: PartitionClient) -> None:
    table: Table = engine.table
    fields = {"key": 77, "name": "clinic-a", "created": "2024-01-01T00:00:00.0000000+00:00"}
    table.write(Put(Item(keys.partition("clinic-a"), fields)))
    clinic.stored(make_instance(study=STUDY))
    clinic.delete(f"/studies/{STUDY}")
    assert statistics(clinic) == {"studies": None, "instances": None, "bytes": None}
    assert list(table.query(keys.statistics_items(77))) == []


@pytest.mark.parametrize("name", ["missing"])
def test_a_missing_partition_has_no_statistics(client: FlaskClient, name: str) -> None:
    assert client.get(f"/v2/partitions/{name}/statistics").status_code == 400
