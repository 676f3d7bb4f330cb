"""Callers are remembered for a short time, and never longer than their credentials are valid."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from app.errors import InvalidCredentials, IssuerUnavailable
from app.services.access.authentication import CACHE_SECONDS, Authentication, Credentials, Verified
from app.services.access.caller import Caller
from app.services.access.rights import Rights


@dataclass
class Verifier:
    """Knows every secret that does not begin with `bad`. Counts its calls."""

    valid_until: float | None = None
    error: Exception | None = None
    calls: list[str] = field(default_factory=list)

    def __call__(self, secret: str) -> Verified:
        self.calls.append(secret)
        if self.error:
            raise self.error
        if secret.startswith("bad"):
            raise InvalidCredentials
        return Verified(caller=Caller(subject=secret, rights=Rights()), valid_until=self.valid_until)


@dataclass
class Clocks:
    """The time of the day and the time since the start, both set by the test."""

    day: float = 1_000_000.0
    running: float = 10.0

    def pass_by(self, seconds: float) -> None:
        self.day += seconds
        self.running += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def verifier() -> Verifier:
    return Verifier()


@pytest.fixture
def authentication(clocks: Clocks, verifier: Verifier) -> Authentication:
    return Authentication(
        verify_jwt=verifier, verify_token=verifier, monotonic=lambda: clocks.running, now=lambda: clocks.day
    )


def jwt(secret: str) -> Credentials:
    return Credentials(scheme="bearer", secret=secret)


def test_credentials_are_checked_once_in_thirty_seconds(
    authentication: Authentication, verifier: Verifier, clocks: Clocks
) -> None:
    for _ in range(3):
        assert authentication.identify(jwt("ann")).subject == "ann"
        clocks.pass_by(CACHE_SECONDS / 3 - 0.1)
    assert verifier.calls == ["ann"]
    clocks.pass_by(0.5)
    authentication.identify(jwt("ann"))
    authentication.identify(jwt("bob"))
    assert verifier.calls == ["ann", "ann", "bob"]


def test_a_clock_that_is_set_back_keeps_nobody_longer(
    authentication: Authentication, verifier: Verifier, clocks: Clocks
) -> None:
    authentication.identify(jwt("ann"))
    clocks.running += CACHE_SECONDS
    clocks.day -= 1000
    authentication.identify(jwt("ann"))
    assert verifier.calls == ["ann", "ann"]


def test_expired_credentials_are_refused_though_remembered(
    authentication: Authentication, verifier: Verifier, clocks: Clocks
) -> None:
    verifier.valid_until = clocks.day + 5
    authentication.identify(jwt("ann"))
    clocks.pass_by(4.9)
    authentication.identify(jwt("ann"))
    clocks.pass_by(0.1)
    with pytest.raises(InvalidCredentials, match="expired"):
        authentication.identify(jwt("ann"))


def test_refusals_are_not_remembered(authentication: Authentication, verifier: Verifier) -> None:
    for error in (InvalidCredentials(), IssuerUnavailable()):
        verifier.error = error
        with pytest.raises(type(error)):
            authentication.identify(jwt("ann"))
    verifier.error = None
    assert authentication.identify(jwt("ann")).subject == "ann"
    assert len(verifier.calls) == 3


def test_the_kind_of_credentials_selects_the_check() -> None:
    jwts, tokens = Verifier(), Verifier()
    authentication = Authentication(verify_jwt=jwts, verify_token=tokens)
    authentication.identify(jwt("a.b.c"))
    authentication.identify(jwt("bh_1"))
    authentication.identify(Credentials(scheme="basic", secret="bh_2"))
    authentication.identify(Credentials(scheme="basic", secret="a.b.d"))
    assert (jwts.calls, tokens.calls) == (["a.b.c"], ["bh_1", "bh_2", "a.b.d"])


def test_a_kind_that_is_not_accepted_is_refused() -> None:
    for authentication, secret in (
        (Authentication(verify_jwt=Verifier()), "bh_1"),
        (Authentication(verify_token=Verifier()), "a.b.c"),
    ):
        with pytest.raises(InvalidCredentials):
            authentication.identify(jwt(secret))


def test_a_remembered_jwt_is_no_password() -> None:
    authentication = Authentication(verify_jwt=Verifier(), verify_token=Verifier(error=InvalidCredentials()))
    authentication.identify(jwt("a.b.c"))
    with pytest.raises(InvalidCredentials):
        authentication.identify(Credentials(scheme="basic", secret="a.b.c"))


def test_a_secret_is_not_shown() -> None:
    assert "a.b.c" not in repr(jwt("a.b.c"))
