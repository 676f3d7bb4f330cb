"""The templates, and parameters that switch every option on."""

from __future__ import annotations

from typing import Final

from tests.unit.infra.evaluation import ACCOUNT
from tests.unit.infra.stack import TEMPLATE

KEY_TEMPLATE: Final = TEMPLATE.with_name("key.yaml")
REPLICA_TEMPLATE: Final = TEMPLATE.with_name("replica.yaml")
TEMPLATES: Final = (TEMPLATE, KEY_TEMPLATE, REPLICA_TEMPLATE)

EVERY_OPTION: Final = {
    "KeyArn": f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1",
    "ObjectLockMode": "COMPLIANCE",
    "AccessLogs": "bucket-and-balancer",
    "MaxReadUnits": "40000",
    "MaxWriteUnits": "20000",
    "WarmReadUnits": "24000",
    "WarmWriteUnits": "8000",
    "CertificateArn": f"arn:aws:acm:eu-west-1:{ACCOUNT}:certificate/1",
    "WebAclArn": f"arn:aws:wafv2:eu-west-1:{ACCOUNT}:regional/webacl/archive/1",
    "OidcIssuer": "https://login.test",
    "OidcAuthorizationEndpoint": "https://login.test/authorize",
    "OidcTokenEndpoint": "https://login.test/token",
    "OidcUserInfoEndpoint": "https://login.test/userinfo",
    "OidcClientId": "archive",
    "OidcClientSecretArn": f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:oidc",
    "InterfaceEndpoints": "true",
    "ImageRepositoryArn": f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/bulkhead",
    "ExportObjectArns": "arn:aws:s3:::research-drop/*",
    "ExportRoleArns": f"arn:aws:iam::{ACCOUNT}:role/research-drop",
    "AlarmEmail": "operators@hospital.test",
    "ReplicaBucketArn": "arn:aws:s3:::archive-replica",
    "ReplicaKeyArn": f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/2",
    "ReplicaVaultArn": f"arn:aws:backup:eu-central-1:{ACCOUNT}:backup-vault:archive-replica-table",
}
