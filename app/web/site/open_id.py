"""The sign-in with OpenID Connect: the way to the provider, and the way back (conformance §15.2)."""

from __future__ import annotations

from typing import Final

from flask import Response, request

from app.errors import InvalidCredentials, InvalidRequest, IssuerUnavailable, ResourceDisabled, SignInFailed
from app.services.access.authentication import Authentication
from app.services.access.open_id import FLOW_SECONDS, Flow, OpenIdSignIn
from app.services.access.sessions import BegunSession
from app.web.request.cookies import CookieName, remove_cookie, set_cookie, values
from app.web.routing.context import Context
from app.web.site.local_paths import CALLBACK, START, safe_path
from app.web.site.pages import PAGE, pages
from app.web.site.sign_in import PUBLIC, begun, refused_page, require_authentication

resource = pages("open-id")

_NOT_MEANT: Final = (
    "The identity provider signed you in, but its tokens are not for this service. "
    "An administrator has to compare their audience with BULKHEAD_JWT_AUDIENCES."
)


@resource.route("GET", START, audit=None, answers={302: (), 401: (PAGE,)}, **PUBLIC)
def start(context: Context) -> Response:
    """302 to the provider, with a cookie for the way back; 401 with the form if the provider does not answer."""
    following = safe_path(request.args.get("next", ""))
    try:
        started = _open_id(context).start(_redirect_uri(context), following)
    except SignInFailed as error:
        return refused_page(context, following, str(error))
    response = Response(status=302, headers={"Location": started.url, "Cache-Control": "no-store"})
    set_cookie(response, request, context.settings, CookieName.FLOW, started.cookie, FLOW_SECONDS)
    return response


@resource.route("GET", CALLBACK, audit="sign-in", answers={303: (), 401: (PAGE,)}, **PUBLIC)
def callback(context: Context) -> Response:
    """303 to the page that the person wanted, with a session cookie; 401 with the form for every fault.

    The cookie of the flow is removed in any case, so an answer of the provider serves once.
    """
    authentication, open_id = require_authentication(context), _open_id(context)
    flow = _flow(context, open_id)
    following = flow.following if flow else "/"
    try:
        if flow is None:
            raise SignInFailed("The sign-in began too long ago, or in another browser. Begin again.")
        response = begun(context, _session(context, authentication, open_id, flow), following)
    except (SignInFailed, InvalidRequest, IssuerUnavailable) as error:
        response = refused_page(context, following, str(error))
    remove_cookie(response, request, context.settings, CookieName.FLOW)
    return response


def _session(context: Context, authentication: Authentication, open_id: OpenIdSignIn, flow: Flow) -> BegunSession:
    """Return the session with the first token that the API accepts: the access token, otherwise the ID token.

    Many providers give access tokens that only they themselves can read. Then the ID token serves, if the operator
    accepts its audience, the client.
    """
    answer = {name: texts[0] for name, texts in request.args.to_dict(flat=False).items() if len(texts) == 1}
    for token in open_id.tokens(flow, answer):
        try:
            return context.services.sessions.begin(token, authentication)
        except InvalidCredentials:
            continue
    raise SignInFailed(_NOT_MEANT)


def _flow(context: Context, open_id: OpenIdSignIn) -> Flow | None:
    return next(filter(None, map(open_id.flow, values(request, context.settings, CookieName.FLOW))), None)


def _open_id(context: Context) -> OpenIdSignIn:
    """Return the sign-in at the provider. Raises `ResourceDisabled` if the operator configured none."""
    require_authentication(context)
    if context.services.open_id is None:
        raise ResourceDisabled
    return context.services.open_id


def _redirect_uri(context: Context) -> str:
    return context.links.address() + CALLBACK
