"""The options of gunicorn, as gunicorn reads them."""

from __future__ import annotations

import runpy
from pathlib import Path

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
    assert {k: v for k, v in options.items() if k != "logger_class"} == {
        k: v for k, v in expected.items() if k != "logger_class"
    }
