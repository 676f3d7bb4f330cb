"""`bulkhead token` and `bulkhead grant`: tokens and stored grants, on the archive itself (conformance §13.6).

They work whether the service runs or not. The service notices their changes within 30 seconds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import click

from app import bootstrap
from app.bootstrap.audit import build_audit
from app.entry.configured import configured
from app.entry.printed_lists import print_list, text_of
from app.errors import BulkheadError, GrantNotFound, InvalidField, InvalidRequest, TokenNotFound
from app.services.access.documents import grant_document, listed_token_document, time_text
from app.services.access.grants import ClaimSubject, GrantRequest, TokenSubject
from app.services.access.tokens import TokenRequest
from app.services.audit.call import AuditedCall
from app.services.audit.trail import AuditTrail
from app.settings import Settings, variable
from app.settings.access import TOKENS
from app.settings.audit import STDERR
from app.storage.table import clock

EVENT: Final = "access"
"""The audit event of each command, and of the calls over HTTP."""

_UNIT_SECONDS: Final = {"d": 86_400, "h": 3600}
_DURATION: Final = re.compile(r"([0-9]{1,6})([dh])", re.ASCII)


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """Return the time that `--expires` means, in seconds since 1970. None: never."""
    if value is None:
        return None
    duration = _DURATION.fullmatch(value)
    try:
        if duration:
            moment = datetime.fromtimestamp(clock.now() + int(duration[1]) * _UNIT_SECONDS[duration[2]], UTC)
        else:
            moment = datetime.fromisoformat(value)
        in_utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(in_utc.timestamp())
    except (ValueError, OverflowError):
        raise click.BadParameter(f"'{value}' is neither as 90d or 12h, nor a date in ISO 8601.") from None


_roles = click.option("--role", "roles", multiple=True, required=True, help="A role. Repeat it for several.")
_partitions = click.option(
    "--partition",
    "partitions",
    multiple=True,
    required=True,
    help="The name of a partition, the beginning of names and a star, or '*'. Repeat it for several.",
)
_expires = click.option(
    "--expires",
    metavar="TIME",
    callback=_seconds,
    help="90d, 12h, or a date or time in ISO 8601, which is in UTC if it names no zone. Without it: never.",
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")


_OPTIONS: Final = {"roles": "role", "partitions": "partition", "actions": "action"}
"""The options for several values, by the field of a request."""


@contextmanager
def _refusals() -> Iterator[None]:
    """Print what the service refuses as other faults of the command line are printed."""
    try:
        yield
    except InvalidField as error:
        field = error.path.removeprefix("subject.").partition("[")[0]
        raise click.UsageError(f"--{_OPTIONS.get(field, field)}: {error.reason}") from error
    except (InvalidRequest, TokenNotFound, GrantNotFound) as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _audited(settings: Settings, status: int) -> Iterator[AuditedCall]:
    """Write the audit lines of a command, if the trail is a file. `status` is that of the call over HTTP.

    Standard error of a command is a terminal, and no part of the trail.
    """
    trail = AuditTrail(None) if settings.audit == STDERR else build_audit(settings)
    call = AuditedCall(event=EVENT, caller={"subject": _operator()})
    trail.executing(call)
    decided = BulkheadError.status
    try:
        yield call
        decided = status
    except BulkheadError as error:
        decided = error.status
        raise
    finally:
        trail.executed(call, decided)
        trail.stop()


def _operator() -> str:
    """Return the name of who runs the command, for audit lines and stored records."""
    return f"bulkhead command, user id {os.getuid()}"


# --- tokens -------------------------------------------------------------------------------------------------------


@click.group()
def token() -> None:
    """Create, list and revoke tokens, for callers without an identity provider.

    A caller sends its token as `Authorization: Bearer TOKEN`. Or it sends the token as the password of the Basic
    scheme, with any user name.
    """


@token.command(name="create")
@click.option("--name", required=True, help="What the token is for. The audit trail shows it.")
@_roles
@_partitions
@_expires
@configured
def create_token(
    settings: Settings, name: str, roles: Sequence[str], partitions: Sequence[str], expires: int | None
) -> None:
    """Create a token and print it.

    Standard output has the token alone. It cannot be printed again: only a digest of it is stored.

    \b
    bulkhead token create --name "CT 3" --role writer --partition clinic-a --expires 90d
    """
    request = TokenRequest(name=name, roles=tuple(roles), partitions=tuple(partitions), expires=expires)
    with _refusals(), _audited(settings, 201) as call:
        created, secret = bootstrap.open_access(settings).tokens.create(request, _operator())
        call.access = f"token {created.id}"
    click.echo(secret)
    click.echo(f"Created the token {created.id}. It expires: {text_of(time_text(expires), 'never')}.", err=True)
    if TOKENS not in settings.auth:
        accepted = f"{variable('auth')}={','.join(settings.auth)}"
        click.echo(f"With {accepted} the service accepts no tokens. Add '{TOKENS}' to this setting.", err=True)


@token.command(name="list")
@_as_json
@configured
def list_tokens(settings: Settings, as_json: bool) -> None:
    """Print all tokens, the oldest first. The secrets are not stored, so they cannot be printed."""
    with _audited(settings, 200):
        listed = list(bootstrap.open_access(settings).tokens.listed())
    print_list([listed_token_document(each) | {"createdBy": each.token.created_by} for each in listed], as_json)


@token.command(name="revoke")
@click.argument("token")
@configured
def revoke_token(settings: Settings, token: str) -> None:
    """Revoke the token with the id TOKEN. All copies of the service refuse it within 30 seconds."""
    with _refusals(), _audited(settings, 204) as call:
        bootstrap.open_access(settings).tokens.revoke(token)
        call.access = f"token {token}"
    click.echo(f"Revoked the token {token}.", err=True)


# --- grants -------------------------------------------------------------------------------------------------------


@click.group()
def grant() -> None:
    """Add, list and remove grants, for callers with a JWT or a token."""


@grant.command(name="add")
@click.option("--issuer", default="", help="The issuer of the JWT of the callers.")
@click.option("--claim", default="sub", show_default=True, help="The claim that names the callers.")
@click.option("--value", default="", help="The value of the claim, or one value of its array.")
@click.option("--token", default="", help="The id of a token, in place of issuer, claim and value.")
@click.option("--role", default="", help="A role.")
@click.option("--action", "actions", multiple=True, help="An action, in place of a role. Repeat it for several.")
@_partitions
@_expires
@configured
def add_grant(
    settings: Settings,
    issuer: str,
    claim: str,
    value: str,
    token: str,
    role: str,
    actions: Sequence[str],
    partitions: Sequence[str],
    expires: int | None,
) -> None:
    """Store a grant and print its id.

    \b
    bulkhead grant add --issuer https://login.example --value jane --role editor --partition 'research-*'
    bulkhead grant add --token 6a0f3c2b9d41e7 --action delete --partition clinic-a --expires 12h
    """
    if token and (issuer or value):
        raise click.UsageError("--token: It is in place of --issuer, --claim and --value.")
    subject = TokenSubject(token=token) if token else ClaimSubject(issuer=issuer, claim=claim, value=value)
    request = GrantRequest(
        subject=subject, role=role, actions=tuple(actions), partitions=tuple(partitions), expires=expires
    )
    with _refusals(), _audited(settings, 201) as call:
        stored = bootstrap.open_access(settings).grants.create(request, _operator())
        call.access = f"grant {stored.id}"
    click.echo(stored.id)
    if issuer and issuer not in settings.jwt_issuers:
        click.echo(f"{variable('jwt_issuers')} does not name '{issuer}', so its JWTs are not accepted.", err=True)


@grant.command(name="list")
@_as_json
@configured
def list_grants(settings: Settings, as_json: bool) -> None:
    """Print all grants, the oldest first."""
    with _audited(settings, 200):
        listed = list(bootstrap.open_access(settings).grants.listed())
    print_list([grant_document(each) | {"createdBy": each.created_by} for each in listed], as_json)


@grant.command(name="remove")
@click.argument("grant")
@configured
def remove_grant(settings: Settings, grant: str) -> None:
    """Remove the grant with the id GRANT. All copies of the service notice it within 30 seconds."""
    with _refusals(), _audited(settings, 204) as call:
        bootstrap.open_access(settings).grants.remove(grant)
        call.access = f"grant {grant}"
    click.echo(f"Removed the grant {grant}.", err=True)
