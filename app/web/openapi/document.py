"""The OpenAPI document of one API version (OpenAPI 3.1.1, conformance §1.16)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import version as version_of
from typing import Any, Final

from app.settings import Settings
from app.settings.access import JWT, TOKENS
from app.web.openapi.answer_schemas import SCHEMAS, JsonSchema, array_of
from app.web.openapi.answers import error_responses, responses
from app.web.openapi.descriptions import DESCRIPTIONS, TAGS, Description
from app.web.openapi.field_schemas import body_schema
from app.web.openapi.parameters import SHARED_PARAMETERS, parameters, template
from app.web.request.body_kinds import DatasetBody, JsonBody
from app.web.routing.audit import HEADER_PREFIX, MAX_HEADER_LENGTH, MAX_HEADERS
from app.web.routing.capabilities import is_enabled
from app.web.routing.route import PARTITION_PREFIX, RequestBody, Route, Scope
from app.web.routing.versions import ApiVersion

OPENAPI: Final = "3.1.1"
_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_BASE_FORM: Final = "This form serves while partitions are off (conformance §2.4)."
_PARTITION_FORM: Final = "This form serves while partitions are on (conformance §2.4)."
_ABOUT: Final = f"""A DICOMweb store with data partitions. The conformance statement describes it in full.

Errors are plain text: the message alone. Every GET route answers HEAD too. Literal segments of paths, and the names of
query parameters and of members of JSON bodies, match in any letter case.

A call may have up to {MAX_HEADERS} headers whose names begin with `{HEADER_PREFIX}`. The audit trail keeps
them. A value has at most {MAX_HEADER_LENGTH} characters.
"""


def document(routes: Iterable[Route], version: ApiVersion, settings: Settings, *, prefix: str, base: str) -> JsonSchema:
    """Return the document. `prefix` is that of the paths, as `/v2`, or empty. `base` is the base path of the service.

    Routes of other versions, and of features that the operator switched off, are left out.
    """
    paths: dict[str, dict[str, Any]] = {}
    bodies: dict[str, JsonSchema] = {}
    served = [route for route in routes if version in route.versions and is_enabled(route, settings)]
    for route in served:
        for path, description, below_partition in _forms(route, prefix):
            operation = _operation(route, path, description, settings, below_partition=below_partition)
            paths.setdefault(template(path), {})[route.method.lower()] = operation
        if isinstance(route.body, JsonBody):
            bodies[_schema_name(route.body)] = body_schema(route.body.schema)
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "Bulkhead",
            "version": version_of("bulkhead"),
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        **({"externalDocs": {"url": f"{base}/docs/conformance"}} if settings.site else {}),
        "servers": [{"url": settings.public_url or base or "/"}],
        "security": [{name: []} for name in _security_schemes(settings)],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted((SCHEMAS | bodies).items())),
            "parameters": SHARED_PARAMETERS,
            "responses": error_responses(),
            "securitySchemes": _security_schemes(settings),
        },
    }


def _forms(route: Route, prefix: str) -> Iterator[tuple[str, Description, bool]]:
    """Yield the paths of a route with their descriptions, and whether the form is below a partition.

    `GET /` without a version is the front page, whatever the query.
    """
    for path in route.paths:
        description = DESCRIPTIONS[f"{route.method} {path}"]
        if route.scope is Scope.UNVERSIONED:
            yield path, description, False
            continue
        if route.scope is not Scope.BELOW_PARTITION and (prefix + path or route.method == "OPTIONS"):
            yield prefix + path or "/", description, False
        if route.scope is not Scope.BASE:
            yield prefix + PARTITION_PREFIX + path, description, True


def _operation(
    route: Route, path: str, description: Description, settings: Settings, *, below_partition: bool
) -> JsonSchema:
    name = description.operation_id(below_partition=below_partition)
    operation: JsonSchema = {
        "tags": [description.tag],
        "operationId": name,
        "summary": _WORDS.sub(" ", description.id).capitalize(),
        "description": " ".join(_sentences(route, below_partition=below_partition)),
        "responses": responses(route, path, description, settings),
    }
    found = parameters(route, path, description)
    if found:
        operation["parameters"] = found
    if route.body:
        operation["requestBody"] = _body(route.body, description)
    if route.public and settings.authenticates:
        operation["security"] = []
    return operation


def _sentences(route: Route, *, below_partition: bool) -> Iterator[str]:
    yield inspect.getdoc(route.handler) or ""
    if route.action is not None:
        yield f"Needs the right `{route.action.value}`."
    if route.scope is Scope.PARTITION:
        yield _PARTITION_FORM if below_partition else _BASE_FORM


def _body(body: RequestBody, description: Description) -> JsonSchema:
    if isinstance(body, JsonBody):
        schema: JsonSchema = {"$ref": f"#/components/schemas/{_schema_name(body)}"}
    elif isinstance(body, DatasetBody):
        schema = array_of("Dataset") | {"minItems": 1, "maxItems": 1}
    else:
        schema = {"type": "string", "format": "binary"}
    content: JsonSchema = {"schema": schema}
    if description.example is not None:
        content["example"] = description.example
    return {"required": True, "content": dict.fromkeys(body.media_types, content)}


def _schema_name(body: JsonBody) -> str:
    """Return the name of the component: `UpdateRequest` of `UpdateSchema`."""
    return type(body.schema).__name__.removesuffix("Schema") + ("List" if body.schema.many else "") + "Request"


def _security_schemes(settings: Settings) -> JsonSchema:
    """Return the schemes of credentials that the service accepts (conformance §13.1)."""
    schemes: JsonSchema = {}
    if settings.authenticates:
        schemes["bearer"] = {"type": "http", "scheme": "bearer", "description": "A token of the service, or a JWT."}
    if TOKENS in settings.auth:
        schemes["basic"] = {"type": "http", "scheme": "basic", "description": "The password is a token."}
    if JWT in settings.auth and not settings.jwt_jwks:
        for number, issuer in enumerate(settings.jwt_issuers, 1):
            url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
            name = "openId" if len(settings.jwt_issuers) == 1 else f"openId{number}"
            schemes[name] = {"type": "openIdConnect", "openIdConnectUrl": url}
    return schemes
