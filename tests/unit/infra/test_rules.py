"""Rules for every template, with all options off and on: encryption, no public access, retention, rights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.unit.infra.evaluation import Evaluation
from tests.unit.infra.stack import TEMPLATE
from tests.unit.infra.templates import EVERY_OPTION, KEY_TEMPLATE, REPLICA_TEMPLATE, TEMPLATES

Resources = dict[str, dict[str, Any]]

CASES: Final = {
    "default": (TEMPLATE, {"RouteTables": "", "CertificateArn": ""}),
    "every option": (TEMPLATE, {"RouteTables": "rtb-1"} | EVERY_OPTION),
    "key": (KEY_TEMPLATE, {}),
    "replica": (REPLICA_TEMPLATE, {}),
    "replica with its key": (REPLICA_TEMPLATE, {"KeyArn": EVERY_OPTION["KeyArn"], "ObjectLock": "true"}),
}

RETAINED: Final = {
    "AWS::S3::Bucket",
    "AWS::DynamoDB::Table",
    "AWS::Logs::LogGroup",
    "AWS::Backup::BackupVault",
    "AWS::KMS::Key",
}
"""Types whose data must outlive the stack."""

EVERY_RESOURCE: Final = {
    ("ExecutionRole", "RegistryToken"): "ecr:GetAuthorizationToken takes no resource",
    ("RegistryApiEndpoint", "RegistryToken"): "ecr:GetAuthorizationToken takes no resource",
    ("RegistryEndpoint", "RegistryToken"): "ecr:GetAuthorizationToken takes no resource",
    ("BucketEndpoint", "ExportsWithRoles"): "only the roles of exports, whose policies name their places",
    ("Key", "RolesOfThisAccount"): "in the policy of a key, * is that key",
    ("Key", "Logs"): "in the policy of a key, * is that key",
    ("Key", "Alarms"): "in the policy of a key, * is that key",
}
"""Statements for all resources, and why. Each other statement names its resources."""

EVERY_ACTION: Final = {
    ("Key", "RolesOfThisAccount"): "the policies of IAM decide who may use the key",
    ("BucketEndpoint", "Archive"): "the role decides; the endpoint limits the places",
    ("TableEndpoint", "Archive"): "the role decides; the endpoint limits the places",
    ("QueueEndpoint", "Archive"): "the role decides; the endpoint limits the places",
}


@pytest.fixture(params=CASES)
def resources(request: pytest.FixtureRequest) -> Resources:
    template, parameters = CASES[request.param]
    return Evaluation(template, parameters).resources()


def of_type(resources: Resources, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, each["Properties"]) for name, each in resources.items() if each["Type"] == kind)


def statements(resources: Resources) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each statement of each policy, with the name of its resource."""
    for name, each in resources.items():
        properties = each["Properties"]
        documents = [properties[key] for key in ("PolicyDocument", "KeyPolicy") if key in properties]
        documents += [policy["PolicyDocument"] for policy in properties.get("Policies", ())]
        for document in documents:
            yield from ((name, statement) for statement in document["Statement"])


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def test_everything_that_stores_data_is_encrypted(resources: Resources) -> None:
    for name, bucket in of_type(resources, "AWS::S3::Bucket"):
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in {"AES256", "aws:kms"}, name
    for name, table in of_type(resources, "AWS::DynamoDB::Table"):
        assert table["SSESpecification"]["SSEEnabled"] is True, name
    for name, queue in of_type(resources, "AWS::SQS::Queue"):
        assert queue.get("SqsManagedSseEnabled") is True or "KmsMasterKeyId" in queue, name
    for name, key in of_type(resources, "AWS::KMS::Key"):
        assert key["EnableKeyRotation"] is True, name


