"""TLS of the listening port (PS3.15 §B.9), with and without certificates of the peers."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from app.gateway.tls import TlsUnusable, server_context
from tests.gateway.conftest import StartGateway
from tests.support import dicom_network as network
from tests.support.certificates import Certificate, self_signed
from tests.support.instances import make_instance


@pytest.fixture(scope="module")
def gateway_files(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("gateway"), "gateway")


@pytest.fixture(scope="module")
def peer_files(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("peer"), "peer")


def peer_context(gateway: Certificate, own: Certificate | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(gateway.certificate))
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return context


def test_an_instance_arrives_over_tls(start: StartGateway, tmp_path: Path, gateway_files: Certificate) -> None:
    tls = server_context(certificate=gateway_files.certificate, key=gateway_files.key, client_ca=None)
    address = start(tls=tls).address
    assert network.sent(address, tmp_path, make_instance(), tls=peer_context(gateway_files)) == [0x0000]
    assert not network.requested(address).is_established  # a peer without TLS


def test_a_peer_without_a_known_certificate_is_refused(
    start: StartGateway, gateway_files: Certificate, peer_files: Certificate
) -> None:
    tls = server_context(certificate=gateway_files.certificate, key=gateway_files.key, client_ca=peer_files.certificate)
    address = start(tls=tls).address
    with network.association(address, tls=peer_context(gateway_files, peer_files)) as peer:
        assert peer.send_c_echo().Status == 0x0000
    for own in (None, gateway_files):
        assert not network.requested(address, tls=peer_context(gateway_files, own)).is_established


def test_a_silent_handshake_delays_nobody(start: StartGateway, gateway_files: Certificate) -> None:
    tls = server_context(certificate=gateway_files.certificate, key=gateway_files.key, client_ca=None)
    address = start(tls=tls).address
    with (
        socket.create_connection(address),
        network.association(address, tls=peer_context(gateway_files)) as peer,
    ):
        assert peer.send_c_echo().Status == 0x0000


def test_old_versions_of_tls_are_refused(gateway_files: Certificate) -> None:
    tls = server_context(certificate=gateway_files.certificate, key=gateway_files.key, client_ca=None)
    assert tls.minimum_version == ssl.TLSVersion.TLSv1_2
    suites = [each["name"] for each in tls.get_ciphers() if each["protocol"] == "TLSv1.2"]
    assert suites
    assert all("GCM" in each or "POLY1305" in each for each in suites)


def test_files_that_are_no_certificates_are_named(tmp_path: Path, gateway_files: Certificate) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with pytest.raises(TlsUnusable, match=r"certificate .*wrong\.pem"):
        server_context(certificate=wrong, key=None, client_ca=None)
    with pytest.raises(TlsUnusable, match=r"authorities .*wrong\.pem"):
        server_context(certificate=gateway_files.certificate, key=gateway_files.key, client_ca=wrong)
