"""`access`: tokens and stored grants (conformance §13.6).

Whoever may make these calls can make a token with all rights. So `manageAccess` is as much as all rights.
"""

from __future__ import annotations

from typing import Any, Final

from flask import Response

from app.services.access.documents import grant_document, listed_token_document, token_document
from app.services.access.grants import GrantRequest
from app.services.access.rights import Action
from app.services.access.tokens import TokenRequest
from app.web.request.body_kinds import JsonBody
from app.web.response.responses import JSON, empty, json
from app.web.routing.context import Context
from app.web.routing.route import Resource, Scope
from app.web.schemas.access import GRANT, TOKEN
from app.web.schemas.parameters import PAGE

MAX_BYTES: Final = 64 * 1024
"""Bytes of a request. The longest valid one is shorter."""

_ACCESS: Final[dict[str, Any]] = {"scope": Scope.BASE, "action": Action.MANAGE_ACCESS, "audit": "access"}

resource = Resource("access")


def _not_stored(response: Response) -> Response:
    """Let no cache keep an answer: one of them has a secret."""
    response.headers["Cache-Control"] = "no-store"
    return response


resource.after_request = _not_stored


@resource.route("POST", "/access/tokens", body=JsonBody(TOKEN, MAX_BYTES), answers={201: (JSON,)}, **_ACCESS)
def create_token(context: Context, body: TokenRequest) -> Response:
    """201 with the token and its secret. No later answer has the secret."""
    token, secret = context.services.tokens.create(body, context.caller.identity)
    context.audit.access = f"token {token.id}"
    return json(token_document(token) | {"token": secret}, 201)


@resource.route("GET", "/access/tokens", query=PAGE, answers={200: (JSON,)}, **_ACCESS)
def list_tokens(context: Context, parameters: dict[str, int]) -> Response:
    """200 with a page of the tokens, the oldest first."""
    return json([listed_token_document(each) for each in context.services.tokens.page(**parameters)])


@resource.route("DELETE", "/access/tokens/<token>", answers={204: ()}, **_ACCESS)
def revoke_token(context: Context, token: str) -> Response:
    """204; every copy of the service refuses the token within 30 seconds."""
    context.services.tokens.revoke(token)
    context.audit.access = f"token {token}"
    return empty(204)


@resource.route("POST", "/access/grants", body=JsonBody(GRANT, MAX_BYTES), answers={201: (JSON,)}, **_ACCESS)
def create_grant(context: Context, body: GrantRequest) -> Response:
    """201 with the grant; every copy of the service applies it within 30 seconds."""
    grant = context.services.grants.create(body, context.caller.identity)
    context.audit.access = f"grant {grant.id}"
    return json(grant_document(grant), 201)


@resource.route("GET", "/access/grants", query=PAGE, answers={200: (JSON,)}, **_ACCESS)
def list_grants(context: Context, parameters: dict[str, int]) -> Response:
    """200 with a page of the grants, the oldest first."""
    return json([grant_document(each) for each in context.services.grants.page(**parameters)])


@resource.route("DELETE", "/access/grants/<grant>", answers={204: ()}, **_ACCESS)
def remove_grant(context: Context, grant: str) -> Response:
    """204; the grant counts nowhere after 30 seconds."""
    context.services.grants.remove(grant)
    context.audit.access = f"grant {grant}"
    return empty(204)
