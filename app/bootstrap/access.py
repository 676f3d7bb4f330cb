"""Builds the access control: tokens, grants, and what checks the credentials of callers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import ConfigurationError
from app.services.access.authentication import Authentication, StoredGrants
from app.services.access.grants import Grants
from app.services.access.issuer_download import Downloader
from app.services.access.issuer_keys import DownloadedKeys, IssuerKeys, KeysFile
from app.services.access.jwt_rights import ClaimedRights
from app.services.access.jwt_verifier import JwtVerifier
from app.services.access.open_id import OpenIdClient, OpenIdSignIn
from app.services.access.rights import Rights
from app.services.access.roles import RoleDirectory
from app.services.access.sealing import Sealer
from app.services.access.sessions import Sessions
from app.services.access.stored_grants import StoredGrantIndex
from app.services.access.token_uses import TokenUses
from app.services.access.tokens import Tokens, TokenVerifier
from app.settings import Settings, variable
from app.settings.access import JWT, TOKENS, is_trustworthy
from app.storage.access.grants import GrantStore
from app.storage.access.session_key import KEY_BYTES, SessionKeyStore
from app.storage.access.tokens import TokenStore
from app.storage.table.ports import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The access control of an archive. `authentication` is None if the service does not authenticate."""

    tokens: Tokens
    grants: Grants
    authentication: Authentication | None
    sessions: Sessions
    open_id: OpenIdSignIn | None
    """None: people sign in with tokens alone."""


def build_access(settings: Settings, table: Table) -> Access:
    """Return the access control on a table. Nothing is read from it or written to it.

    Raises `ConfigurationError` for a roles file or a file of keys with a fault. Issuers are not asked before the first
    JWT comes, so the service starts also while they do not answer.
    """
    roles = RoleDirectory.read(settings.roles_file)
    keys = _keys_of_issuers(settings) if JWT in settings.auth else {}
    sealer = Sealer(_session_key(settings, table))
    token_store, grant_store = TokenStore(table), GrantStore(table)
    stored_grants = StoredGrantIndex(grant_store, roles)
    tokens = TokenVerifier(token_store, roles, stored_grants.of_token, TokenUses(token_store))
    authentication = Authentication(
        verify_jwt=_jwt_verifier(settings, keys, roles, stored_grants).verify if JWT in settings.auth else None,
        verify_token=tokens.verify if TOKENS in settings.auth else None,
    )

    def forget() -> None:
        stored_grants.forget()
        authentication.forget()

    return Access(
        tokens=Tokens(token_store, roles, changed=forget),
        grants=Grants(grant_store, roles, has_token=token_store.has, changed=forget),
        authentication=authentication if settings.authenticates else None,
        sessions=Sessions(sealer, settings.session_seconds),
        open_id=_open_id(settings, keys, sealer) if settings.oidc_client_id else None,
    )


def _session_key(settings: Settings, table: Table) -> Callable[[], bytes]:
    """Return the function that gives the key of session cookies: that of the file, or that of the table.

    Raises `ConfigurationError` for a file that cannot be read or that is too short.
    """
    path = settings.session_key_file
    if path is None:
        return SessionKeyStore(table).read
    key = _secret("session_key_file", path)
    if len(key) < KEY_BYTES:
        raise ConfigurationError(
            f"{variable('session_key_file')}='{path}': The key has {len(key)} bytes. It needs {KEY_BYTES} or more."
        )
    return lambda: key


def _secret(name: str, path: Path) -> bytes:
    """Return the content of a file without white space at its ends. Raises `ConfigurationError`."""
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(f"{variable(name)}='{path}': The file cannot be read.") from error
    if not secret:
        raise ConfigurationError(f"{variable(name)}='{path}': The file is empty.")
    return secret


def _open_id(settings: Settings, keys: Mapping[str, IssuerKeys], sealer: Sealer) -> OpenIdSignIn:
    """Return the sign-in at the first issuer. Raises `ConfigurationError` for a secret that cannot be read."""
    issuer, path = settings.jwt_issuers[0], settings.oidc_client_secret_file
    client = OpenIdClient(
        issuer=issuer,
        client_id=settings.oidc_client_id,
        scopes=settings.oidc_scopes,
        secret=_secret("oidc_client_secret_file", path).decode("utf-8", "replace") if path else "",
    )
    id_tokens = JwtVerifier(
        keys={issuer: keys[issuer]},
        audiences=(client.client_id,),
        algorithms=settings.jwt_algorithms,
        leeway=settings.jwt_leeway_seconds,
        subject_claim=settings.subject_claim,
        rights_of=lambda _issuer, _claims: Rights(),
    )
    return OpenIdSignIn(client, downloader=Downloader(is_trustworthy), id_tokens=id_tokens, sealer=sealer)


def _jwt_verifier(
    settings: Settings, keys: Mapping[str, IssuerKeys], roles: RoleDirectory, stored_grants: StoredGrants
) -> JwtVerifier:
    rights = ClaimedRights(
        roles=roles,
        roles_claim=settings.roles_claim,
        grants_claim=settings.grants_claim,
        stored_grants=stored_grants,
    )
    return JwtVerifier(
        keys=keys,
        audiences=settings.jwt_audiences,
        algorithms=settings.jwt_algorithms,
        leeway=settings.jwt_leeway_seconds,
        subject_claim=settings.subject_claim,
        rights_of=rights.of,
    )


def _keys_of_issuers(settings: Settings) -> dict[str, IssuerKeys]:
    """Return the keys of each issuer. A JWK set that the operator names serves all of them."""
    if settings.jwks_file:
        try:
            return dict.fromkeys(settings.jwt_issuers, KeysFile(settings.jwks_file))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{variable('jwt_jwks')}='{settings.jwks_file}': {error}") from error
    downloader = Downloader(is_trustworthy)
    if settings.jwks_url:
        keys = DownloadedKeys(settings.jwks_url, _document(downloader, settings.jwks_url))
        return dict.fromkeys(settings.jwt_issuers, keys)
    return {issuer: DownloadedKeys(issuer, _discovered(downloader, issuer)) for issuer in settings.jwt_issuers}


def _document(downloader: Downloader, url: str) -> Callable[[], bytes]:
    return lambda: downloader.document(url)


def _discovered(downloader: Downloader, issuer: str) -> Callable[[], bytes]:
    return lambda: downloader.discovered_keys(issuer)
