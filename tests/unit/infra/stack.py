"""The CloudFormation template, deployed into moto."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import boto3

from tests.support.aws import mocked_aws

TEMPLATE: Final = Path(__file__).parents[3] / "infra" / "template.yaml"
REGION: Final = "eu-west-1"


@dataclass(frozen=True, slots=True)
class Stack:
    """The deployed stack: its outputs, its physical names, and the types of resources that moto skipped."""

    outputs: dict[str, str]
    names: dict[str, str]
    ignored_types: frozenset[str]

    @property
    def table(self) -> str:
        return self.outputs["TableName"]

    @property
    def bucket(self) -> str:
        return self.outputs["BucketName"]


@contextmanager
def deployed_stack(*, endpoints: bool = False, **parameters: str) -> Iterator[Stack]:
    """Deploy the template into an empty moto. It is removed at the end."""
    with mocked_aws(REGION):
        yield deploy("archive", endpoints=endpoints, **parameters)


def deploy(name: str, *, endpoints: bool = False, **parameters: str) -> Stack:
    """Deploy the template into the moto that runs. `endpoints` adds the gateway endpoints."""
    cloudformation = boto3.client("cloudformation")
    given = _network(endpoints) | parameters
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=TEMPLATE.read_text(),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        listed = cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return Stack(
        outputs={each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]},
        names={each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed},
        ignored_types=frozenset(_ignored_types(recorded)),
    )


def _network(endpoints: bool) -> dict[str, str]:
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    blocks = {"10.0.0.0/24": f"{REGION}a", "10.0.1.0/24": f"{REGION}b"}
    made = [ec2.create_subnet(VpcId=vpc, CidrBlock=each, AvailabilityZone=zone) for each, zone in blocks.items()]
    subnets = ",".join(each["Subnet"]["SubnetId"] for each in made)
    routes = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] if endpoints else ""
    return {
        "Image": "registry.test/bulkhead:0.1.0",
        "Vpc": vpc,
        "TaskSubnets": subnets,
        "LoadBalancerSubnets": subnets,
        "RouteTables": routes,
        "ClientCidr": "10.0.0.0/8",
        "Auth": "tokens",
    }


def _ignored_types(recorded: list[warnings.WarningMessage]) -> Iterator[str]:
    for each in recorded:
        words = str(each.message).split()
        if words[:3] == ["Tried", "to", "parse"]:
            yield words[3]