def test_a_key_of_the_operator_encrypts_everything_but_the_access_logs() -> None:
    resources = Evaluation(*CASES["every option"]).resources()
    key = EVERY_OPTION["KeyArn"]
    (encryption,) = resources["Bucket"]["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    assert resources["Table"]["Properties"]["SSESpecification"]["KMSMasterKeyId"] == key
    for queue in ("Queue", "DeadLetters"):
        assert resources[queue]["Properties"]["KmsMasterKeyId"] == key
        assert "SqsManagedSseEnabled" not in resources[queue]["Properties"], "a queue has one kind of encryption"
    assert resources["Alarms"]["Properties"]["KmsMasterKeyId"] == key
    assert resources["Logs"]["Properties"]["KmsKeyId"] == key
    assert resources["CopyVault"]["Properties"]["EncryptionKeyArn"] == key


def test_no_bucket_is_public_and_each_has_a_rule_for_its_old_versions(resources: Resources) -> None:
    policies = {policy["Bucket"]: policy["PolicyDocument"] for _, policy in of_type(resources, "AWS::S3::BucketPolicy")}
    for name, bucket in of_type(resources, "AWS::S3::Bucket"):
        blocked = bucket["PublicAccessBlockConfiguration"]
        assert len(blocked) == 4, name
        assert set(blocked.values()) == {True}, name
        assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}], name
        rules = bucket["LifecycleConfiguration"]["Rules"]
        if "VersioningConfiguration" in bucket:
            assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
            assert any("NoncurrentVersionExpiration" in rule for rule in rules), name
        else:
            assert any("ExpirationInDays" in rule for rule in rules), f"{name} keeps only logs"
        assert any(each["Sid"] == "OnlyOverTls" for each in policies[name]["Statement"]), name


def test_data_outlives_the_stack(resources: Resources) -> None:
    for name, each in resources.items():
        if each["Type"] in RETAINED:
            assert each["DeletionPolicy"] == each["UpdateReplacePolicy"] == "Retain", name
    for name, table in of_type(resources, "AWS::DynamoDB::Table"):
        assert table["DeletionProtectionEnabled"] is True, name
        assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True, name


def test_logs_are_kept_for_a_limited_time(resources: Resources) -> None:
    for name, group in of_type(resources, "AWS::Logs::LogGroup"):
        assert int(group["RetentionInDays"]) > 0, name


def test_a_statement_names_its_resources_and_its_actions_or_has_a_reason(resources: Resources) -> None:
    for name, statement in statements(resources):
        if statement["Effect"] == "Deny":
            continue
        place = (name, statement.get("Sid", ""))
        if "*" in listed(statement["Resource"]):
            assert place in EVERY_RESOURCE
        if any(action == "*" or action.endswith(":*") for action in listed(statement["Action"])):
            assert place in EVERY_ACTION


def test_no_reason_is_left_over() -> None:
    places = {
        (name, statement.get("Sid", ""))
        for case in CASES.values()
        for name, statement in statements(Evaluation(*case).resources())
    }
    assert places >= EVERY_RESOURCE.keys() | EVERY_ACTION.keys()


def test_whoever_may_assume_a_role_is_a_service_that_works_for_this_account(resources: Resources) -> None:
    for name, role in of_type(resources, "AWS::IAM::Role"):
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert set(statement["Principal"]) == {"Service"}, name
        assert "aws:SourceAccount" in statement["Condition"]["StringEquals"], name


def test_only_clients_are_let_in_from_outside(resources: Resources) -> None:
    rules = [
        (name, rule)
        for kind in ("AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupIngress")
        for name, group in of_type(resources, kind)
        for rule in group.get("SecurityGroupIngress", [group] if kind.endswith("Ingress") else [])
    ]
    for name, rule in rules:
        assert rule.get("CidrIp", "ClientCidr") == "ClientCidr", f"{name} lets in who the parameter does not name"
        assert rule["FromPort"] == rule["ToPort"]


def test_no_secret_is_written_in_a_template() -> None:
    for template in TEMPLATES:
        assert "NoEcho" not in template.read_text(), "a secret belongs into Secrets Manager"
    assert "{{resolve:secretsmanager:${OidcClientSecretArn}}}" in Path(TEMPLATE).read_text()
