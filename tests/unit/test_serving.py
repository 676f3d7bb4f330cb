"""The options of gunicorn, as gunicorn reads them."""

from __future__ import annotations

import dataclasses
import gc
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import KNOWN_SETTINGS
from gunicorn.workers.gthread import ThreadWorker

from app.entry.serving import Server, gunicorn_options
from app.settings import Settings

CONFIGURATION_FILE = Path(__file__).parents[2] / "infra" / "gunicorn.conf.py"


def test_gunicorn_accepts_every_option() -> None:
    configuration = Server(Settings(port=9000, workers=3, threads=5)).cfg
    assert configuration.address == [("127.0.0.1", 9000)]
    assert (configuration.workers, configuration.threads) == (3, 5)
    assert issubclass(configuration.worker_class, ThreadWorker)


def test_an_ipv6_address_is_in_brackets() -> None:
    assert Server(Settings(host="::1", port=9000)).cfg.address == [("::1", 9000)]


def test_gunicorn_trusts_no_proxy() -> None:
    assert Server(Settings(trusted_proxies=2)).cfg.forwarded_allow_ips == []


def test_the_configuration_file_has_the_same_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BULKHEAD_PORT", "9001")
    configuration = runpy.run_path(str(CONFIGURATION_FILE))
    expected = gunicorn_options(Settings(port=9001))
    options = {name: configuration[name] for name in {str(each.name) for each in KNOWN_SETTINGS} & configuration.keys()}
    assert options.keys() == expected.keys()
    made = {"logger_class", "on_starting"}  # made anew by each call
    assert {k: v for k, v in options.items() if k not in made} == {k: v for k, v in expected.items() if k not in made}


@dataclass
class StartingServer:
    """What gunicorn gives to `on_starting`."""

    cfg: Any


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7", "archive.test"])
def test_it_does_not_serve_everyone_beyond_this_machine(address: str) -> None:
    for settings, host in ((Settings(), address), (Settings(host=address), address)):
        server = StartingServer(Server(settings).cfg)
        server.cfg.set("bind", f"[{host}]:8080" if ":" in host else f"{host}:8080")
        with pytest.raises(RuntimeError, match="BULKHEAD_ALLOW_ANONYMOUS=true"):
            server.cfg.on_starting(server)
    for allowed in (Settings(allow_anonymous=True), Settings(auth=("tokens",))):
        server = StartingServer(Server(dataclasses.replace(allowed, host=address)).cfg)
        server.cfg.on_starting(server)


@pytest.mark.parametrize("bind", ["127.0.0.1:80", "127.8.8.8:80", "localhost:80", "[::1]:80", "unix:/run/bulkhead"])
def test_it_serves_everyone_on_this_machine(bind: str) -> None:
    server = StartingServer(Server(Settings()).cfg)
    server.cfg.set("bind", bind)
    server.cfg.on_starting(server)


@dataclass
class StartedProcess:
    """What gunicorn gives to `post_worker_init`: a server process that replaces an earlier one."""

    age: int = 2


def test_the_garbage_collector_does_not_visit_the_modules_and_services_of_a_server_process_again() -> None:
    configuration, interval = Server(Settings()).cfg, sys.getswitchinterval()
    service: list[object] = [object()]
    try:
        configuration.post_worker_init(StartedProcess())
        assert not any(each is service for each in gc.get_objects())
    finally:
        gc.unfreeze()
        sys.setswitchinterval(interval)
