"""The pages of the sign-in and the sign-out (conformance §15.2)."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from flask import Response, request
from marshmallow import fields

from app.errors import BulkheadError, InvalidRequest, ResourceDisabled, Unauthenticated
from app.services.access.authentication import Authentication
from app.services.access.sessions import BegunSession
from app.services.audit.call import named_caller
from app.web.request.cookies import CookieName, remove_cookie, set_cookie
from app.web.routing.access import session_of
from app.web.routing.context import Context
from app.web.routing.features import require_site
from app.web.routing.route import Scope
from app.web.site.forms import Form, FormBody, FormSchema
from app.web.site.local_paths import SIGN_IN, SIGN_OUT, START, safe_path, see_other
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page

LONGEST_FORM: Final = 32 * 1024
"""Bytes of the longest form. A JWT has up to 8,192 characters, and each may be escaped."""

PUBLIC: Final[dict[str, Any]] = {
    "scope": Scope.PAGE,
    "action": None,
    "public": True,
    "check_enabled": require_site,
}


class _TokenForm(FormSchema):
    """A token or a JWT that a person pasted, and the page to open afterwards."""

    token = fields.String(load_default="")
    next = fields.String(load_default="")


resource = pages("sign-in")


@resource.route("GET", SIGN_IN, audit=None, answers={200: (PAGE,)}, **PUBLIC)
def show_sign_in(context: Context) -> Response:
    """200 with the ways to sign in; 404 while the service does not authenticate."""
    require_authentication(context)
    following = safe_path(request.args.get("next", ""))
    if "signed-out" not in request.args:
        return _sign_in_page(context, following)
    open_id = context.services.open_id
    provider = open_id.end_session_url(context.links.address() + SIGN_IN) if open_id else ""
    return _sign_in_page(context, following, notice="You are signed out.", end_session=provider)


@resource.route(
    "POST",
    SIGN_IN,
    audit="sign-in",
    body=FormBody(_TokenForm(), LONGEST_FORM),
    answers={303: (), 401: (PAGE,)},
    **PUBLIC,
)
def sign_in(context: Context, body: Form) -> Response:
    """303 to the page that the person wanted, with a session cookie; 401 with the form for an invalid token."""
    authentication = require_authentication(context)
    following = safe_path(body.text("next"))
    token = "".join(body.text("token").split())  # a long token is often copied with line breaks
    if not token:
        return refused_page(context, following, "Paste a token.")
    try:
        session = context.services.sessions.begin(token, authentication)
    except (Unauthenticated, InvalidRequest) as error:
        return refused_page(context, following, str(error))
    return begun(context, session, following)


@resource.route("POST", SIGN_OUT, audit="sign-out", body=FormBody(FormSchema()), answers={303: ()}, **PUBLIC)
def sign_out(context: Context, body: Form) -> Response:
    """303 to the sign-in page. The browser forgets the session."""
    _name_caller(context)
    response = see_other(f"{SIGN_IN}?signed-out")
    remove_cookie(response, request, context.settings, CookieName.SESSION)
    return response


def begun(context: Context, session: BegunSession, following: str) -> Response:
    """Return the answer that begins a session in the browser, and leads to the page `following`."""
    context.audit.caller = named_caller(session.caller)
    response = see_other(following)
    set_cookie(response, request, context.settings, CookieName.SESSION, session.cookie, session.seconds)
    return response


def _name_caller(context: Context) -> None:
    """Name the caller in the audit lines of a sign-out, if its credential still counts."""
    services = context.services
    session = session_of(request, services.sessions, context.settings)
    if session and services.authentication:
        try:
            context.audit.caller = named_caller(services.authentication.identify(session.credentials))
        except BulkheadError:
            return


def require_authentication(context: Context) -> Authentication:
    """Return the check of credentials. Raises `ResourceDisabled` while the service has none."""
    if context.services.authentication is None:
        raise ResourceDisabled
    return context.services.authentication


def refused_page(context: Context, following: str, fault: str) -> Response:
    """Return the sign-in page with what went wrong. Its status is 401."""
    response = _sign_in_page(context, following, status=401, fault=fault)
    response.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    return response


def _sign_in_page(
    context: Context, following: str, *, status: int = 200, fault: str = "", notice: str = "", end_session: str = ""
) -> Response:
    """Return the page. `end_session` is the URL that ends the session at the identity provider."""
    start = f"{START}?next={quote(following, safe='/')}" if context.services.open_id else ""
    response = page(
        "sign_in.html",
        status,
        title="Sign in",
        following=following,
        fault=fault,
        notice=notice,
        start=start,
        end_session=end_session,
    )
    response.headers["Cache-Control"] = "no-store"
    return response
