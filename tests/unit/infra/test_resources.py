"""The resources that the CloudFormation of moto passes over. Their properties are sent to the services of moto instead.

boto3 checks the names and types of the properties, and the services of moto check more of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import boto3
import pytest
from cfnlint.decode.cfn_yaml import load

from app.services.backlog import Waiting
from app.services.backlog_report import EVENT
from tests.support.aws import mocked_aws
from tests.unit.infra.evaluation import Evaluation
from tests.unit.infra.stack import REGION, TEMPLATE, Stack, deploy
from tests.unit.infra.templates import EVERY_OPTION, REPLICA_TEMPLATE

Properties = dict[str, Any]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with mocked_aws(REGION):
        certificate = boto3.client("acm").request_certificate(DomainName="dicom.test")["CertificateArn"]
        yield deploy("archive", endpoints=True, **EVERY_OPTION | {"CertificateArn": certificate})


@pytest.fixture(scope="module")
def resources(stack: Stack) -> dict[str, dict[str, Any]]:
    """The resources with every option on. Names and ARNs are those of the deployed stack."""
    return Evaluation(TEMPLATE, EVERY_OPTION | {"RouteTables": "rtb-1"}, stack.names).resources()


# --- one call for each type that moto passes over ---------------------------------------------------------------------


def put_alarm(name: str, properties: Properties) -> None:
    boto3.client("cloudwatch").put_metric_alarm(
        AlarmName=name, **properties | {"Threshold": float(properties["Threshold"])}
    )


def put_metric_filter(name: str, properties: Properties) -> None:
    (made,) = properties["MetricTransformations"]
    boto3.client("logs").put_metric_filter(
        filterName=name,
        logGroupName=properties["LogGroupName"],
        filterPattern=properties["FilterPattern"],
        metricTransformations=[{key[0].lower() + key[1:]: value for key, value in made.items()}],
    )


def put_bucket_policy(_: str, properties: Properties) -> None:
    boto3.client("s3").put_bucket_policy(Bucket=properties["Bucket"], Policy=json.dumps(properties["PolicyDocument"]))


def put_queue_policy(_: str, properties: Properties) -> None:
    for queue in properties["Queues"]:
        policy: Any = {"Policy": json.dumps(properties["PolicyDocument"])}
        boto3.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes=policy)


def put_topic_policy(_: str, properties: Properties) -> None:
    for topic in properties["Topics"]:
        boto3.client("sns").set_topic_attributes(
            TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(properties["PolicyDocument"])
        )


def subscribe(_: str, properties: Properties) -> None:
    boto3.client("sns").subscribe(**properties)


def register_scaling(_: str, properties: Properties) -> None:
    numbers = {key: int(properties[key]) for key in ("MinCapacity", "MaxCapacity")}
    boto3.client("application-autoscaling").register_scalable_target(**properties | numbers)


def put_scaling_policy(_: str, properties: Properties) -> None:
    wanted = dict(properties)
    service = {"WebScaling": "web", "WorkerScaling": "worker"}[wanted.pop("ScalingTargetId")]
    tracking = wanted.get("TargetTrackingScalingPolicyConfiguration")
    if tracking:
        tracking["TargetValue"] = float(tracking["TargetValue"])
    boto3.client("application-autoscaling").put_scaling_policy(
        ServiceNamespace="ecs",
        ResourceId=f"service/archive/{service}",
        ScalableDimension="ecs:service:DesiredCount",
        **wanted,
    )


def associate_firewall(_: str, properties: Properties) -> None:
    client = boto3.client("wafv2")
    visible: Any = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "archive"}
    made = client.create_web_acl(
        Name="archive", Scope="REGIONAL", DefaultAction={"Allow": {}}, VisibilityConfig=visible
    )
    client.associate_web_acl(WebACLArn=made["Summary"]["ARN"], ResourceArn=properties["ResourceArn"])


def create_vault(_: str, properties: Properties) -> None:
    named = {key: properties[key] for key in ("BackupVaultName", "EncryptionKeyArn") if key in properties}
    boto3.client("backup").create_backup_vault(**named)


def create_plan(_: str, properties: Properties) -> None:
    plan = properties["BackupPlan"]
    (rule,) = plan["BackupPlanRule"]
    sent = {key: value for key, value in rule.items() if key not in {"TargetBackupVault", "CopyActions", "Lifecycle"}}
    days = {"DeleteAfterDays": int(rule["Lifecycle"]["DeleteAfterDays"])}
    (copy,) = rule["CopyActions"]
    made: Any = {
        "BackupPlanName": plan["BackupPlanName"],
        "Rules": [
            sent
            | {
                "TargetBackupVaultName": "archive-table",
                "Lifecycle": days,
                "CopyActions": [{**copy, "Lifecycle": days}],
            }
        ],
    }
    boto3.client("backup").create_backup_plan(BackupPlan=made)


SEND: Final[dict[str, Callable[[str, Properties], None]]] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": register_scaling,
    "AWS::ApplicationAutoScaling::ScalingPolicy": put_scaling_policy,
    "AWS::Backup::BackupPlan": create_plan,
    "AWS::Backup::BackupVault": create_vault,
    "AWS::CloudWatch::Alarm": put_alarm,
    "AWS::Logs::MetricFilter": put_metric_filter,
    "AWS::S3::BucketPolicy": put_bucket_policy,
    "AWS::SNS::Subscription": subscribe,
    "AWS::SNS::TopicPolicy": put_topic_policy,
    "AWS::SQS::QueuePolicy": put_queue_policy,
    "AWS::WAFv2::WebACLAssociation": associate_firewall,
}
NOT_IN_MOTO: Final = {"AWS::Backup::BackupSelection"}


def test_moto_deploys_each_type_itself_or_takes_its_properties(stack: Stack) -> None:
    assert stack.ignored_types == SEND.keys() | NOT_IN_MOTO


@pytest.mark.parametrize("kind", SEND)
def test_the_service_accepts_the_properties(kind: str, resources: dict[str, dict[str, Any]]) -> None:
    found = [(name, each["Properties"]) for name, each in resources.items() if each["Type"] == kind]
    assert found
    for name, properties in found:
        SEND[kind](name, properties)


# --- the bucket and the table: moto takes a part of their properties --------------------------------------------------


def lifecycle_of(rules: list[dict[str, Any]]) -> Any:
    """Return rules of a template as S3 takes them."""
    made = []
    for rule in rules:
        sent: dict[str, Any] = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": ""}}
        if "ObjectSizeGreaterThan" in rule:
            sent["Filter"] = {"ObjectSizeGreaterThan": int(rule["ObjectSizeGreaterThan"])}
        if "AbortIncompleteMultipartUpload" in rule:
            sent["AbortIncompleteMultipartUpload"] = rule["AbortIncompleteMultipartUpload"]
        if "NoncurrentVersionExpiration" in rule:
            days = int(rule["NoncurrentVersionExpiration"]["NoncurrentDays"])
            sent["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
        if rule.get("ExpiredObjectDeleteMarker"):
            sent["Expiration"] = {"ExpiredObjectDeleteMarker": True}
        if "Transitions" in rule:
            sent["Transitions"] = [
                {"Days": int(each["TransitionInDays"]), "StorageClass": each["StorageClass"]}
                for each in rule["Transitions"]
            ]
        made.append(sent)
    return made


@pytest.mark.parametrize("template", [TEMPLATE, REPLICA_TEMPLATE])
def test_s3_accepts_versions_lock_and_lifecycle_of_the_bucket(stack: Stack, template: Any) -> None:
    options = EVERY_OPTION if template is TEMPLATE else {"ObjectLock": "true"}
    wanted = Evaluation(template, options, stack.names).resources()["Bucket"]["Properties"]
    s3 = boto3.client("s3")
    name = f"bucket-of-{template.stem}"
    where: Any = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(
        Bucket=name, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=wanted["ObjectLockEnabled"]
    )
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=wanted["VersioningConfiguration"])
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=wanted["PublicAccessBlockConfiguration"])
    rules = lifecycle_of(wanted["LifecycleConfiguration"]["Rules"])
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    kept = {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]}
    assert kept["remove-old-versions"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 35}
    assert [each["StorageClass"] for each in kept["tier-by-use"]["Transitions"]] == ["INTELLIGENT_TIERING"]
    if template is TEMPLATE:
        retention = wanted["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
        lock: Any = {
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {**retention, "Days": int(retention["Days"])}},
        }
        s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=lock)
        assert retention["Mode"] == "COMPLIANCE"


def test_files_and_their_markers_are_copied_to_the_replica(resources: dict[str, dict[str, Any]]) -> None:
    replication = resources["Bucket"]["Properties"]["ReplicationConfiguration"]
    (rule,) = replication["Rules"]
    assert rule["DeleteMarkerReplication"] == rule["Destination"]["Metrics"] == {"Status": "Enabled"}
    assert rule["Destination"]["Bucket"] == EVERY_OPTION["ReplicaBucketArn"]
    assert rule["Destination"]["EncryptionConfiguration"] == {"ReplicaKmsKeyID": EVERY_OPTION["ReplicaKeyArn"]}
    assert resources["ReplicaAlarm"]["Properties"]["Dimensions"][1]["Value"] == "archive-replica"
    s3 = boto3.client("s3")
    for bucket in ("archive-source", "archive-replica"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    sent: Any = {
        "Role": replication["Role"],
        "Rules": [{"ID": rule["Id"], **{k: v for k, v in rule.items() if k != "Id"}}],
    }
    s3.put_bucket_replication(Bucket="archive-source", ReplicationConfiguration=sent)


def test_dynamodb_accepts_the_caps_and_the_warm_throughput(resources: dict[str, dict[str, Any]]) -> None:
    properties = resources["Table"]["Properties"]
    caps: Any = {key: int(value) for key, value in properties["OnDemandThroughput"].items()}
    warm: Any = {key: int(value) for key, value in properties["WarmThroughput"].items()}
    described = boto3.client("dynamodb").create_table(
        TableName="capped",
        BillingMode=properties["BillingMode"],
        KeySchema=properties["KeySchema"],
        AttributeDefinitions=properties["AttributeDefinitions"],
        OnDemandThroughput=caps,
        WarmThroughput=warm,
        DeletionProtectionEnabled=properties["DeletionProtectionEnabled"],
    )["TableDescription"]
    assert described["TableName"] == "capped"
    assert properties["OnDemandThroughput"] == {"MaxReadRequestUnits": "40000", "MaxWriteRequestUnits": "20000"}


def test_without_options_the_table_has_neither_caps_nor_warm_throughput() -> None:
    properties = Evaluation(TEMPLATE, {}).resources()["Table"]["Properties"]
    assert not {"OnDemandThroughput", "WarmThroughput"} & properties.keys()


# --- alarms -----------------------------------------------------------------------------------------------------------


def test_the_metrics_are_made_of_the_report_of_the_worker(resources: dict[str, dict[str, Any]]) -> None:
    made = {
        name: (each["Properties"]["FilterPattern"], each["Properties"]["MetricTransformations"][0])
        for name, each in resources.items()
        if each["Type"] == "AWS::Logs::MetricFilter"
    }
    for name, field in (("OldestDue", "sweep_age"), ("FeedLag", "feed_lag")):
        pattern, metric = made[name]
        assert pattern == f'{{ ($.event = "{EVENT}") && ($.{field} >= 0) }}'
        assert metric["MetricValue"] == f"$.{field}"
        assert field in Waiting._fields
    assert made["ReportsOfWorkers"][0] == f'{{ $.event = "{EVENT}" }}'


def test_each_alarm_of_an_own_metric_has_a_filter_that_makes_it(resources: dict[str, dict[str, Any]]) -> None:
    made = {
        (metric["MetricNamespace"], metric["MetricName"])
        for each in resources.values()
        if each["Type"] == "AWS::Logs::MetricFilter"
        for metric in each["Properties"]["MetricTransformations"]
    }
    used = {
        (properties["Namespace"], properties["MetricName"])
        for properties in alarms(resources).values()
        if properties.get("Namespace", "").startswith("Bulkhead/")
    }
    assert used == made


def test_each_alarm_tells_somebody_or_scales(stack: Stack, resources: dict[str, dict[str, Any]]) -> None:
    for name, properties in alarms(resources).items():
        (action,) = properties["AlarmActions"]
        assert action in {stack.outputs["AlarmTopicArn"], "MoreWorkers", "FewerWorkers"}, name


def test_a_worker_that_is_silent_is_an_alarm(resources: dict[str, dict[str, Any]]) -> None:
    missing = alarms(resources)["MissingWorkerAlarm"]
    assert missing["TreatMissingData"] == "breaching"
    assert (missing["Statistic"], missing["ComparisonOperator"], missing["Threshold"]) == (
        "Sum",
        "LessThanThreshold",
        1,
    )


def alarms(resources: dict[str, dict[str, Any]]) -> dict[str, Properties]:
    found: dict[str, Properties] = {
        name: each["Properties"] for name, each in resources.items() if each["Type"] == "AWS::CloudWatch::Alarm"
    }
    return found


def test_the_dashboard_shows_the_metrics_of_the_alarms(stack: Stack, resources: dict[str, dict[str, Any]]) -> None:
    body = boto3.client("cloudwatch").get_dashboard(DashboardName=stack.outputs["DashboardName"])["DashboardBody"]
    text = json.dumps(json.loads(body))
    assert stack.table in text
    metrics = {each["MetricName"] for each in alarms(resources).values() if "MetricName" in each}
    shown = metrics - {"WorkerReports", "LostObjects", "SystemErrors", "ReplicationLatency"}
    assert all(f'"{metric}"' in text for metric in shown)


def test_the_operations_page_says_what_to_do_at_each_alarm(resources: dict[str, dict[str, Any]]) -> None:
    page = (TEMPLATE.parents[1] / "app" / "docs" / "operations.md").read_text()
    table = page.partition("## Alarms on AWS")[2].partition("\n## ")[0]
    described = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    telling = [name for name, each in alarms(resources).items() if each["AlarmActions"] != ["MoreWorkers"]]
    assert set(described) == {name for name in telling if name.endswith("Alarm")}


def test_the_manual_describes_each_option() -> None:
    """The options are the parameters with a default that are not about tasks, callers, exports and restored data."""
    manual = TEMPLATE.with_name("README.md").read_text()
    groups = load(str(TEMPLATE))["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    options = [
        name
        for group in groups
        if group["Label"]["default"] in {"Scaling", "Data", "Recovery", "Clients", "Network"}
        for name in group["Parameters"]
    ]
    assert [name for name in options if f"`{name}" not in manual and f"{name}=" not in manual] == []
