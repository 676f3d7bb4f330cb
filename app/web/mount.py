"""Every resource, under every version and scope (conformance §1.2, conformance §2.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import orjson
from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import NotFound

from app.services.policy import V1, V2, Policy
from app.web import context, problems

VERSIONS: Final[dict[str, Policy]] = {"": V2, "/v1": V1, "/v2": V2, "/v1.0-prerelease": V1}
"""Path prefix to behaviour. A URL without a version answers as v2."""

BASE: Final = ("",)
PARTITIONED: Final = ("", "/partitions/<partition>")

RELEASED: Final = ("", "/v1", "/v2")
"""The versions with exports."""

_VERSION: Final = re.compile(r"/v(\d+(?:\.\d+)*(?:-[A-Za-z0-9]+)?)(?:/|$)", re.ASCII)


def resource(name: str) -> Blueprint:
    """Return an empty resource, whose handlers get `scope` and checked UIDs (`context.bind`)."""
    blueprint = Blueprint(name, __name__)
    blueprint.url_value_preprocessor(context.bind)
    return blueprint


def mount(
    app: Flask, resources: Iterable[Blueprint], scopes: Sequence[str], versions: Sequence[str] = tuple(VERSIONS)
) -> None:
    """Register the resources under each of the versions, in each of the scopes."""
    for each in resources:
        for prefix, policy in ((version, VERSIONS[version]) for version in versions):
            for scope in scopes:
                app.register_blueprint(
                    each,
                    name=f"{each.name}{prefix}{scope}".replace(".", "_"),
                    url_prefix=(prefix + scope) or None,
                    url_defaults={"mount": context.Mount(prefix, policy)},
                )


def no_route(error: NotFound) -> Response:
    """Answer a path that leads nowhere: 400 where it names a version that is not served, else 404."""
    version = _VERSION.match(request.path)
    if version is None or f"/v{version[1]}" in VERSIONS:
        return problems.text(error.description or "", 404)
    message = (
        f"The HTTP resource that matches the request URI '{context.address(request)}{request.path}' "
        f"does not support the API version '{version[1]}'."
    )
    return Response(
        orjson.dumps({"error": {"code": "UnsupportedApiVersion", "message": message}}),
        400,
        content_type="application/json",
    )
