"""An issuer of JWTs on this machine: an HTTP server with a discovery document and a JWK set (OpenID Connect Discovery).

It signs JWTs, it changes its keys, and it can be slow, silent or wrong. People sign in at it without a password, by the
authorization code flow (OpenID Connect Core §3.1).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import orjson
from joserfc.jwk import ECKey, Key

from tests.support import access

DISCOVERY: Final = "/.well-known/openid-configuration"
JWK_SET: Final = "/keys"
AUTHORIZATION: Final = "/authorize"
TOKENS: Final = "/token"
CLIENT: Final = "bulkhead"
"""The service as a client."""


class Issuer:
    """An issuer that serves on a free port of the loopback address. `url` is its name, the claim `iss`."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        """The path of each request, in the order of their arrival."""
        self.keys: list[Key] = []
        """The keys that it serves. It signs with the last one."""
        self.documents: dict[str, Any] = {}
        """Answers in place of its own: a status, or a body as bytes, or an object, for each path."""
        self.discovered: dict[str, Any] = {}
        """Further members of its discovery document."""
        self.is_down = False
        """Whether it closes each connection without an answer."""
        self.may_answer = threading.Event()
        """As long as it is cleared, requests wait."""
        self.may_answer.set()
        self.person: dict[str, Any] = {}
        """Claims of the tokens of the person who signs in."""
        self.id_claims: dict[str, Any] = {}
        """Claims of the ID token alone. They replace those that it has."""
        self.changed_answer: dict[str, str | None] = {}
        """Parameters of the redirect, and of the answer of the token endpoint. None leaves one out."""
        self.forms: list[tuple[dict[str, str], str]] = []
        """The form and the Authorization header of each request to the token endpoint."""
        self._codes: dict[str, dict[str, str]] = {}
        self._made = 0
        self.rotate()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def rotate(self) -> None:
        """Replace the keys by a new one, with a new id."""
        self._made += 1
        self.keys = [ECKey.generate_key("P-256", {"kid": f"key-{self._made}", "use": "sig", "alg": "ES256"})]

    def token(self, **claims: Any) -> str:
        """Return a JWT of a reader that its newest key signed. `claims` are as in `tests.support.access.claims`."""
        key = self.keys[-1]
        return access.signed(
            access.claims(**{"iss": self.url, "roles": ["reader"]} | claims),
            key=key,
            header={"alg": "ES256", "kid": key.kid},
        )

    def bearer(self, **claims: Any) -> dict[str, str]:
        """Return the headers of a caller with such a JWT."""
        return access.authorization(self.token(**claims))

    def settings(self) -> dict[str, Any]:
        """Return the settings of a service that accepts its JWTs."""
        return {"auth": ("jwt",), "jwt_issuers": (self.url,), "jwt_audiences": (access.AUDIENCE,)}

    def environment(self) -> Mapping[str, str]:
        """Return the same settings as environment variables."""
        return {
            "BULKHEAD_AUTH": "jwt",
            "BULKHEAD_JWT_ISSUERS": self.url,
            "BULKHEAD_JWT_AUDIENCES": access.AUDIENCE,
        }

    def redirect(self, query: str) -> str:
        """Sign a person in. Return the URL that the browser is sent to."""
        asked = dict(parse_qsl(query, strict_parsing=True))
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        answer = {"code": code, "state": asked["state"], "iss": self.url} | self.changed_answer
        return f"{asked['redirect_uri']}?{urlencode({name: text for name, text in answer.items() if text is not None})}"

    def exchange(self, form: dict[str, str], authorization: str) -> tuple[int, bytes]:
        """Return the tokens for a code. A code serves once, and for the client that proves that it asked for it."""
        self.forms.append((form, authorization))
        asked = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != form["redirect_uri"]:
            return 400, orjson.dumps({"error": "invalid_grant"})
        id_claims = {"aud": asked["client_id"], "nonce": asked["nonce"], "roles": []} | self.person | self.id_claims
        tokens: dict[str, str | None] = {
            "token_type": "Bearer",
            "access_token": self.token(**self.person),
            "id_token": self.token(**id_claims),
        }
        tokens |= {name: text for name, text in self.changed_answer.items() if name in tokens}
        return 200, orjson.dumps({name: text for name, text in tokens.items() if text is not None})

    def stop(self) -> None:
        """Close the port. Connections are refused afterwards."""
        self.may_answer.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, bytes]:
        """Return the status and the body of the answer to a GET."""
        served = {
            DISCOVERY: {
                "issuer": self.url,
                "jwks_uri": self.url + JWK_SET,
                "authorization_endpoint": self.url + AUTHORIZATION,
                "token_endpoint": self.url + TOKENS,
                "end_session_endpoint": f"{self.url}/leave",
                **self.discovered,
            },
            JWK_SET: orjson.loads(access.jwk_set(*self.keys)),
            **self.documents,
        }
        document = served.get(path, 404)
        if isinstance(document, int):
            return document, b""
        return 200, document if isinstance(document, bytes) else orjson.dumps(document)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.requests.append(self.path)
                issuer.may_answer.wait(30)
                if issuer.is_down:
                    return
                path, _, query = self.path.partition("?")
                if path == AUTHORIZATION:
                    self.send_response(302)
                    self.send_header("Location", issuer.redirect(query))
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                status, body = issuer.answer(self.path)
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", issuer.url + JWK_SET)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                issuer.requests.append(self.path)
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                status, body = issuer.exchange(form, self.headers.get("Authorization", ""))
                if self.path in issuer.documents:
                    status, body = issuer.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Write nothing to the output of the tests."""

        return Handler


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Run an issuer until the end of the block."""
    issuer = Issuer()
    try:
        yield issuer
    finally:
        issuer.stop()
