"""Downloads from an issuer: what is refused, and that nothing is read without a limit."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from app.services.access import issuer_download
from app.services.access.issuer_download import Downloader, DownloadFailed
from app.settings.access import is_trustworthy
from tests.support.issuer import DISCOVERY, JWK_SET, Issuer, issuing


@pytest.fixture(scope="module")
def shared() -> Iterator[Issuer]:
    with issuing() as issuer:
        yield issuer


@pytest.fixture
def issuer(shared: Issuer) -> Issuer:
    """An issuer that answers as it should, until the test changes it."""
    shared.requests.clear()
    shared.documents.clear()
    shared.is_down = False
    return shared


@pytest.fixture
def downloader() -> Downloader:
    return Downloader(is_trustworthy)


def test_discovery_leads_to_the_keys(issuer: Issuer, downloader: Downloader) -> None:
    found = orjson.loads(downloader.discovered_keys(issuer.url))
    assert [key["kid"] for key in found["keys"]] == [key.kid for key in issuer.keys]
    assert issuer.requests == [DISCOVERY, JWK_SET]


def test_a_slash_at_the_end_of_an_issuer_is_part_of_its_name(issuer: Issuer, downloader: Downloader) -> None:
    issuer.documents[DISCOVERY] = {"issuer": issuer.url + "/", "jwks_uri": issuer.url + JWK_SET}
    downloader.discovered_keys(issuer.url + "/")
    with pytest.raises(DownloadFailed, match="another issuer"):
        downloader.discovered_keys(issuer.url)
    assert issuer.requests == [DISCOVERY, JWK_SET, DISCOVERY]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"issuer": "https://other.test"}, "another issuer"),
        ({"issuer": None}, "another issuer"),
        ({"jwks_uri": None}, "names no jwks_uri"),
        ({"jwks_uri": ["x"]}, "names no jwks_uri"),
        ({"jwks_uri": "http://192.0.2.7/keys"}, "is not https"),
        ({"jwks_uri": "file:///etc/passwd"}, "is not https"),
        ({"jwks_uri": "/keys"}, "is not https"),
        ({"jwks_uri": "http://[::1"}, "is not https"),
    ],
)
def test_discovery_that_leads_elsewhere(
    issuer: Issuer, downloader: Downloader, changes: dict[str, Any], reason: str
) -> None:
    issuer.documents[DISCOVERY] = {"issuer": issuer.url, "jwks_uri": issuer.url + JWK_SET} | changes
    with pytest.raises(DownloadFailed, match=reason):
        downloader.discovered_keys(issuer.url)
    assert issuer.requests == [DISCOVERY]


def test_keys_of_an_https_issuer_come_over_https(downloader: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    found = orjson.dumps({"issuer": "https://issuer.test", "jwks_uri": "http://127.0.0.1:1/keys"})
    monkeypatch.setattr(downloader, "document", lambda _: found)
    with pytest.raises(DownloadFailed, match="names no jwks_uri"):
        downloader.discovered_keys("https://issuer.test")


@pytest.mark.parametrize("document", [b"", b"<html>", b"[]", b"5", b"\xff", b"[" * 5000])
def test_discovery_that_is_no_object(issuer: Issuer, downloader: Downloader, document: bytes) -> None:
    issuer.documents[DISCOVERY] = document
    with pytest.raises(DownloadFailed, match="JSON"):
        downloader.discovered_keys(issuer.url)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 204, 401, 404, 500, 503])
def test_other_statuses_are_failures_and_redirects_are_not_followed(
    issuer: Issuer, downloader: Downloader, status: int
) -> None:
    issuer.documents[DISCOVERY] = status
    with pytest.raises(DownloadFailed, match=f"answered with {status}"):
        downloader.document(issuer.url + DISCOVERY)
    assert issuer.requests == [DISCOVERY]


def test_a_document_over_the_limit(issuer: Issuer, downloader: Downloader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_download, "LARGEST_DOCUMENT", 100_000)
    issuer.documents["/x"] = b" " * 100_000
    assert len(downloader.document(issuer.url + "/x")) == 100_000
    issuer.documents["/x"] = b" " * 100_001
    with pytest.raises(DownloadFailed, match="more than 100000 bytes"):
        downloader.document(issuer.url + "/x")


def test_a_document_that_is_sent_too_slowly(
    issuer: Issuer, downloader: Downloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_download, "_BODY_SECONDS", -1)
    with pytest.raises(DownloadFailed, match="too slowly"):
        downloader.document(issuer.url + JWK_SET)


def test_an_issuer_that_closes_the_connection(issuer: Issuer, downloader: Downloader) -> None:
    issuer.is_down = True
    with pytest.raises(DownloadFailed, match="cannot be read: ProtocolError"):
        downloader.discovered_keys(issuer.url)


def test_an_issuer_that_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system accepts connections, nobody answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(DownloadFailed, match="cannot be read: ReadTimeoutError"):
            Downloader(is_trustworthy, silent_seconds=0.05).discovered_keys(url)


def test_a_port_where_nobody_listens(downloader: Downloader) -> None:
    with socket.socket() as held:  # it does not listen, and no other process gets its port
        held.bind(("127.0.0.1", 0))
        with pytest.raises(DownloadFailed, match="cannot be read"):
            downloader.discovered_keys(f"http://127.0.0.1:{held.getsockname()[1]}")


def test_an_answer_that_is_no_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n" * 10)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DownloadFailed, match="cannot be read"):
            Downloader(is_trustworthy).document(f"http://127.0.0.1:{server.getsockname()[1]}/")
        thread.join()
