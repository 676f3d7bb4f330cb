"""The keys of an issuer: how often they are read, and what counts while the issuer does not answer."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from app.errors import IssuerUnavailable
from app.services.access import issuer_keys
from app.services.access.issuer_download import DownloadFailed
from app.services.access.issuer_keys import DownloadedKeys, KeysFile
from tests.support.access import jwk_set


class Downloads:
    """An issuer whose key has a new id in each download, unless it is down. The test sets the clock."""

    def __init__(self) -> None:
        self.count = 0
        self.is_down = False
        self.time = 1000.0
        self.before: Callable[[], Any] = lambda: None
        self.keys = DownloadedKeys("https://issuer.test", self._download, monotonic=lambda: self.time)

    def _download(self) -> bytes:
        self.count += 1
        count = self.count
        self.before()
        if self.is_down:
            raise DownloadFailed("down")
        return jwk_set(ECKey.generate_key("P-256", {"kid": str(count)}))

    def current(self) -> list[str | None]:
        return [key.kid for key in self.keys.current()]

    def renewed(self) -> list[str | None]:
        return [key.kid for key in self.keys.renewed()]

    def await_thread(self) -> None:
        """Wait for the download in the background."""
        for thread in threading.enumerate():
            if thread.name == "issuer keys":
                thread.join()


@pytest.fixture
def issuer() -> Downloads:
    return Downloads()


def test_keys_are_read_at_the_first_use_and_then_kept(issuer: Downloads) -> None:
    assert issuer.count == 0
    assert issuer.current() == issuer.current() == ["1"]
    issuer.time += issuer_keys.REFRESH_SECONDS
    assert issuer.current() == ["1"]
    assert issuer.count == 1


def test_old_keys_are_read_again_in_the_background(issuer: Downloads) -> None:
    issuer.current()
    issuer.time += issuer_keys.REFRESH_SECONDS + 1
    gate = threading.Event()
    issuer.before = lambda: gate.wait(60)
    assert issuer.current() == issuer.current() == ["1"]  # nobody waits, and one thread reads
    gate.set()
    issuer.await_thread()
    assert (issuer.current(), issuer.count) == (["2"], 2)


def test_an_unknown_key_makes_one_download_in_thirty_seconds(issuer: Downloads) -> None:
    issuer.current()
    assert [issuer.renewed() for _ in range(50)] == [["1"]] * 50  # just read
    issuer.time += issuer_keys.PAUSE_SECONDS
    assert [issuer.renewed() for _ in range(50)] == [["2"]] * 50
    assert issuer.count == 2


def test_threads_with_an_unknown_key_share_a_download(issuer: Downloads) -> None:
    issuer.current()
    issuer.time += issuer_keys.PAUSE_SECONDS
    begun, gate = threading.Event(), threading.Event()
    issuer.before = lambda: (begun.set(), gate.wait(60))
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(issuer.renewed)
        begun.wait(60)
        others = [pool.submit(issuer.renewed) for _ in range(4)]
        gate.set()
        assert [each.result(60) for each in (first, *others)] == [["2"]] * 5
    assert issuer.count == 2


def test_old_keys_serve_while_the_issuer_is_down(issuer: Downloads) -> None:
    issuer.current()
    issuer.is_down = True
    for _ in range(10):
        issuer.time += issuer_keys.REFRESH_SECONDS + 1
        assert issuer.current() == ["1"]
        issuer.await_thread()
    assert issuer.count == 11
    issuer.is_down = False
    issuer.time += issuer_keys.PAUSE_SECONDS
    issuer.current()
    issuer.await_thread()
    assert issuer.current() == ["12"]


def test_a_failed_download_is_not_repeated_by_each_request(issuer: Downloads) -> None:
    issuer.current()
    issuer.is_down = True
    issuer.time += issuer_keys.REFRESH_SECONDS + 1
    for _ in range(20):
        assert issuer.current() == ["1"]
        issuer.await_thread()
    assert issuer.count == 2


def test_nobody_knows_an_unknown_key_while_the_issuer_is_down(issuer: Downloads) -> None:
    issuer.current()
    issuer.is_down = True
    issuer.time += issuer_keys.PAUSE_SECONDS
    for _ in range(20):
        with pytest.raises(IssuerUnavailable):
            issuer.renewed()
    assert issuer.count == 2
    assert issuer.current() == ["1"]


def test_without_any_key_requests_fail_at_once_for_a_while(issuer: Downloads) -> None:
    issuer.is_down = True
    for _ in range(20):
        with pytest.raises(IssuerUnavailable):
            issuer.current()
    assert issuer.count == 1
    issuer.is_down = False
    issuer.time += issuer_keys.PAUSE_WITHOUT_KEYS_SECONDS
    assert issuer.current() == ["2"]


def test_keys_serve_for_a_day_without_the_issuer(issuer: Downloads) -> None:
    issuer.current()
    issuer.is_down = True
    issuer.time += issuer_keys.LONGEST_SECONDS
    assert issuer.current() == ["1"]
    issuer.await_thread()
    issuer.time += issuer_keys.PAUSE_SECONDS
    with pytest.raises(IssuerUnavailable):
        issuer.current()
    issuer.is_down = False
    issuer.time += issuer_keys.PAUSE_WITHOUT_KEYS_SECONDS
    assert issuer.current() == ["4"]


def test_a_request_does_not_wait_long_for_the_download_of_another(
    issuer: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "WAIT_SECONDS", 0.01)
    begun, gate = threading.Event(), threading.Event()
    issuer.before = lambda: (begun.set(), gate.wait(60))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(issuer.current)
        begun.wait(60)
        with pytest.raises(IssuerUnavailable):
            issuer.current()
        gate.set()
        assert first.result(60) == ["1"]


def test_a_system_without_threads_keeps_the_old_keys(issuer: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    issuer.current()
    issuer.time += issuer_keys.REFRESH_SECONDS + 1
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert issuer.current() == issuer.current() == ["1"]
    issuer.current()
    issuer.await_thread()
    assert issuer.current() == ["2"]


# --- a file -------------------------------------------------------------------------------------------------------


def write(file: Path, kid: str) -> None:
    """Replace the file as a careful operator does. Its inode changes."""
    new = file.with_suffix(".new")
    new.write_bytes(jwk_set(ECKey.generate_key("P-256", {"kid": kid})))
    new.replace(file)


def kids(keys: KeysFile) -> list[str | None]:
    return [key.kid for key in keys.current()]


def test_a_changed_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys.json"
    write(file, "a")
    keys = KeysFile(file)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda _: pytest.fail("the file did not change"))
        assert kids(keys) == ["a"]
    write(file, "b")
    assert kids(keys) == [key.kid for key in keys.renewed()] == ["b"]


@pytest.mark.parametrize("damage", [b"", b"{", b'{"keys":[]}', None])
def test_a_file_with_a_fault_changes_nothing_until_it_is_mended(
    tmp_path: Path, damage: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys.json"
    write(file, "a")
    keys = KeysFile(file)
    lines: list[str] = []
    monkeypatch.setattr(issuer_keys._log, "warning", lambda event, **_: lines.append(event), raising=False)
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
        os.utime(file, ns=(1, 1))
    assert kids(keys) == kids(keys) == ["a"]
    assert lines == ["the file of keys cannot be read"]
    write(file, "b")
    assert kids(keys) == ["b"]
