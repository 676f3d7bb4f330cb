"""The OpenAPI document (conformance §1.16): what it has, and that it tells the truth about the service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import openapi_spec_validator
import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient
from openapi_schema_validator import OAS31Validator
from werkzeug.test import TestResponse

from app.settings import Settings
from app.web.openapi.answer_schemas import SCHEMAS
from app.web.openapi.descriptions import DESCRIPTIONS, INSTANCE, SERIES, STUDY
from app.web.openapi.document import document
from app.web.openapi.yaml_text import yaml_text
from app.web.routes.table import ROUTES
from app.web.routing.versions import UNVERSIONED, V1, V1_PRERELEASE, V2, ApiVersion
from tests.conftest import Serve
from tests.support.background import work
from tests.support.dicomweb import DICOM_JSON, PartitionClient
from tests.support.instances import make_instance
from tests.support.microsoft_routes import microsoft_routes

one_engine = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
"""The engines do not see routes."""

METHODS: Final = ("get", "head", "post", "put", "patch", "delete", "options")
JWT: Final[dict[str, Any]] = {
    "auth": ("jwt", "tokens"),
    "jwt_issuers": ("https://login.example",),
    "jwt_audiences": ("bulkhead",),
}
OFF: Final[dict[str, Any]] = {"enable_export": False, "metrics": False, "disable_operations": True, "site": False}


def described(version: ApiVersion = V2, prefix: str = "/v2", base: str = "", **different: Any) -> dict[str, Any]:
    """Return the document under other settings than the default ones."""
    return document(ROUTES, version, Settings(**different), prefix=prefix, base=base)


def operations(found: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and operation."""
    for path, item in found["paths"].items():
        for method, operation in item.items():
            assert method in METHODS
            yield method.upper(), path, operation


@pytest.mark.parametrize(
    ("version", "prefix", "different"),
    [(V1, "/v1", {}), (V2, "/v2", JWT), (V1_PRERELEASE, "/v1.0-prerelease", {"auth": ("tokens",)}), (V2, "", OFF)],
    ids=["v1", "v2 with credentials", "v1.0-prerelease with tokens", "no version, features off"],
)
def test_the_document_is_valid(version: ApiVersion, prefix: str, different: dict[str, Any]) -> None:
    openapi_spec_validator.validate(described(version, prefix, **different))


@one_engine
@pytest.mark.parametrize("version", [V1, V2, V1_PRERELEASE])
def test_every_route_is_in_the_document_in_all_its_forms_and_no_other(client: FlaskClient, version: ApiVersion) -> None:
    assert isinstance(client.application, Flask)
    found = {(method, path) for method, path, _ in operations(described(version, f"/{version.name}", metrics=True))}
    served = set()
    for rule in client.application.url_map.iter_rules():
        routes = getattr(client.application.view_functions[rule.endpoint], "_by_version", {})
        if rule.rule.startswith(("/ui", "/docs", "/viewer")) or rule.rule == "/":
            continue
        if version.name in routes or (routes and "version" not in rule.arguments):
            path = rule.rule.partition(":version>")[2] if "version" in rule.arguments else rule.rule
            prefix = f"/{version.name}" if "version" in rule.arguments else ""
            methods = rule.methods - {"HEAD", "OPTIONS"} or {"OPTIONS"}
            served |= {(method, anonymous(prefix + path)) for method in methods}
    assert {(method, anonymous(path)) for method, path in found} == served
    assert len(served) > 90


def anonymous(path: str) -> str:
    """Return a path without the names of its parameters."""
    return "/".join("{}" if segment[:1] in ("<", "{") else segment for segment in path.split("/"))


def test_the_ids_of_operations_are_unique_and_every_description_has_a_route() -> None:
    for version, prefix in ((V1, "/v1"), (V2, "/v2"), (UNVERSIONED, "")):
        names = [operation["operationId"] for _, _, operation in operations(described(version, prefix, metrics=True))]
        assert len(names) == len(set(names))
    assert DESCRIPTIONS.keys() == {f"{route.method} {path}" for route in ROUTES for path in route.paths}


def test_nothing_of_microsofts_document_is_missing() -> None:
    found = {(method, path): operation for method, path, operation in operations(described())}
    for (method, path), name in microsoft_routes().items():
        operation = found[method, "/v2" + path.replace("{frame}", "{frames}")]
        assert name in ("", operation["operationId"])


