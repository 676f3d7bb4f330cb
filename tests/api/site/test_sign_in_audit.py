"""The audit lines of sign-in and sign-out (conformance §13.5, §15.2)."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from app import bootstrap, create_app
from app.services.access.rights import Action
from app.settings import Settings
from tests.support.audit_lines import AuditLog
from tests.support.browser import SAME_ORIGIN, form_token, signed_in, submit
from tests.support.callers import ISSUER, authenticate, granted


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    settings = Settings(data_dir=tmp_path, log_level="error", audit=str(tmp_path / "audit.log"))
    bootstrap.initialise(settings)
    app = create_app(settings, bootstrap.build_engine(settings))
    authenticate(app, {"reader": granted(Action.READ)})
    return app


@pytest.fixture
def audit_log(app: Flask, tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path / "audit.log")


def test_a_session_from_its_begin_to_its_end(app: Flask, audit_log: AuditLog) -> None:
    client = signed_in(app, "reader")
    executing, executed = audit_log.lines()
    assert (executing["event"], executing["phase"], "caller" in executing) == ("sign-in", "Executing", False)
    assert (executed["event"], executed["phase"], executed["status"]) == ("sign-in", "Executed", 303)
    assert executed["caller"] == {"subject": "reader", "issuer": ISSUER}
    submit(client, "/ui/sign-out", shown_by="/")
    *_, left = audit_log.lines()
    assert (left["event"], left["status"], left["caller"]["subject"]) == ("sign-out", 303, "reader")


def test_a_sign_in_that_fails_is_denied(app: Flask, audit_log: AuditLog) -> None:
    submit(app.test_client(), "/ui/sign-in", token="nobody")
    assert audit_log.phases() == [("sign-in", "Executing", None), ("denied", "Executed", 401)]


def test_a_foreign_page_is_denied(app: Flask, audit_log: AuditLog) -> None:
    client = app.test_client()
    fields = {"form_token": form_token(client.get("/ui/sign-in")), "token": "reader"}
    assert client.post("/ui/sign-in", data=fields, headers={"Origin": "https://evil.test"}).status_code == 403
    [line] = audit_log.lines()
    assert (line["event"], line["status"]) == ("denied", 403)


def test_no_secret_is_written(app: Flask, audit_log: AuditLog) -> None:
    client = app.test_client()
    submit(client, "/ui/sign-in", token="bh_never-written")
    client.post("/ui/sign-in", data={"token": "bh_never-written"}, headers=SAME_ORIGIN)
    assert b"never-written" not in audit_log.path.read_bytes()
