"""The form of tokens: prefix, width, alphabet, check sum, digest."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib

import pytest

from app.services.access import token_secrets
from app.services.access.tokens import NewToken
from tests.unit.storage.access.test_access_records import a_token


def test_a_secret_has_32_random_bytes_and_a_check_sum() -> None:
    made = [token_secrets.new_secret() for _ in range(200)]
    assert len(set(made)) == 200
    for secret in made:
        assert re.fullmatch("bh_[0-9A-Za-z]{49}", secret)
        assert token_secrets.is_well_formed(secret)
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    random, check_sum = made[0][3:46], made[0][46:]
    assert sum(alphabet.index(digit) * 62**at for at, digit in enumerate(reversed(check_sum))) == zlib.crc32(
        random.encode()
    )


@pytest.mark.parametrize(("number", "digits"), [(b"\x00" * 32, "0" * 43), (b"\xff" * 32, None)])
def test_the_width_is_fixed(monkeypatch: pytest.MonkeyPatch, number: bytes, digits: str | None) -> None:
    monkeypatch.setattr(secrets, "token_bytes", lambda size: number[:size])
    secret = token_secrets.new_secret()
    assert len(secret) == 52
    assert token_secrets.is_well_formed(secret)
    if digits:
        assert secret[3:46] == digits


def test_each_wrong_character_and_each_swap_is_found() -> None:
    secret = token_secrets.new_secret()
    for at in range(len(secret)):
        for other in {"0", "Z", "a", "_", "é"} - {secret[at]}:
            assert not token_secrets.is_well_formed(secret[:at] + other + secret[at + 1 :])
    for at in range(3, len(secret) - 1):
        swapped = secret[:at] + secret[at + 1] + secret[at] + secret[at + 2 :]
        assert swapped == secret or not token_secrets.is_well_formed(swapped)


@pytest.mark.parametrize("extra", ["\n", " ", "\0", "0", "="])
def test_nothing_may_stand_around_a_secret(extra: str) -> None:
    secret = token_secrets.new_secret()
    assert not token_secrets.is_well_formed(secret + extra)
    assert not token_secrets.is_well_formed(extra + secret)


def test_the_digest_is_sha_256() -> None:
    assert token_secrets.digest("bh_x") == hashlib.sha256(b"bh_x").hexdigest()


def test_the_repr_of_a_new_token_has_no_secret() -> None:
    secret = token_secrets.new_secret()
    assert secret not in repr(NewToken(a_token(secret), secret))
