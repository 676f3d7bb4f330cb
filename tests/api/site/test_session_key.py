"""The key that seals session cookies: in the table, or in a file (conformance §15.2)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app import bootstrap
from app.bootstrap import build_access
from app.errors import ConfigurationError, StorageUnavailable
from app.services.access.sealing import Sealer
from app.services.access.sessions import Sessions
from app.settings import Settings
from app.storage.access.session_key import SessionKeyStore
from app.storage.table import keys
from app.storage.table.ports import Absent, Item, Put
from tests.api.site.conftest import both_engines


@both_engines
def test_all_processes_have_one_key(engine: bootstrap.Engine) -> None:
    first = SessionKeyStore(engine.table).read()
    assert len(first) == 32
    assert SessionKeyStore(engine.table).read() == first


@both_engines
def test_the_key_of_the_faster_process_counts(engine: bootstrap.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    store, faster = SessionKeyStore(engine.table), b"f" * 32
    real = store._stored

    def empty_at_first() -> bytes:
        monkeypatch.setattr(store, "_stored", real)
        engine.table.write(Put(Item(keys.SESSION_KEY, {}, faster), Absent()))
        return b""

    monkeypatch.setattr(store, "_stored", empty_at_first)
    assert store.read() == faster


def test_a_process_reads_the_key_once(engine: bootstrap.Engine) -> None:
    reads = 0

    def read() -> bytes:
        nonlocal reads
        reads += 1
        return SessionKeyStore(engine.table).read()

    sessions = Sessions(Sealer(read), 3600)
    for _ in range(3):
        sessions.open("A" * 60)
        sessions.form_token(None)
    assert reads == 1


def test_a_key_that_cannot_be_read_is_asked_for_again() -> None:
    answers: list[Exception | bytes] = [StorageUnavailable(), b"k" * 32]

    def read() -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, bytes):
            return answer
        raise answer

    sealer = Sealer(read)
    with pytest.raises(StorageUnavailable):
        sealer.seal("x", b"content")
    assert sealer.open("x", sealer.seal("x", b"content")) == b"content"


def test_each_purpose_has_a_key_of_its_own() -> None:
    sealer = Sealer(lambda: b"k" * 32)
    sealed = sealer.seal("one", b"content")
    assert sealer.open("other", sealed) is None
    assert Sealer(lambda: b"l" * 32).open("one", sealed) is None
    assert sealer.seal("one", b"content") != sealed


def test_a_file_has_the_key(settings: Settings, engine: bootstrap.Engine, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"k" * 32 + b"\n")
    sessions = build_access(replace(settings, session_key_file=file), engine.table).sessions
    assert sessions.form_token(None) == Sessions(Sealer(lambda: b"k" * 32), 1).form_token(None)
    assert engine.table.get(keys.SESSION_KEY) is None
    for content, text in ((b"short\n", "has 5 bytes"), (b" ", "is empty")):
        file.write_bytes(content)
        with pytest.raises(ConfigurationError, match=text):
            build_access(replace(settings, session_key_file=file), engine.table)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        build_access(replace(settings, session_key_file=tmp_path / "missing"), engine.table)
