"""Who calls, and whether the caller may make the call: two steps before every handler (conformance §13).

A caller without a right in a partition gets the answer for a partition that does not exist. It is given before anything
is read, so an answer's time tells no more than its text.
"""

from __future__ import annotations

from flask import Request, g

from app.errors import AuthorizationFailed, BulkheadError, NoCredentials
from app.services import Services
from app.services.access.caller import ANONYMOUS, NOBODY, Caller
from app.services.access.rights import Action
from app.services.access.sessions import Session, Sessions
from app.services.partitions import unknown
from app.settings import Settings
from app.web.request import cookies
from app.web.request.cookies import CookieName
from app.web.request.credentials import read_credentials
from app.web.routing.origins import Proof, refuse_foreign_pages
from app.web.routing.route import Route


def authenticate(request: Request, services: Services, settings: Settings) -> Caller:
    """Return the caller of the request: that of its Authorization header, otherwise that of its session cookie.

    Raises `Unauthenticated`, and `ForeignPage` as `refuse_foreign_pages`.
    """
    authentication = services.authentication
    if authentication is None:
        refuse_foreign_pages(request, settings, Proof.NONE)
        return ANONYMOUS
    header = request.headers.get("Authorization")
    if header:
        credentials = read_credentials(header)
        proof = Proof(credentials.scheme)
    else:
        session = session_of(request, services.sessions, settings)
        if session is None:
            raise NoCredentials
        credentials, proof = session.credentials, Proof.COOKIE
    caller = authentication.identify(credentials)
    refuse_foreign_pages(request, settings, proof)
    return caller


def caller_of_public_page(request: Request, services: Services, settings: Settings) -> Caller:
    """Return the caller of a page that needs no credentials: that of the session, or `NOBODY`. Nothing is refused."""
    if services.authentication is None:
        return ANONYMOUS
    try:
        session = session_of(request, services.sessions, settings)
        return services.authentication.identify(session.credentials) if session else NOBODY
    except BulkheadError:
        return NOBODY


def session_of(request: Request, sessions: Sessions, settings: Settings) -> Session | None:
    """Return the session of the cookie of the request. A cookie that cannot be opened is none.

    A request with an Authorization header has no session: then the header names the caller.
    """
    if "session" not in g:
        has_header = bool(request.headers.get("Authorization"))
        texts = () if has_header else cookies.values(request, settings, CookieName.SESSION)
        g.session = next(filter(None, map(sessions.open, texts)), None)
    session: Session | None = g.session
    return session


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
