"""Sign-in with OpenID Connect: the authorization code flow with PKCE (OpenID Connect Core §3.1, RFC 7636, RFC 9207).

The service keeps nothing between the two halves of a sign-in. The browser has a sealed text, the `Flow`, in a cookie.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import msgspec
import structlog

from app.errors import InvalidCredentials, SignInFailed
from app.services.access.issuer_download import Downloader, DownloadFailed
from app.services.access.jwt_verifier import JwtVerifier
from app.services.access.sealing import Sealer, encoded

FLOW_SECONDS: Final = 600
"""How long a person may take at the provider."""

_PURPOSE: Final = "sign-in"
_FRESH_SECONDS: Final = 300.0
"""How long the discovery document of the issuer is kept."""
_PAUSE_SECONDS: Final = 5.0
"""How long the issuer is not asked again after it did not answer."""
_CODE: Final = re.compile(r"[\x21-\x7e]{1,2048}", re.ASCII)
_ERROR: Final = re.compile(r"[a-z_]{1,40}", re.ASCII)
_OK: Final = 200
_BASIC: Final = "client_secret_basic"
_POST: Final = "client_secret_post"

_log = structlog.get_logger(__name__)


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What one browser has to bring back from the provider."""

    state: str
    nonce: str
    verifier: str
    following: str
    """The path of the page to open after the sign-in."""
    redirect_uri: str
    ends: int
    """In seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedFlow:
    """Where the browser goes, and the value of the cookie that it keeps meanwhile."""

    url: str
    cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIdClient:
    """The service as a client of its issuer. A client without a secret is public."""

    issuer: str
    client_id: str
    scopes: tuple[str, ...]
    secret: str = field(default="", repr=False)


class OpenIdSignIn:
    """Leads people to the issuer, and makes a credential of what they bring back.

    `id_tokens` verifies ID tokens: their audience is the client.
    """

    def __init__(
        self,
        client: OpenIdClient,
        *,
        downloader: Downloader,
        id_tokens: JwtVerifier,
        sealer: Sealer,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._downloader = downloader
        self._id_tokens = id_tokens
        self._sealer = sealer
        self._now = now
        self._monotonic = monotonic
        self._document: tuple[dict[str, Any], float] | None = None
        self._failure = ("", 0.0)

    def start(self, redirect_uri: str, following: str) -> StartedFlow:
        """Begin a sign-in. Raises `SignInFailed` if the issuer does not answer, and `StorageError`."""
        flow = Flow(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            following=following,
            redirect_uri=redirect_uri,
            ends=int(self._now()) + FLOW_SECONDS,
        )
        challenge = encoded(hashlib.sha256(flow.verifier.encode()).digest())
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._client.client_id,
                "redirect_uri": redirect_uri,
                "scope": " ".join(self._client.scopes),
                "state": flow.state,
                "nonce": flow.nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        url = self._endpoint("authorization_endpoint")
        return StartedFlow(
            url=f"{url}{'&' if '?' in url else '?'}{query}",
            cookie=self._sealer.seal(_PURPOSE, msgspec.json.encode(flow)),
        )

    def flow(self, cookie: str) -> Flow | None:
        """Return the flow of a cookie, None if this service did not make it or if it is too old."""
        content = self._sealer.open(_PURPOSE, cookie)
        flow = None if content is None else msgspec.json.decode(content, type=Flow)
        return flow if flow and self._now() < flow.ends else None

    def tokens(self, flow: Flow, answer: Mapping[str, str]) -> tuple[str, ...]:
        """Return the tokens that the issuer gives for its answer: the access token first, then the ID token.

        `answer` is the query of the redirect URI. Raises `SignInFailed`, and `IssuerUnavailable` if the issuer does not
        give its keys.
        """
        code = self._code(flow, answer)
        given = self._exchanged(flow, code)
        id_token = given.get("id_token")
        if isinstance(id_token, str):
            self._check_id_token(id_token, flow)
        elif "openid" in self._client.scopes:
            raise SignInFailed("The identity provider sent no ID token.")
        tokens = (given.get("access_token"), id_token)
        return tuple(token for token in tokens if isinstance(token, str) and token)

    def end_session_url(self, return_to: str) -> str:
        """Return the URL that ends the session at the issuer, "" if there is none or if the issuer does not answer.

        The URL has no token (OpenID Connect RP-Initiated Logout §2), so the issuer asks the person.
        """
        try:
            document = self._discovered()
            if "end_session_endpoint" not in document:
                return ""
            url = self._downloader.named_url(self._client.issuer, document, "end_session_endpoint")
        except DownloadFailed:
            return ""
        query = urlencode({"client_id": self._client.client_id, "post_logout_redirect_uri": return_to})
        return f"{url}{'&' if '?' in url else '?'}{query}"

    def _code(self, flow: Flow, answer: Mapping[str, str]) -> str:
        """Return the code of an answer that belongs to the flow. Nothing else of an answer is believed before."""
        if not hmac.compare_digest(flow.state.encode(), answer.get("state", "").encode("utf-8", "replace")):
            raise SignInFailed("The answer of the identity provider belongs to another sign-in.")
        issuer = answer.get("iss")
        needs_issuer = self._document_or_fail().get("authorization_response_iss_parameter_supported") is True
        if issuer != self._client.issuer and (issuer is not None or needs_issuer):
            raise SignInFailed("The answer is from another identity provider.")
        error = answer.get("error")
        if error is not None:
            named = f": {error}" if _ERROR.fullmatch(error) else ""
            raise SignInFailed(f"The identity provider refused the sign-in{named}.")
        code = answer.get("code", "")
        if not _CODE.fullmatch(code):
            raise SignInFailed("The answer of the identity provider has no code.")
        return code

    def _exchanged(self, flow: Flow, code: str) -> dict[str, Any]:
        """Return the answer of the token endpoint (RFC 6749 §4.1.3)."""
        client, headers = self._client, {}
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": flow.redirect_uri,
            "client_id": client.client_id,
            "code_verifier": flow.verifier,
        }
        if client.secret:
            methods = self._document_or_fail().get("token_endpoint_auth_methods_supported") or [_BASIC]
            if _BASIC not in methods and _POST in methods:
                fields["client_secret"] = client.secret
            else:  # both parts are encoded as in a form (RFC 6749 §2.3.1)
                pair = f"{quote_plus(client.client_id)}:{quote_plus(client.secret)}"
                headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        try:
            status, given = self._downloader.posted(self._endpoint("token_endpoint"), fields, headers)
        except DownloadFailed as error:
            raise self._unreachable(error) from error
        if status != _OK:
            reason = given.get("error")
            named = f": {reason}" if isinstance(reason, str) and _ERROR.fullmatch(reason) else ""
            _log.warning("the identity provider refused a code", issuer=client.issuer, status=status, reason=named)
            raise SignInFailed(f"The identity provider refused the code{named}.")
        return given

    def _check_id_token(self, id_token: str, flow: Flow) -> None:
        """Check the ID token (OpenID Connect Core §3.1.3.7). Raises `SignInFailed`."""
        try:
            claims = self._id_tokens.claims(id_token)
        except InvalidCredentials as error:
            raise SignInFailed("The ID token of the identity provider is not valid.") from error
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode("utf-8", "replace"), flow.nonce.encode()):
            raise SignInFailed("The ID token belongs to another sign-in.")
        if claims.get("azp", self._client.client_id) != self._client.client_id:
            raise SignInFailed("The ID token is for another client.")

    def _endpoint(self, name: str) -> str:
        try:
            return self._downloader.named_url(self._client.issuer, self._discovered(), name)
        except DownloadFailed as error:
            raise self._unreachable(error) from error

    def _document_or_fail(self) -> dict[str, Any]:
        try:
            return self._discovered()
        except DownloadFailed as error:
            raise self._unreachable(error) from error

    def _discovered(self) -> dict[str, Any]:
        """Return the discovery document, at most five minutes old.

        A failure is kept for some seconds: everyone may ask for the sign-in, and an issuer that hangs holds a thread.
        """
        kept, (reason, until) = self._document, self._failure
        if kept is not None and self._monotonic() < kept[1]:
            return kept[0]
        if self._monotonic() < until:
            raise DownloadFailed(reason)
        try:
            document = self._downloader.discovery(self._client.issuer)
        except DownloadFailed as error:
            self._failure = (str(error), self._monotonic() + _PAUSE_SECONDS)
            raise
        self._document = (document, self._monotonic() + _FRESH_SECONDS)
        return document

    def _unreachable(self, error: DownloadFailed) -> SignInFailed:
        _log.warning("people cannot sign in", issuer=self._client.issuer, reason=str(error))
        return SignInFailed("The identity provider cannot be asked. Try again later.")
