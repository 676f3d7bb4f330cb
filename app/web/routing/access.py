"""Who calls, and whether the caller may make the call: two steps before every handler (conformance §13).

A caller without a right in a partition gets the answer for a partition that does not exist. It is given before anything
is read, so an answer's time tells no more than its text.
"""

from __future__ import annotations

from flask import Request

from app.errors import AuthorizationFailed
from app.services.access.authentication import Authentication
from app.services.access.caller import ANONYMOUS, Caller
from app.services.access.rights import Action
from app.services.partitions import unknown
from app.web.request.credentials import read_credentials
from app.web.routing.route import Route


def authenticate(request: Request, authentication: Authentication | None) -> Caller:
    """Return the caller of the request. Raises `Unauthenticated`."""
    if authentication is None:
        return ANONYMOUS
    return authentication.identify(read_credentials(request.headers.get("Authorization")))


def authorize(route: Route, caller: Caller, partition: str | None, *, named: bool) -> None:
    """Raise the error that the caller gets if it may not make the call.

    `partition` is the name of the partition of the request, None for a route without one. `named` says whether the URL
    names it: only then can the answer be that it does not exist.
    """
    rights, action = caller.rights, route.action
    if action is None:
        return
    if partition is None:
        needs_all = route.in_all_partitions or action is not Action.READ
        if not (rights.allows_everywhere(action) if needs_all else rights.allows_somewhere(action)):
            raise AuthorizationFailed
    elif not rights.allows(action, partition):
        if route.creates_partition or not named or rights.sees(partition):
            raise AuthorizationFailed
        raise unknown(partition)
