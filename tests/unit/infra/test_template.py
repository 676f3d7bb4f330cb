"""The template: deployed in moto, or read from the file where moto ignores it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from cfnlint.api import lint_file
from cfnlint.decode.cfn_yaml import load

from app.settings import Settings
from tests.unit.infra.stack import TEMPLATE, Stack, deploy, deployed_stack

PASSED_OVER = frozenset(
    # Types that the CloudFormation of moto does not know. It deploys the rest of the template.
    {
        "AWS::S3::BucketPolicy",
        "AWS::SQS::QueuePolicy",
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
    }
)
ENGINE = TEMPLATE.parents[1] / "app" / "engines" / "aws"
NO_CALLS = {"meta", "get_paginator"}
ACTIONS: dict[str, tuple[str, ...]] = {
    "assume_role": (),  # a separate policy allows it for the roles that the operator names
    "batch_get_item": ("dynamodb:BatchGetItem",),
    "batch_write_item": ("dynamodb:BatchWriteItem",),
    "change_message_visibility": ("sqs:ChangeMessageVisibility",),
    "copy": ("s3:GetObject", "s3:PutObject"),
    "copy_object": ("s3:GetObject", "s3:PutObject"),
    "delete_item": ("dynamodb:DeleteItem",),
    "delete_message": ("sqs:DeleteMessage",),
    "delete_objects": ("s3:DeleteObject",),
    "get_item": ("dynamodb:GetItem",),
    "get_object": ("s3:GetObject", "s3:ListBucket"),  # with ListBucket a missing object gives 404 and not 403
    "get_queue_attributes": ("sqs:GetQueueAttributes",),
    "head_bucket": ("s3:ListBucket",),
    "head_object": ("s3:GetObject",),
    "list_objects_v2": ("s3:ListBucket",),
    "put_item": ("dynamodb:PutItem",),
    "put_object": ("s3:PutObject",),
    "query": ("dynamodb:Query",),
    "receive_message": ("sqs:ReceiveMessage",),
    "scan": ("dynamodb:Scan",),
    "send_message": ("sqs:SendMessage",),
    "transact_write_items": ("dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:PutItem"),
    "update_item": ("dynamodb:UpdateItem",),
    "upload_fileobj": ("s3:AbortMultipartUpload", "s3:PutObject"),  # in parts, as each managed upload
}
WRITTEN: dict[str, Any] = load(str(TEMPLATE))["Resources"]


def written(resource: str) -> dict[str, Any]:
    properties: dict[str, Any] = WRITTEN[resource]["Properties"]
    return properties


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with deployed_stack(endpoints=True, PublicUrl="https://dicom.test") as stack:
        yield stack


def test_cfn_lint_finds_no_fault() -> None:
    assert [f"{match.linenumber}: {match.message}" for match in lint_file(Path(TEMPLATE))] == []


def test_moto_deploys_all_but_the_types_it_does_not_know(stack: Stack) -> None:
    assert stack.ignored_types == PASSED_OVER


# --- bucket and table -------------------------------------------------------------------------------------------------


def test_the_table_is_keyed_encrypted_and_protected(stack: Stack) -> None:
    table = boto3.client("dynamodb").describe_table(TableName=stack.table)["Table"]
    assert table["KeySchema"] == [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ]
    assert {each["AttributeType"] for each in table["AttributeDefinitions"]} == {"S"}
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["DeletionProtectionEnabled"] is True
    # moto ignores these properties of a template.
    assert written("Table")["SSESpecification"] == {"SSEEnabled": True}
    assert written("Table")["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_the_bucket_is_encrypted_and_closed(stack: Stack) -> None:
    s3 = boto3.client("s3")
    (rule,) = s3.get_bucket_encryption(Bucket=stack.bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert "Status" not in s3.get_bucket_versioning(Bucket=stack.bucket)
    # moto ignores these properties of a template.
    assert set(written("Bucket")["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(written("Bucket")["PublicAccessBlockConfiguration"]) == 4
    (rule,) = written("Bucket")["LifecycleConfiguration"]["Rules"]
    assert rule["Status"] == "Enabled"
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


@pytest.mark.parametrize("resource", ["Bucket", "Table", "Logs"])
def test_bucket_table_and_logs_remain_when_the_stack_is_deleted(resource: str) -> None:
    assert WRITTEN[resource]["DeletionPolicy"] == WRITTEN[resource]["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("resource", ["BucketPolicy", "QueuePolicy"])
def test_nothing_is_reached_without_tls(resource: str) -> None:
    (statement,) = written(resource)["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_message_that_fails_five_times_goes_to_the_dead_letters(stack: Stack) -> None:
    sqs = boto3.client("sqs")

    def attributes(output: str) -> dict[Any, str]:
        return sqs.get_queue_attributes(QueueUrl=stack.outputs[output], AttributeNames=["All"])["Attributes"]

    redrive = json.loads(attributes("QueueUrl")["RedrivePolicy"])
    assert redrive["maxReceiveCount"] == 5
    assert redrive["deadLetterTargetArn"] == attributes("DeadLetterQueueUrl")["QueueArn"]
    assert attributes("QueueUrl")["SqsManagedSseEnabled"] == "true"


# --- roles ------------------------------------------------------------------------------------------------------------


def statements(stack: Stack, policy_name: str = "archive") -> list[dict[str, Any]]:
    iam = boto3.client("iam")
    document = iam.get_role_policy(RoleName=stack.names["TaskRole"], PolicyName=policy_name)["PolicyDocument"]
    policy = ast.literal_eval(str(document))  # moto returns the policy of a template as a printed Python dict
    found: list[dict[str, Any]] = policy["Statement"]
    return found


def test_the_role_may_use_only_this_archive(stack: Stack) -> None:
    ours = (stack.table, stack.bucket, stack.names["Queue"].rpartition("/")[2])
    for statement in statements(stack):
        assert statement["Effect"] == "Allow"
        assert any(name in statement["Resource"] for name in ours)


def test_the_role_allows_exactly_the_calls_of_the_engine(stack: Stack) -> None:
    granted = {action for statement in statements(stack) for action in statement["Action"]}
    assert granted == {action for call in engine_calls() for action in ACTIONS[call]}


def test_exports_may_write_only_where_the_operator_says(stack: Stack) -> None:
    assert "ExportPolicy" not in stack.names
    (exports,) = statements(
        deploy("exporting", ExportObjectArns="arn:aws:s3:::research-drop/*,arn:aws:s3:::lab/in/*"), "exports"
    )
    assert exports["Action"] == ["s3:PutObject", "s3:AbortMultipartUpload"]
    assert exports["Resource"] == ["arn:aws:s3:::research-drop/*", "arn:aws:s3:::lab/in/*"]


def test_exports_may_assume_only_the_roles_that_the_operator_names(stack: Stack) -> None:
    assert "ExportRolesPolicy" not in stack.names
    named = "arn:aws:iam::123456789012:role/research-drop"
    (roles,) = statements(deploy("assuming", ExportRoleArns=named), "export-roles")
    assert (roles["Action"], roles["Resource"]) == (["sts:AssumeRole"], [named])


def engine_calls() -> set[str]:
    """Return the boto3 methods that the engine calls. Those of `bulkhead init` are not for the role of the tasks."""
    sources = [path.read_text() for path in ENGINE.glob("*.py") if path.name != "provision.py"]
    called = {call for source in sources for call in re.findall(r"\b(?:_?client|sts)\.(\w+)\b", source)}
    paged = {call for source in sources for call in re.findall(r"get_paginator\(\"(\w+)\"\)", source)}
    return (called | paged) - NO_CALLS


def test_only_the_load_balancer_reaches_the_tasks(stack: Stack) -> None:
    (group,) = boto3.client("ec2").describe_security_groups(GroupIds=[stack.names["TaskGroup"]])["SecurityGroups"]
    (way_in,) = group["IpPermissions"]
    assert way_in["FromPort"] == way_in["ToPort"] == 8080
    assert way_in["IpRanges"] == []
    assert [pair["GroupId"] for pair in way_in["UserIdGroupPairs"]] == [stack.names["LoadBalancerGroup"]]


# --- tasks ------------------------------------------------------------------------------------------------------------


def container(stack: Stack, task: str) -> dict[str, Any]:
    described = boto3.client("ecs").describe_task_definition(taskDefinition=stack.names[task])["taskDefinition"]
    (only,) = described["containerDefinitions"]
    return dict(only)


def task_settings(stack: Stack, task: str) -> Settings:
    return Settings.from_environment({each["name"]: each["value"] for each in container(stack, task)["environment"]})


@pytest.mark.parametrize(
    ("task", "command"), [("WebTask", ["bulkhead", "serve"]), ("WorkerTask", ["bulkhead", "worker"])]
)
def test_the_tasks_are_configured_for_this_archive(stack: Stack, task: str, command: list[str]) -> None:
    settings = task_settings(stack, task)
    assert (settings.engine, settings.table, settings.bucket) == ("aws", stack.table, stack.bucket)
    assert settings.queue_url == stack.outputs["QueueUrl"]
    assert settings.public_url == "https://dicom.test"
    assert settings.trusted_proxies == 1
    assert container(stack, task)["command"] == command
    assert container(stack, task)["readonlyRootFilesystem"] is True


@pytest.mark.usefixtures("stack")
def test_a_restored_table_replaces_the_table_of_the_stack() -> None:
    restored = deploy("restored", RestoredTable="archive-of-yesterday")
    assert restored.table == "archive-of-yesterday"
    assert task_settings(restored, "WebTask").table == task_settings(restored, "WorkerTask").table == restored.table
    (items,) = (statement for statement in statements(restored) if statement["Sid"] == "Items")
    assert items["Resource"].endswith(":table/archive-of-yesterday")


def test_both_tasks_have_the_same_environment() -> None:
    web, worker = (written(task)["ContainerDefinitions"][0]["Environment"] for task in ("WebTask", "WorkerTask"))
    assert web == worker


def test_the_load_balancer_asks_whether_the_process_answers(stack: Stack) -> None:
    """No backend is part of that answer. With one, an outage of AWS would let ECS replace every task."""
    (group,) = boto3.client("elbv2").describe_target_groups(TargetGroupArns=[stack.names["Targets"]])["TargetGroups"]
    assert group["HealthCheckPath"] == "/health/live"
    assert (group["Port"], group["TargetType"]) == (8080, "ip")


def test_the_web_service_scales_on_cpu_between_its_bounds() -> None:
    assert written("WebScaling")["MaxCapacity"] == {"Ref": "WebMaximum"}
    policy = written("WebScalingByCpu")
    assert policy["PolicyType"] == "TargetTrackingScaling"
    assert policy["ScalingTargetId"] == {"Ref": "WebScaling"}


@pytest.mark.usefixtures("stack")
def test_gateway_endpoints_and_tls_are_optional() -> None:
    plain = deploy("plain")
    assert not plain.names.keys() & {"BucketEndpoint", "TableEndpoint"}
    assert plain.outputs["Url"].startswith("http://")
    (listener,) = boto3.client("elbv2").describe_listeners(LoadBalancerArn=plain.names["LoadBalancer"])["Listeners"]
    assert (listener["Protocol"], listener["Port"]) == ("HTTP", 80)


@pytest.mark.usefixtures("stack")
def test_with_a_certificate_only_https_is_served() -> None:
    acm = boto3.client("acm")
    secure = deploy("secure", CertificateArn=acm.request_certificate(DomainName="dicom.test")["CertificateArn"])
    assert secure.outputs["Url"].startswith("https://")
    (listener,) = boto3.client("elbv2").describe_listeners(LoadBalancerArn=secure.names["LoadBalancer"])["Listeners"]
    assert (listener["Protocol"], listener["Port"]) == ("HTTPS", 443)
    (group,) = boto3.client("ec2").describe_security_groups(GroupIds=[secure.names["LoadBalancerGroup"]])[
        "SecurityGroups"
    ]
    assert [rule["FromPort"] for rule in group["IpPermissions"]] == [443]


def test_with_route_tables_s3_and_dynamodb_are_reached_inside_the_network(stack: Stack) -> None:
    endpoints = boto3.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
    assert {each["ServiceName"].rpartition(".")[2] for each in endpoints} == {"s3", "dynamodb"}
    assert {each["VpcEndpointType"] for each in endpoints} == {"Gateway"}


# --- callers ----------------------------------------------------------------------------------------------------------


def test_whoever_deploys_chooses_the_credentials_of_callers() -> None:
    template = load(str(TEMPLATE))
    assert "Default" not in template["Parameters"]["Auth"]
    assert template["Parameters"]["AllowAnonymous"]["Default"] == "false"
    rule = template["Rules"]["AnonymousOnPurpose"]
    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "Auth"}, "none"]}
    assert rule["Assertions"][0]["Assert"] == {"Fn::Equals": [{"Ref": "AllowAnonymous"}, "true"]}


@pytest.mark.usefixtures("stack")
def test_the_tasks_accept_the_jwts_of_the_issuers() -> None:
    issuers, claim = "https://login.test/a,https://login.test/b", "realm_access.roles"
    given: dict[str, Any] = {
        "Auth": "jwt,tokens",
        "JwtIssuers": issuers,
        "JwtAudiences": "https://dicom.test",
        "RolesClaim": claim,
    }
    settings = task_settings(deploy("callers", **given), "WebTask")
    assert settings.auth == ("jwt", "tokens")
    assert (",".join(settings.jwt_issuers), settings.jwt_audiences) == (issuers, ("https://dicom.test",))
    assert (settings.roles_claim, settings.allow_anonymous) == (claim, False)
