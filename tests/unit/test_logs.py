"""What log lines contain, and what they never contain."""

from __future__ import annotations

import errno
import json
import logging
import threading
from collections.abc import Iterator

import pytest
import structlog

from app import logs
from app.entry import worker
from tests.support.restored_logging import restored_logging


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    with restored_logging():
        yield


def fail(patient: str) -> None:
    try:
        raise OSError(errno.ENOSPC, "No space left on device", patient)
    except OSError as error:
        raise ValueError(patient) from error


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("foreign", [True, False])
def test_an_error_is_logged_with_classes_codes_and_traceback(
    form: str, foreign: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info", form)
    log = logging.getLogger("gunicorn.error") if foreign else structlog.get_logger("ours")
    try:
        fail("Doe^" + "Jane")
    except ValueError:
        log.exception("broken")
    printed = capsys.readouterr().err
    assert "Doe^Jane" not in printed
    assert "in fail" in printed
    assert "OSError ENOSPC" in printed
    if form == "json":
        line = json.loads(printed)
        assert (line["event"], line["error"]) == ("broken", ["ValueError", "OSError ENOSPC"])


def test_an_error_of_background_work_is_logged_without_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")
    stop = threading.Event()

    def faulty() -> bool:
        stop.set()
        raise ValueError("Doe^" + "Jane")

    worker.work((faulty,), stop)
    printed = capsys.readouterr().err
    line = json.loads(printed)
    assert (line["event"], line["error"]) == ("background step failed", ["ValueError"])
    assert "in faulty" in line["traceback"]
    assert "Doe^Jane" not in printed


@pytest.mark.parametrize(("level", "levels"), [("debug", ["info", "warning"]), ("error", [])])
def test_the_server_never_logs_the_path_of_a_request(
    level: str, levels: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(level, "json")
    log = logging.getLogger("gunicorn.error")
    log.debug("GET /v2/partitions/clinic-a/studies/1.2.3")
    log.info("Booting")
    log.warning("Odd")
    assert [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()] == levels
