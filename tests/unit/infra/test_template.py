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
from tests.unit.infra.evaluation import Evaluation
from tests.unit.infra.stack import TEMPLATE, Stack, deploy, deployed_stack
from tests.unit.infra.templates import EVERY_OPTION, TEMPLATES

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


@pytest.mark.parametrize("template", TEMPLATES)
def test_cfn_lint_finds_no_fault(template: Path) -> None:
    assert [f"{match.linenumber}: {match.message}" for match in lint_file(template)] == []


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_console_shows_each_parameter_in_a_group(template: Path) -> None:
    written = load(str(template))
    groups = written.get("Metadata", {}).get("AWS::CloudFormation::Interface", {}).get("ParameterGroups", [])
    shown = [name for group in groups for name in group["Parameters"]]
    assert len(shown) == len(set(shown))
    assert not groups or set(shown) == set(written["Parameters"])


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
    # moto ignores the other properties. test_rules.py and test_resources.py look at them.


def test_the_bucket_is_encrypted(stack: Stack) -> None:
    s3 = boto3.client("s3")
    (rule,) = s3.get_bucket_encryption(Bucket=stack.bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


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


def test_the_web_service_scales_on_cpu_and_on_requests_between_its_bounds() -> None:
    assert written("WebScaling")["MaxCapacity"] == {"Ref": "WebMaximum"}
    for name, metric in (
        ("WebScalingByCpu", "ECSServiceAverageCPUUtilization"),
        ("WebScalingByRequests", "ALBRequestCountPerTarget"),
    ):
        policy = written(name)
        assert policy["ScalingTargetId"] == {"Ref": "WebScaling"}
        tracked = policy["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]
        assert tracked["PredefinedMetricType"] == metric


def test_more_workers_start_while_work_waits() -> None:
    assert written("WorkerScaling")["MaxCapacity"] == {"Ref": "WorkerMaximum"}
    assert written("WorkWaits")["AlarmActions"] == [{"Ref": "MoreWorkers"}]
    assert written("NoWorkWaits")["AlarmActions"] == [{"Ref": "FewerWorkers"}]


@pytest.mark.usefixtures("stack")
def test_gateway_endpoints_and_tls_are_optional() -> None:
    plain = deploy("plain")
    assert not plain.names.keys() & {"BucketEndpoint", "TableEndpoint"}
    assert plain.outputs["Url"].startswith("http://")
    (listener,) = boto3.client("elbv2").describe_listeners(LoadBalancerArn=plain.names["LoadBalancer"])["Listeners"]
    assert (listener["Protocol"], listener["Port"]) == ("HTTP", 80)


@pytest.mark.usefixtures("stack")
def test_with_a_certificate_http_leads_to_https() -> None:
    acm = boto3.client("acm")
    secure = deploy("secure", CertificateArn=acm.request_certificate(DomainName="dicom.test")["CertificateArn"])
    assert secure.outputs["Url"].startswith("https://")
    listeners = boto3.client("elbv2").describe_listeners(LoadBalancerArn=secure.names["LoadBalancer"])["Listeners"]
    by_port = {each["Port"]: each for each in listeners}
    assert {port: each["Protocol"] for port, each in by_port.items()} == {443: "HTTPS", 80: "HTTP"}
    (action,) = by_port[80]["DefaultActions"]
    assert action["Type"] == "redirect"
    assert (action["RedirectConfig"]["Protocol"], action["RedirectConfig"]["Port"]) == ("HTTPS", "443")
    (group,) = boto3.client("ec2").describe_security_groups(GroupIds=[secure.names["LoadBalancerGroup"]])[
        "SecurityGroups"
    ]
    assert {rule["FromPort"] for rule in group["IpPermissions"]} == {443, 80}


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


# --- options ----------------------------------------------------------------------------------------------------------


def with_options(**options: str) -> dict[str, dict[str, Any]]:
    return Evaluation(TEMPLATE, {"RouteTables": "", **options}).resources()


def test_people_sign_in_at_the_load_balancer_and_programs_at_the_service() -> None:
    resources = with_options(**EVERY_OPTION, Auth="jwt")
    sign_in, forward = resources["Listener"]["Properties"]["DefaultActions"]
    assert (sign_in["Type"], forward["Type"]) == ("authenticate-oidc", "forward")
    assert sign_in["AuthenticateOidcConfig"]["OnUnauthenticatedRequest"] == "authenticate"
    assert sign_in["AuthenticateOidcConfig"]["ClientSecret"].startswith("{{resolve:secretsmanager:")
    rule = resources["CallsWithCredentials"]["Properties"]
    assert rule["Conditions"][0]["HttpHeaderConfig"]["HttpHeaderName"] == "Authorization"


def test_without_credentials_at_the_service_nobody_passes_the_sign_in() -> None:
    """With Auth none the service ignores the header Authorization. A rule for that header would be a way around."""
    resources = with_options(**EVERY_OPTION, Auth="none")
    assert resources["Listener"]["Properties"]["DefaultActions"][0]["Type"] == "authenticate-oidc"
    assert "CallsWithCredentials" not in resources


def test_each_endpoint_has_a_policy() -> None:
    resources = with_options(**EVERY_OPTION | {"RouteTables": "rtb-1"})
    endpoints = {name: each for name, each in resources.items() if each["Type"] == "AWS::EC2::VPCEndpoint"}
    services = {each["Properties"]["ServiceName"].partition("eu-west-1.")[2] for each in endpoints.values()}
    assert services == {"s3", "dynamodb", "sqs", "logs", "ecr.api", "ecr.dkr", "sts"}
    assert all(each["Properties"]["PolicyDocument"]["Statement"] for each in endpoints.values())


def test_the_access_logs_of_the_load_balancer_are_off_by_default() -> None:
    """Its lines have query strings, and these have names of patients."""
    for option, enabled in (("none", "false"), ("bucket", "false"), ("bucket-and-balancer", "true")):
        properties = with_options(AccessLogs=option)["LoadBalancer"]["Properties"]
        attributes = {each["Key"]: each["Value"] for each in properties["LoadBalancerAttributes"]}
        assert attributes["access_logs.s3.enabled"] == enabled
        assert ("access_logs.s3.bucket" in attributes) is (enabled == "true")
        assert attributes["deletion_protection.enabled"] == "true"


@pytest.mark.usefixtures("stack")
def test_a_restored_bucket_replaces_the_bucket_of_the_stack() -> None:
    restored = deploy("elsewhere", RestoredBucket="archive-replica")
    assert restored.bucket == "archive-replica"
    assert task_settings(restored, "WebTask").bucket == task_settings(restored, "WorkerTask").bucket == restored.bucket
    named = {each["Sid"]: each["Resource"] for each in statements(restored)}
    assert named["Objects"] == "arn:aws:s3:::archive-replica/*"
    assert named["BucketItself"] == "arn:aws:s3:::archive-replica"
