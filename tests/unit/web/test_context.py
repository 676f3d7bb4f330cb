"""What a valid Host header is. Werkzeug fails on others when it makes an absolute `Location`."""

from __future__ import annotations

import pytest

from app.web.routing.context import is_host


@pytest.mark.parametrize(
    "host", ["a", "pacs_upstream:8080", "10.0.0.7", "PACS.example.", "[::1]", "[::1]:80", "[::ffff:1.2.3.4]:8080"]
)
def test_names_and_addresses_are_hosts(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize(
    "host",
    ["", "a b", "a/b", "a:123456", "[]", "[:]", "[::::::1]:80", "[1:2:3]", "[1.2.3.4]", "[::1", "::1]", "[g::1]", "é"],
)
def test_other_texts_are_no_hosts(host: str) -> None:
    assert not is_host(host)