def test_features_that_are_off_are_left_out() -> None:
    paths = described(**OFF)["paths"]
    assert not {"/v2/export", "/v2/partitions/{partitionName}/export", "/metrics", "/v2/studies/$bulkUpdate"} & set(
        paths
    )
    assert "post" not in paths["/v2/extendedquerytags"]
    assert "/v2/export" in described()["paths"]
    assert "/metrics" in described(metrics=True)["paths"]
    assert "externalDocs" not in described(**OFF)


def test_the_versions_differ_as_they_do_on_the_wire() -> None:
    assert "/v1/studies/$bulkUpdate" not in described(V1, "/v1")["paths"]
    assert "/v1.0-prerelease/export" not in described(V1_PRERELEASE, "/v1.0-prerelease")["paths"]
    names = {
        version.name: [each["name"] for each in described(version, "/v")["paths"]["/v/changefeed"]["get"]["parameters"]]
        for version in (V1, V2)
    }
    assert "StartTime" in names["v2"]
    assert "StartTime" not in names["v1"]


def test_errors_have_meanings_without_the_attributes_of_their_classes() -> None:
    found = described()
    assert found["components"]["responses"]["NotFound"]["description"] == (
        "A study, a series, an instance or a frame is not in the partition (conformance §4.5)."
    )
    active = found["paths"]["/v2/extendedquerytags"]["post"]["responses"]["409"]["description"]
    assert "runs one at a time (conformance §9.5)." in active
    assert "`" not in active


def test_security_follows_the_settings() -> None:
    assert described()["components"]["securitySchemes"] == {}
    assert "401" not in described()["paths"]["/v2/studies"]["get"]["responses"]
    tokens = described(auth=("tokens",))
    assert tokens["security"] == [{"bearer": []}, {"basic": []}]
    assert tokens["paths"]["/health/check"]["get"]["security"] == []
    assert {"401", "403"} <= tokens["paths"]["/v2/studies"]["get"]["responses"].keys()
    schemes = described(**JWT)["components"]["securitySchemes"]
    assert schemes["openId"]["openIdConnectUrl"] == "https://login.example/.well-known/openid-configuration"
    assert "openId" not in described(**JWT, jwt_jwks="https://login.example/keys")["components"]["securitySchemes"]


@one_engine
def test_the_server_is_the_public_url_or_the_base_path(serve: Serve) -> None:
    assert described()["servers"] == [{"url": "/"}]
    assert described(base="/pacs")["servers"] == [{"url": "/pacs"}]
    assert described(public_url="https://pacs.example")["servers"] == [{"url": "https://pacs.example"}]
    client = serve(trusted_proxies=1)
    for prefix in ("/pacs", "/archive"):
        found = client.get("/v2/api.json", headers={"X-Forwarded-Prefix": prefix}).get_json()
        assert found["servers"] == [{"url": prefix}]


@one_engine
@pytest.mark.parametrize("prefix", ["/v1", "/v2", "/v1.0-prerelease", ""])
def test_the_document_is_served_in_both_forms(client: FlaskClient, prefix: str) -> None:
    in_json, in_yaml = client.get(f"{prefix}/api.json"), client.get(f"{prefix}/api.yaml")
    assert (in_json.status_code, in_json.content_type) == (200, "application/json")
    assert (in_yaml.status_code, in_yaml.content_type) == (200, "application/yaml")
    found = in_json.get_json()
    assert f"{prefix}/studies" in found["paths"]
    assert yaml.load(in_yaml.data, yaml.CSafeLoader) == found  # it is the fast safe loader


