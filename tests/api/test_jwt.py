"""JWTs as credentials: who is let in, and that no forged or foreign JWT is (conformance §13.1)."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from flask.testing import FlaskClient
from joserfc import jwe, jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from werkzeug.test import TestResponse

from app import bootstrap, create_app
from app.services.access.jwt_verifier import LONGEST_JWT
from app.settings import Settings
from tests.support.access import (
    AUDIENCE,
    ISSUER,
    authenticated,
    authorization,
    bearer,
    claims,
    jwk_set,
    signed,
    signing_key,
)
from tests.support.instances import make_instance

VIEWER: Final = "https://viewer.example"
LEEWAY: Final = 60


@dataclasses.dataclass(frozen=True)
class FromNow:
    """A time so many seconds after the test begins. The parameters of a test are made minutes before it."""

    seconds: float


def at_present(changes: dict[str, Any]) -> dict[str, Any]:
    """Return claims with numbers in place of the times from now."""
    now = time.time()
    return {name: now + value.seconds if isinstance(value, FromNow) else value for name, value in changes.items()}


Serve = Callable[..., FlaskClient]
Call = Callable[[str], TestResponse]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an archive that the tests share. They store nothing that another test could meet."""
    return tmp_path_factory.mktemp("archive")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of this test, for its file of keys and its roles file."""
    return tmp_path


@pytest.fixture(scope="module")
def serve(folder: Path) -> Serve:
    """Return a function that starts a service with these settings on the archive. The engine does not matter here."""
    common = Settings(data_dir=folder, log_level="error")
    bootstrap.initialise(common)
    engine = bootstrap.build_engine(common)
    return lambda **different: create_app(dataclasses.replace(common, **different), engine).test_client()


@pytest.fixture(scope="module")
def service(serve: Serve, folder: Path) -> FlaskClient:
    """A service that accepts the JWTs of the test issuer."""
    return serve(**authenticated(folder))


@pytest.fixture(scope="module")
def call(service: FlaskClient) -> Call:
    """Return a function that lists the partitions with a token."""
    return lambda token: service.get("/v2/partitions", headers=authorization(token))


def refused(answer: TestResponse) -> bool:
    """Return whether this is the answer to invalid credentials. It never says which check failed."""
    assert (answer.status_code, answer.text) == (401, "The credentials are invalid."), answer.text
    (challenge,) = answer.headers.getlist("WWW-Authenticate")
    assert challenge.endswith(', error="invalid_token"')
    return True


def encoded(value: object) -> str:
    data = value if isinstance(value, bytes) else orjson.dumps(value)
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: object, payload: object, signature: bytes = b"x" * 64) -> str:
    """Return a token with these parts. Nobody signed it."""
    return ".".join((encoded(header), encoded(payload), encoded(signature)))


# --- who is let in ------------------------------------------------------------------------------------------------


def test_a_caller_with_a_role_is_let_in(service: FlaskClient) -> None:
    assert service.get("/v2/partitions", headers=bearer(roles=["Reader"])).status_code == 200
    denied = service.delete("/v2/partitions/Microsoft.Default/studies/2.25.1", headers=bearer(roles=["reader"]))
    assert (denied.status_code, denied.text) == (403, "Authorization failed.")


def test_a_grant_of_the_token_counts_in_its_partitions(service: FlaskClient) -> None:
    headers = bearer(grants=[{"role": "writer", "partitions": ["ct-*"]}]) | {"Content-Type": "application/dicom"}
    for partition, status in (("ct-3", 200), ("mr-1", 403)):
        stored = service.post(f"/v2/partitions/{partition}/studies", data=make_instance(), headers=headers)
        assert stored.status_code == status, stored.text


def test_a_token_without_rights_is_known_and_may_nothing(service: FlaskClient) -> None:
    answer = service.get("/v2/partitions/clinic-a/studies", headers=bearer(roles=["nobody"]))
    assert (answer.status_code, answer.text) == (400, "Specified PartitionName clinic-a doesn't exist.")


@cache
def key_for(algorithm: str) -> Key:
    curves: dict[str, Any] = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}
    parameters: Any = {"kid": algorithm}
    if algorithm == "EdDSA":
        return OKPKey.generate_key(curves[algorithm], parameters)
    if algorithm in curves:
        return ECKey.generate_key(curves[algorithm], parameters)
    if algorithm.startswith("HS"):
        return OctKey.import_key(b"a secret of the issuer that has more than sixty-four bytes in all", parameters)
    return rsa_key()


@cache
def rsa_key() -> Key:
    return RSAKey.generate_key(2048, {"kid": "rsa"})


@pytest.mark.parametrize(
    "algorithm",
    [
        *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"),
        *("HS256", "HS384", "HS512"),
    ],
)
def test_each_algorithm_counts_only_if_it_is_listed(serve: Serve, own: Path, algorithm: str) -> None:
    key = key_for(algorithm)
    token = signed(claims(roles=["reader"]), key=key, header={"alg": algorithm, "kid": key.kid})
    settings = authenticated(own)
    (own / "test-keys.json").write_bytes(jwk_set(key))
    listed = serve(**settings | {"jwt_algorithms": (algorithm,)})
    assert listed.get("/v2/partitions", headers=authorization(token)).status_code == 200
    other = "ES256" if algorithm != "ES256" else "RS256"
    unlisted = serve(**settings | {"jwt_algorithms": (other,)})
    assert refused(unlisted.get("/v2/partitions", headers=authorization(token)))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": [AUDIENCE]},
        {"aud": ["https://other.test", AUDIENCE]},
        {"iat": None},
        {"nbf": FromNow(-5)},
        {"nbf": FromNow(LEEWAY / 2)},
        {"iat": FromNow(LEEWAY / 2)},
        {"exp": FromNow(3600.5)},
        {"exp": FromNow(-LEEWAY / 2)},
        {"unknown": {"deep": [1, 2, {"er": None}]}},
    ],
)
def test_valid_claims(call: Call, changes: dict[str, Any]) -> None:
    assert call(signed(claims(roles=["reader"], **at_present(changes)))).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "ES256"},
        {"alg": "ES256", "kid": "tests", "typ": "at+jwt"},
        {"alg": "ES256", "kid": "tests", "nonce": "x", "x5t": "y"},
        {"alg": "ES256", "kid": "tests", "b64": True},
    ],
)
def test_valid_headers(call: Call, header: dict[str, Any]) -> None:
    made = jws.serialize_compact(header, orjson.dumps(claims(roles=["reader"])), signing_key(), registry=EVERY_HEADER)
    assert call(made).status_code == 200


EVERY_HEADER: Final = jws.JWSRegistry(algorithms=["ES256", "HS256", "none"], strict_check_header=False)


# --- who is not ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None},
        {"iss": "https://other.test"},
        {"iss": ISSUER + "/"},
        {"iss": ISSUER.upper()},
        {"iss": [ISSUER]},
        {"iss": {"https://issuer.test": 1}},
        {"aud": None},
        {"aud": "https://other.test"},
        {"aud": AUDIENCE + "/"},
        {"aud": []},
        {"aud": [["https://archive.test"]]},
        {"aud": {AUDIENCE: True}},
        {"aud": [None, 5]},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": True},
        {"exp": []},
        {"exp": 10**400},
        {"nbf": FromNow(2 * LEEWAY)},
        {"nbf": "yesterday"},
        {"iat": FromNow(2 * LEEWAY)},
        {"iat": {}},
        {"sub": None},
        {"sub": 7},
        {"sub": " "},
        {"sub": "a\nb"},
        {"sub": "a" * 257},
    ],
)
def test_claims_that_are_refused(call: Call, changes: dict[str, Any]) -> None:
    assert refused(call(signed(claims(roles=["globalAdmin"], **at_present(changes)))))


def test_an_expired_token_is_told_so_and_nothing_else(call: Call) -> None:
    answer = call(signed(claims(exp=int(time.time()) - LEEWAY - 1)))
    assert (answer.status_code, answer.text) == (401, "The credentials have expired.")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    forgery = call(signed(claims(exp=int(time.time()) - LEEWAY - 1), key=ECKey.generate_key("P-256")))
    assert refused(forgery)  # whoever cannot sign learns nothing of the claims


def test_the_leeway_is_a_setting(serve: Serve, own: Path) -> None:
    strict = serve(**authenticated(own, jwt_leeway_seconds=0))
    answer = strict.get("/v2/partitions", headers=bearer(exp=int(time.time())))
    assert answer.text == "The credentials have expired."


def test_nothing_signed_by_another_key(call: Call) -> None:
    other = ECKey.generate_key("P-256", {"kid": "tests"})
    assert refused(call(signed(claims(roles=["globalAdmin"]), key=other)))
    unknown = signed(claims(roles=["globalAdmin"]), key=other, header={"alg": "ES256", "kid": "other"})
    assert refused(call(unknown))


def test_a_changed_token(call: Call) -> None:
    token = signed(claims(roles=["reader"]))
    header, payload, signature = token.split(".")
    more = encoded(claims(roles=["globalAdmin"]))
    for changed in (
        f"{header}.{more}.{signature}",
        f"{header}.{payload}.",
        f"{header}..{signature}",
        f".{payload}.{signature}",
        f"{header}.{payload}",
        f"{token}.{signature}",
        f"{header}.{payload}.{signature[:-4]}",
        f"{header}.{payload}.{encoded(bytes(64))}",
        token[: len(token) // 2],
        f"{token}=",
        f"{token}A",
        "..",
        "a",
        "." * 5000,
    ):
        assert refused(call(changed)), changed


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "", None, 5, ["ES256"], "ES256K", "es256", "HS256", "dir"]
)
def test_an_algorithm_that_is_not_allowed(call: Call, algorithm: Any) -> None:
    for signature in (b"", b"x" * 64):
        assert refused(call(forged({"alg": algorithm, "kid": "tests"}, claims(roles=["globalAdmin"]), signature)))
    assert refused(call(forged({"kid": "tests"}, claims(roles=["globalAdmin"]))))


@pytest.mark.parametrize("algorithms", [("ES256", "RS256"), ("ES256", "RS256", "HS256")])
def test_a_public_key_is_no_shared_secret(serve: Serve, own: Path, algorithms: tuple[str, ...]) -> None:
    settings = authenticated(own, jwt_algorithms=algorithms)
    secret = OctKey.import_key(b"0" * 32, {"kid": "secret"})
    (own / "test-keys.json").write_bytes(jwk_set(rsa_key(), signing_key(), secret))
    service = serve(**settings)
    public = rsa_key()
    assert isinstance(public, RSAKey)
    forms = (
        public.as_pem(private=False),
        public.as_pem(private=False).strip(),
        public.as_der(private=False),
        orjson.dumps(public.as_dict(private=False)),
    )
    for form in forms:
        for kid in ("rsa", "tests", "secret", "other"):
            header = {"alg": "HS256", "kid": kid}
            # joserfc refuses to sign with such a key, so the test signs.
            signing_input = f"{encoded(header)}.{encoded(claims(roles=['globalAdmin']))}"
            signature = hmac.digest(form, signing_input.encode(), hashlib.sha256)
            answer = service.get("/v2/partitions", headers=authorization(f"{signing_input}.{encoded(signature)}"))
            assert refused(answer)


def test_keys_that_the_token_itself_brings_do_not_count(call: Call) -> None:
    mine = ECKey.generate_key("P-256", {"kid": "mine"})
    public = mine.as_dict(private=False)
    for extra in (
        {"jwk": public},
        {"jku": "https://attacker.test/keys"},
        {"x5u": "https://attacker.test/chain"},
        {"x5c": ["MIIB"]},
        {"jwk": public, "jku": "http://127.0.0.1:1/keys"},
        {"jku": 5},
        {"x5c": "no list"},
    ):
        for kid in ("mine", "tests"):
            header = {"alg": "ES256", "kid": kid} | extra
            signing_input = f"{encoded(header)}.{encoded(claims(roles=['globalAdmin']))}"
            model = jws.JWSRegistry.algorithms["ES256"]
            token = f"{signing_input}.{encoded(model.sign(signing_input.encode(), mine))}"
            assert refused(call(token)), extra


def signed_as_it_is(header: Mapping[str, Any], payload: bytes) -> str:
    """Return a token with a valid signature of the accepted key, whatever the header says."""
    signing_input = f"{encoded(header)}.{encoded(payload)}"
    model = jws.JWSRegistry.algorithms["ES256"]
    return f"{signing_input}.{encoded(model.sign(signing_input.encode(), signing_key()))}"


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"crit": "b64"},
        {"b64": False},
        {"cty": "JWT"},
        {"cty": "jwt"},
        {"kid": 5},
        {"kid": None},
        {"kid": ["tests"]},
        {"alg": "RS256"},
        {"alg": "ES384"},
        {"alg": "EdDSA"},
    ],
)
def test_headers_that_are_refused_though_the_key_signed(call: Call, extra: dict[str, Any]) -> None:
    payload = orjson.dumps(claims(roles=["globalAdmin"]))
    assert refused(call(signed_as_it_is({"alg": "ES256", "kid": "tests"} | extra, payload)))


def test_an_unencoded_payload_is_refused(call: Call) -> None:
    header = {"alg": "ES256", "kid": "tests", "b64": False, "crit": ["b64"]}
    payload = encoded(claims(roles=["globalAdmin"]))
    signing_input = f"{encoded(header)}.{payload}"
    model = jws.JWSRegistry.algorithms["ES256"]
    assert refused(call(f"{signing_input}.{encoded(model.sign(signing_input.encode(), signing_key()))}"))


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"5", b"null", b'"text"', b"\xff\xfe", b"{", b"[" * 3000, b'{"iss":' + b"[" * 900 + b"]" * 900 + b"}"],
)
def test_payloads_that_are_no_claims(call: Call, payload: bytes) -> None:
    assert refused(call(signed_as_it_is({"alg": "ES256", "kid": "tests"}, payload)))


@pytest.mark.parametrize("header", [b"", b"[]", b'["alg"]', b'"alg"', b"5", b"null", b"\xff", b"[" * 3000, b"[" * 990])
def test_headers_that_are_no_objects(call: Call, header: bytes) -> None:
    assert refused(call(forged(header, claims(roles=["globalAdmin"]))))


def test_an_encrypted_token(call: Call) -> None:
    registry = jwe.JWERegistry(algorithms=["dir", "A128CBC-HS256"])
    key = OctKey.generate_key(256)
    header = {"alg": "dir", "enc": "A128CBC-HS256"}
    token = jwe.encrypt_compact(header, orjson.dumps(claims(roles=["globalAdmin"])), key, registry=registry)
    assert refused(call(token))


def test_a_token_over_the_limit(call: Call) -> None:
    token = signed(claims(roles=["reader"], padding="x" * 5000))
    assert call(token).status_code == 200
    longest = signed(claims(roles=["reader"], padding="x" * (5000 + (LONGEST_JWT - len(token)) * 3 // 4)))
    assert LONGEST_JWT - 4 <= len(longest) <= LONGEST_JWT
    assert call(longest).status_code == 200
    assert refused(call(signed(claims(roles=["reader"], padding="x" * 5900))))
    assert refused(call("x" * 1_000_000))


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer, Basic",
        "bearer\ttoken",
        "Basic",
        "Basic !!!",
        "Basic YWJj",
        "Basic /////w==",
        "Digest username=x",
        "Negotiate YII",
        "token",
        "B\xe4rer x",
        "Bearer \xfc\xfc",
        "Bearer bh_abc",
        ",",
    ],
)
def test_authorization_headers_that_are_refused(service: FlaskClient, header: str) -> None:
    assert refused(service.get("/v2/partitions", headers={"Authorization": header}))


def test_two_authorization_headers_are_refused(service: FlaskClient) -> None:
    valid = bearer(roles=["reader"])["Authorization"]
    for other in ("Bearer x", "Basic YTpi", valid):
        for pair in ((valid, other), (other, valid)):
            answer = service.get("/v2/partitions", headers=[("Authorization", each) for each in pair])
            assert refused(answer)


def test_the_scheme_is_in_any_letter_case_and_may_have_more_spaces(service: FlaskClient) -> None:
    token = bearer(roles=["reader"])["Authorization"].removeprefix("Bearer ")
    for header in (f"bearer {token}", f"BEARER  {token}", f"Bearer {token} "):
        assert service.get("/v2/partitions", headers={"Authorization": header}).status_code == 200


def test_a_token_counts_nowhere_but_in_its_header(service: FlaskClient) -> None:
    token = signed(claims(roles=["reader"]))
    for call in (
        service.get(f"/v2/partitions?access_token={token}"),
        service.get("/v2/partitions", headers={"Cookie": f"access_token={token}"}),
        service.get("/v2/partitions", headers={"X-Access-Token": token}),
    ):
        assert (call.status_code, call.text) == (401, "The request has no credentials.")


# --- the answer ---------------------------------------------------------------------------------------------------


def test_the_challenge_names_issuer_and_audience(service: FlaskClient) -> None:
    answer = service.get("/v2/partitions")
    assert (answer.status_code, answer.text) == (401, "The request has no credentials.")
    assert answer.headers.getlist("WWW-Authenticate") == [
        f'Bearer authorization_uri="{ISSUER}", resource_id="{AUDIENCE}", realm="{AUDIENCE}"'
    ]


def test_each_accepted_scheme_has_its_challenge(serve: Serve, own: Path) -> None:
    both = serve(**authenticated(own, auth=("jwt", "tokens"))).get("/v2/partitions")
    assert [each.split()[0] for each in both.headers.getlist("WWW-Authenticate")] == ["Bearer", "Basic"]
    assert both.headers.getlist("WWW-Authenticate")[1] == f'Basic realm="{AUDIENCE}"'
    tokens = serve(auth=("tokens",)).get("/v2/partitions", headers={"Authorization": "Basic YTpi"})
    assert tokens.headers.getlist("WWW-Authenticate") == [
        'Bearer realm="Bulkhead", error="invalid_token"',
        'Basic realm="Bulkhead"',
    ]


def test_a_page_of_another_origin_can_read_the_answer(serve: Serve, own: Path) -> None:
    service = serve(**authenticated(own, cors_origins=(VIEWER,)))
    answer = service.get("/v2/partitions", headers={"Origin": VIEWER})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (401, VIEWER)
    assert "www-authenticate" in answer.headers["Access-Control-Expose-Headers"].lower()
    asked = {
        "Origin": VIEWER,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    preflight = service.options("/v2/partitions", headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Headers"] == "authorization"


# --- roles and subjects -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (["reader"], 200),
        (["READER", "unknown"], 200),
        ("reader", 200),
        ("unknown, Reader", 200),
        ("DICOM Data Reader", 200),
        (["dicom data owner"], 200),
        ("unknown reader", 403),
        (["reader,unknown"], 403),
        ([["reader"]], 403),
        ([None, 5, {}], 403),
        ({"reader": True}, 403),
        (5, 403),
        ("", 403),
        ([], 403),
    ],
)
def test_the_roles_claim(service: FlaskClient, value: Any, status: int) -> None:
    answer = service.get("/v2/extendedquerytags", headers=authorization(signed(claims() | {"roles": value})))
    assert answer.status_code == status


def test_claims_may_be_nested(serve: Serve, own: Path) -> None:
    names = {
        "roles_claim": "realm_access.roles",
        "grants_claim": "https://archive.test/grants",
        "subject_claim": "profile.upn",
    }
    service = serve(**authenticated(own, **names))
    token = signed(claims(realm_access={"roles": ["reader"]}, profile={"upn": "ann@hospital.test"}))
    assert service.get("/v2/extendedquerytags", headers=authorization(token)).status_code == 200
    grant = {"role": "reader", "partitions": ["*"]}
    granted = claims(profile={"upn": "ann"}) | {names["grants_claim"]: [grant]}
    assert service.get("/v2/extendedquerytags", headers=authorization(signed(granted))).status_code == 200
    assert refused(service.get("/v2/extendedquerytags", headers=authorization(signed(claims(roles=["reader"])))))


@pytest.mark.parametrize(
    "entry",
    [
        None,
        5,
        "reader",
        [],
        {},
        {"role": "reader"},
        {"partitions": ["*"]},
        {"role": "reader", "partitions": []},
        {"role": "reader", "partitions": "*"},
        {"role": "reader", "partitions": [5]},
        {"role": "reader", "partitions": ["a b"]},
        {"role": "reader", "partitions": ["**"]},
        {"role": "reader", "partitions": ["*a"]},
        {"role": "reader", "actions": ["read"], "partitions": ["*"]},
        {"role": 5, "partitions": ["*"]},
        {"role": "unknown", "partitions": ["*"]},
        {"actions": ["look"], "partitions": ["*"]},
        {"actions": "read", "partitions": ["*"]},
        {"actions": [], "partitions": ["*"]},
        {"role": "reader", "partitions": ["*"], "expires": "soon"},
        {"role": "reader", "partitions": ["*"], "expires": 9999999999},
        {"role": "reader", "partitions": ["*"], "expires": "2999-01-01T00:00:00"},
        {"role": "reader", "partitions": ["*"], "expires": "2020-01-01T00:00:00Z"},
        {"role": "reader", "partitions": ["*"], "unless": "weekend"},
    ],
)
def test_a_malformed_grant_gives_no_right_and_does_no_harm(service: FlaskClient, entry: Any) -> None:
    for value in ([entry], entry):
        answer = service.get(
            "/v2/extendedquerytags", headers=authorization(signed(claims() | {"bulkhead_grants": value}))
        )
        assert answer.status_code == 403
    good = {"actions": ["read"], "partitions": ["*"], "expires": "2999-01-01T00:00:00+01:00"}
    assert service.get("/v2/extendedquerytags", headers=bearer(grants=[entry, good])).status_code == 200


def test_the_roles_file_adds_roles(serve: Serve, own: Path) -> None:
    file = own / "roles.json"
    file.write_text('[{"name": "Tag admin", "dataActions": ["manageExtendedQueryTags"]}]')
    service = serve(**authenticated(own, roles_file=file))
    tag = {"json": {"queryStatus": "Disabled"}, "headers": bearer(roles=["tag ADMIN"])}
    assert service.patch("/v2/extendedquerytags/PatientAge", **tag).status_code == 404
    assert service.get("/v2/extendedquerytags", headers=bearer(roles=["tag admin"])).status_code == 403
