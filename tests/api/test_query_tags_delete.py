"""The deletion of extended query tags (conformance §8.8)."""

from __future__ import annotations

from flask.testing import FlaskClient

from app.bootstrap import Engine
from app.storage.table.ports import Key
from tests.support.background import work
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance, uid
from tests.support.query_tags import (
    AGE,
    PRIVATE,
    TAGS,
    add_and_index,
    found_uids,
    post_tags,
    private_block,
    stored_entries,
)


def test_deleted_tag_disappears_at_once_and_its_entries_later(
    client: FlaskClient, clinic: PartitionClient, strict: PartitionClient
) -> None:
    name = {"path": "OperatorsName", "level": "Study"}
    strict.store(make_instance(OperatorsName="a^b^c^d^e^f"))
    clinic.stored(*(make_instance(OperatorsName=f"Doe^Jane{i}") for i in range(4)))
    add_and_index(client, name, AGE)
    assert stored_entries(client, "00081070") > 8
    assert client.delete(f"{TAGS}/OperatorsName").status_code == 204
    assert client.get(f"{TAGS}/OperatorsName").status_code == 404
    assert client.delete(f"{TAGS}/OperatorsName").status_code == 404
    assert "is not queryable" in clinic.get("/studies?OperatorsName=x").text
    assert [each["path"] for each in client.get(TAGS).json] == ["00101010"]
    work(client)
    assert stored_entries(client, "00081070") == 0


def test_tag_added_again_does_not_find_old_entries(client: FlaskClient, clinic: PartitionClient) -> None:
    study, instance = uid(), uid()
    clinic.stored(make_instance(study=study, instance=instance, extra=private_block("ACME 1.0", 5)))
    add_and_index(client, PRIVATE | {"level": "Study"})
    assert found_uids(clinic, "/studies?12051003=5") == [study]
    client.delete(f"{TAGS}/12051003")
    assert post_tags(client, PRIVATE | {"privateCreator": "OTHER", "level": "Study"}).status_code == 202
    work(client)
    assert found_uids(clinic, "/studies?12051003=5") == []
    client.delete(f"{TAGS}/12051003")
    work(client)
    add_and_index(client, PRIVATE)
    assert found_uids(clinic, "/instances?12051003=5") == [instance]
    clinic.delete(f"/studies/{study}")
    client.delete(f"{TAGS}/12051003")
    work(client)
    assert stored_entries(client, "12051003") == 0


def test_deletion_during_the_re_index_leaves_the_other_tags(client: FlaskClient, clinic: PartitionClient) -> None:
    clinic.stored(make_instance(PatientAge="030Y", InstanceNumber="3"))
    operation = post_tags(client, AGE, {"path": "InstanceNumber", "level": "Instance"}).json["id"]
    assert client.delete(f"{TAGS}/PatientAge").status_code == 204
    assert post_tags(client, AGE).status_code == 409
    work(client)
    assert client.get(f"/v2/operations/{operation}").json["status"] == "succeeded"
    assert [(each["path"], each["status"]) for each in client.get(TAGS).json] == [("00200013", "ready")]
    assert stored_entries(client, "00101010") == 0
    assert stored_entries(client, "00200013") == 1
    add_and_index(client, AGE)


def test_removal_operation_is_internal(client: FlaskClient, engine: Engine) -> None:
    add_and_index(client, AGE)
    client.delete(f"{TAGS}/PatientAge")
    (operation,) = [item.key.sk for item in engine.table.query("operations/open")]
    assert client.get(f"/v2/operations/{operation}").status_code == 404
    work(client)
    assert engine.table.get(Key(f"operation/{operation}", "operation")).fields["status"] == "succeeded"