@one_engine
def test_an_entity_tag_saves_the_transfer_and_text_is_compressed(client: FlaskClient) -> None:
    for path in ("/v2/api.json", "/v2/api.yaml"):
        whole = client.get(path)
        assert whole.headers["Cache-Control"] == "no-cache"
        same = client.get(path, headers={"If-None-Match": whole.headers["ETag"]})
        assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", whole.headers["ETag"])
        packed = client.get(path, headers={"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert len(packed.data) * 8 < len(whole.data)
        assert "Accept-Encoding" in packed.headers["Vary"]


def test_yaml_of_values_that_readers_could_mistake() -> None:
    value = {"on": "yes", "a: b": [], "404": {}, "list": [[1, [None]], {"x": "# no"}], "text": 'é\n"\u2028', "n": 1.5}
    assert yaml.safe_load(yaml_text(value)) == value


# --- the examples, against the service ----------------------------------------------------------------------------


class Examples:
    """Sends the request that the examples of an operation make, and checks the answer against the document."""

    def __init__(self, client: FlaskClient, found: dict[str, Any]) -> None:
        self.client = client
        self._document = found
        self._components = found["components"]
        self.checked_schemas: set[str] = set()

    def send(self, method: str, path: str, operation: dict[str, Any]) -> TestResponse:
        """Send the request. A body of instances is a file of the study of the examples."""
        query = {}
        for parameter in operation.get("parameters", []):
            if parameter.get("in") == "path":
                path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
            elif parameter.get("in") == "query" and "example" in parameter:
                query[parameter["name"]] = parameter["example"]
        if any(each.get("$ref", "").endswith("/Filters") for each in operation.get("parameters", [])):
            query |= DESCRIPTIONS_BY_ID[operation["operationId"]].query_example
        content = operation.get("requestBody", {}).get("content", {})
        body: dict[str, Any] = {}
        for media_type, each in content.items():
            if "example" in each:
                body = {"json": each["example"], "content_type": media_type}
            elif media_type == "application/dicom":
                body = {"data": example_file(), "content_type": media_type}
        return self.client.open(path, method=method, query_string=query, **body)

    def check(self, response: TestResponse, operation: dict[str, Any]) -> None:
        """Assert that the document has the status and the media type, and that JSON has the form of the schema."""
        name, status = operation["operationId"], str(response.status_code)
        assert status in operation["responses"], (name, status, response.text)
        answer = self._resolved(operation["responses"][status])
        media_type = response.headers.get("Content-Type", "").partition("; boundary")[0].partition("; transfer")[0]
        media_type = media_type.partition("; charset")[0].partition("; version")[0]
        if not media_type:
            assert response.data == b""
            return
        if media_type == DICOM_JSON and int(status) in DESCRIPTIONS_BY_ID[name].perhaps_empty:
            return
        assert media_type in answer["content"], (name, status, media_type)
        if media_type in (DICOM_JSON, "application/json"):
            schema = {**answer["content"][media_type]["schema"], "components": self._components}
            self.checked_schemas |= set(re.findall(r"\w+", str(answer["content"][media_type]["schema"])))
            OAS31Validator(schema).validate(response.get_json(force=True))

    def _resolved(self, found: dict[str, Any]) -> dict[str, Any]:
        reference = found.get("$ref")
        return self._components["responses"][reference.rpartition("/")[2]] if reference else found


DESCRIPTIONS_BY_ID = {
    each.operation_id(below_partition=below): each for each in DESCRIPTIONS.values() for below in (False, True)
}


def example_file() -> bytes:
    return make_instance(study=STUDY, series=SERIES, instance=INSTANCE, PatientAge="040Y", patient_id="P-1")


WITHOUT_SUCCESS = {
    "CancelWorkitemInstance": 409,  # its performer has begun
    "DeleteSeries": 404,  # its instance was deleted before, and it was the only one
    "DeleteStudy": 404,
    "Export": 400,  # the bucket of the example does not exist
    "OperationStatus": 404,
    "RemoveGrant": 404,
    "RetrieveFrameWithoutList": 400,
    "RevokeToken": 404,
    "StoreInstancesInStudy": 409,  # the instance is there already
}
"""The status of the examples that do not succeed."""

FIRST = ("StoreInstance", "AddWorkitemInstance", "ChangeStateWorkitemInstance", "AddExtendedQueryTags")
METHODS_IN_ORDER = ("GET", "OPTIONS", "POST", "PATCH", "PUT", "DELETE")


def in_order(each: tuple[str, str, dict[str, Any]]) -> tuple[int, int, int]:
    """Return the place of an operation: first those that make what the others need, last those that delete."""
    method, path, operation = each
    name = plain(operation["operationId"])
    return FIRST.index(name) if name in FIRST else len(FIRST), METHODS_IN_ORDER.index(method), -len(path)


def plain(name: str) -> str:
    """Return the operationId of the form without a partition."""
    return name.removeprefix("Partitioned").removeprefix("Partition")


@one_engine
@pytest.mark.parametrize("version", ["v1", "v2", ""])
def test_every_example_gets_an_answer_of_the_document(client: FlaskClient, version: str) -> None:
    prefix = f"/{version}" if version else ""
    found = client.get(f"{prefix}/api.json").get_json()
    examples = Examples(client, found)
    failures = {}
    for method, path, operation in sorted(operations(found), key=in_order):
        response = examples.send(method, path, operation)
        examples.check(response, operation)
        name = operation["operationId"]
        if "This form serves while partitions are off" in operation["description"]:
            assert (response.status_code, response.text) == (400, MISSING), name
        elif response.status_code >= 400:
            failures[plain(name)] = response.status_code
        if name in ("PartitionStoreInstance", "AddExtendedQueryTags"):
            work(client)
    assert failures == WITHOUT_SUCCESS


MISSING = "PartitionName value is missing in the route segment."


@one_engine
def test_real_answers_have_the_form_of_every_schema(client: FlaskClient) -> None:
    found = client.get("/v2/api.json").get_json()
    by_id = {operation["operationId"]: operation for _, _, operation in operations(found)}
    examples = Examples(client, found)
    clinic = PartitionClient(client)
    PartitionClient(client, "/v1/partitions/clinic-a").stored(make_instance(PatientAge="3Y"))
    stored = clinic.store(example_file())
    examples.check(stored, by_id["PartitionStoreInstance"])

    def called(name: str, method: str, path: str, **given: Any) -> Any:
        response = client.open(path, method=method, **given)
        assert response.status_code < 300, (name, response.text)
        examples.check(response, by_id[name])
        return response.get_json(force=True)

    started = called("AddExtendedQueryTags", "POST", "/v2/extendedquerytags", json=TAGS)
    called("OperationStatus", "GET", f"/v2/operations/{started['id']}")
    adding = called("GetExtendedQueryTags", "GET", "/v2/extendedquerytags")
    assert [each["status"] for each in adding] == ["adding", "adding"]
    work(client)
    called("OperationStatus", "GET", f"/v2/operations/{started['id']}")
    assert called("GetExtendedQueryTag", "GET", "/v2/extendedquerytags/PatientAge")["errors"]["count"] == 1
    called("GetExtendedQueryTag", "GET", "/v2/extendedquerytags/00091001")
    assert called("GetExtendedQueryTagErrors", "GET", "/v2/extendedquerytags/PatientAge/errors")
    for kind in ("Token", "Grant"):
        for example in (DESCRIPTIONS[f"POST /access/{kind.lower()}s"].example, *OF_A_ROLE.get(kind, ())):
            made = called(f"Create{kind}", "POST", f"/v2/access/{kind.lower()}s", json=example)
            if kind == "Token":
                SUBJECT["token"] = made["id"]
        assert called(f"Get{kind}s", "GET", f"/v2/access/{kind.lower()}s")
    update = called("PartitionedUpdateInstance", "POST", f"{clinic.prefix}/studies/$bulkUpdate", json=CHANGE)
    work(client)
    assert called("OperationStatus", "GET", f"/v2/operations/{update['id']}")["results"]
    clinic.delete(f"/studies/{STUDY}")
    clinic.stored(make_instance())
    entries = called("GetChangeFeed", "GET", "/v2/changefeed")
    assert {each["action"] for each in entries} == {"Create", "Update", "Delete"}
    assert {each["state"] for each in entries} == {"Current", "Deleted"}
    called("GetChangeFeedLatest", "GET", "/v2/changefeed/latest")
    called("PartitionGetStatistics", "GET", f"{clinic.prefix}/statistics")
    called("GetPartitions", "GET", "/v2/partitions")
    called("PartitionSearchStudies", "GET", f"{clinic.prefix}/studies?includefield=all")
    called("RetrieveCapabilities", "OPTIONS", "/v2", headers={"Accept": "application/json"})
    called("GetApiDescription", "GET", "/v2/api.json")
    called("GetHealth", "GET", "/health/check")
    called("GetReadiness", "GET", "/health/ready")
    refused = client.post(
        f"{clinic.prefix}/studies/$bulkUpdate", json=CHANGE | {"changeDataset": {"00080018": {"vr": "UI"}}}
    )
    assert refused.content_type == DICOM_JSON
    examples.check(refused, by_id["PartitionedUpdateInstance"])
    assert examples.checked_schemas >= set(SCHEMAS) - {"Attribute", "Uid"}


TAGS = [
    {"path": "PatientAge", "level": "Study"},
    {"path": "00091001", "level": "Instance", "vr": "LO", "privateCreator": "EXAMPLE"},
]
CHANGE = DESCRIPTIONS["POST /studies/$bulkUpdate"].example
SUBJECT = {"token": ""}
OF_A_ROLE = {
    "Grant": ({"subject": SUBJECT, "actions": ["read"], "partitions": ["*"], "expires": "2030-01-01T00:00:00Z"},)
}
