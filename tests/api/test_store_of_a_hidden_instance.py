"""A store that failed in a study which was deleted meanwhile leaves a hidden instance. It can be stored again."""

from __future__ import annotations

from typing import Any

import pytest

from app.storage.table import keys
from tests.support.dicomweb import PartitionClient
from tests.support.faults import AFTER, Rule, fail, run
from tests.support.faulty_engine import Faults
from tests.support.instances import make_instance

STUDY, SERIES, FIRST, HIDDEN = "2.25.7100", "2.25.7101", "2.25.7102", "2.25.7103"
PATH = f"/studies/{STUDY}/series/{SERIES}/instances/{HIDDEN}"


def instance(uid: str) -> bytes:
    return make_instance(study=STUDY, series=SERIES, instance=uid)


@pytest.fixture
def hidden(clinic: PartitionClient, faults: Faults) -> None:
    """Store an instance just after its study was deleted. The answer of its write is lost."""
    clinic.stored(instance(FIRST))
    row = f"*|{keys.instance(0, STUDY, SERIES, HIDDEN).sk}"
    faults.add(Rule(run(lambda: clinic.delete(f"/studies/{STUDY}")), operation="table.write", key=row))
    faults.add(Rule(fail(), operation="table.write", key=row, stage=AFTER))
    assert clinic.post(instance(HIDDEN), "application/dicom").status_code == 503
    assert clinic.get(PATH).status_code == 404


def actions(clinic: PartitionClient) -> list[str]:
    """Return the actions of the hidden instance in the change feed."""
    entries: list[dict[str, Any]] = clinic.client.get("/v1/changefeed?limit=100&includemetadata=false").get_json()
    return [each["action"].lower() for each in entries if each["sopInstanceUid"] == HIDDEN]


@pytest.mark.usefixtures("hidden")
def test_the_feed_tells_that_the_hidden_instance_is_gone_before_it_is_created_again(clinic: PartitionClient) -> None:
    clinic.stored(instance(HIDDEN))
    assert clinic.get(PATH).status_code == 200
    assert actions(clinic) == ["create", "delete", "create"]


@pytest.mark.usefixtures("hidden")
def test_two_stores_of_a_hidden_instance_at_once(clinic: PartitionClient, faults: Faults) -> None:
    """The second one begins when the first one is about to remove the hidden instance."""
    answers = []
    second = run(lambda: answers.append(clinic.post(instance(HIDDEN), "application/dicom").status_code))
    faults.add(Rule(second, operation="table.write", key=f"*|{keys.instance(0, STUDY, SERIES, HIDDEN).sk}"))
    answers.append(clinic.post(instance(HIDDEN), "application/dicom").status_code)
    assert answers == [200, 409]
    assert actions(clinic) == ["create", "delete", "create"]
