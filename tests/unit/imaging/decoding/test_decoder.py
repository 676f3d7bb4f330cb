"""The decoder: what it decodes in its processes, and what a damaged or hostile frame does to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from app.bootstrap.imaging import build_decoder
from app.errors import DecoderUnavailable, ImageFailure
from app.imaging.codecs import conversion
from app.imaging.codecs.syntaxes import SYNTAXES
from app.imaging.decoding import connection, messages, pool, process
from app.imaging.decoding.decoder import FrameDecoder
from app.imaging.pixels.description import PixelDescription
from app.settings import Settings
from tests.support.codestreams import NAMES, compressed_frame
from tests.support.images import KINDS, description_of, native_frame, samples_of
from tests.support.waiting import wait_until

RLE = "1.2.840.10008.1.2.5"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
TARGETS = [uid for uid, row in SYNTAXES.items() if row.encoding]
KIND = KINDS["16 bit signed"]
SAMPLES = samples_of(KIND)


@cache
def encoded(target: str) -> tuple[PixelDescription, bytes]:
    """Return a frame in a compressed syntax, and its description."""
    description = description_of(KIND)
    frame = conversion.transcode(description, native_frame(KIND, SAMPLES), target)
    return description.stored_as(target), frame.data


@cache
def large_jpeg_2000() -> tuple[PixelDescription, bytes]:
    """Return a frame that takes some tenths of a second to decode, and its description."""
    description = replace(description_of(KINDS["16 bit"]), rows=1024, columns=1024)
    noise = np.random.default_rng(1).integers(0, 65535, (1024, 1024), np.uint16)
    frame = conversion.transcode(description, noise.tobytes(), JPEG_2000)
    return description.stored_as(JPEG_2000), frame.data


@pytest.fixture
def decoder() -> Iterator[FrameDecoder]:
    """A decoder with one process."""
    found = FrameDecoder(processes=1)
    yield found
    found.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[FrameDecoder]:
    """A decoder for tests that leave its processes as they are."""
    found = FrameDecoder(processes=1)
    yield found
    found.close()


def processes(decoder: FrameDecoder) -> list[int]:
    """Return the process ids of a decoder."""
    return [running.pid for running in decoder._pool._running]


def stopped_process(decoder: FrameDecoder) -> int:
    """Start the first process of a decoder, and stop it. Return its id. It never answers the next frame."""
    decoder.decode(*encoded(RLE))
    (stopped,) = processes(decoder)
    os.kill(stopped, signal.SIGSTOP)
    return stopped


def is_busy(decoder: FrameDecoder) -> bool:
    """Return whether each process of a decoder has a frame."""
    return not decoder._pool._idle


@pytest.mark.parametrize("target", TARGETS)
def test_a_compressed_frame_is_decoded(shared: FrameDecoder, target: str) -> None:
    description, data = encoded(target)
    decoded = shared.decode(description, data)
    np.testing.assert_array_equal(decoded.samples, SAMPLES)
    assert decoded.samples.dtype == np.int16
    assert decoded.photometric == "MONOCHROME2"


@pytest.mark.parametrize("name", NAMES)
def test_frames_of_every_syntax_are_decoded_within_the_limits_of_a_process(shared: FrameDecoder, name: str) -> None:
    frame = compressed_frame(name)
    decoded = shared.decode(frame.description, frame.data)
    np.testing.assert_array_equal(decoded.samples, conversion.decode(frame.description, frame.data).samples)


@pytest.mark.parametrize("target", TARGETS)
def test_a_frame_is_transcoded_as_the_codecs_do_it(shared: FrameDecoder, target: str) -> None:
    kind = KINDS["RGB planar"]
    description = description_of(kind)
    data = native_frame(kind, samples_of(kind))
    assert shared.transcode(description, data, target) == conversion.transcode(description, data, target)


def test_native_frames_need_no_process(decoder: FrameDecoder) -> None:
    description = description_of(KIND)
    data = native_frame(KIND, SAMPLES)
    np.testing.assert_array_equal(decoder.decode(description, data).samples, SAMPLES)
    assert decoder.transcode(description, data, "1.2.840.10008.1.2").data is data
    assert processes(decoder) == []


def test_a_process_serves_many_frames(decoder: FrameDecoder) -> None:
    description, data = encoded(RLE)
    decoder.decode(description, data)
    first = processes(decoder)
    decoder.decode(description, data)
    assert processes(decoder) == first


def test_a_frame_that_does_not_fit_its_description_leaves_the_process_alone(decoder: FrameDecoder) -> None:
    description, data = encoded(JPEG_2000)
    decoder.decode(description, data)
    first = processes(decoder)
    with pytest.raises(ImageFailure, match="The codestream has 16 rows, 20 columns and 1 samples; the image has 17"):
        decoder.decode(replace(description, rows=17), data)
    assert processes(decoder) == first


def test_a_damaged_frame_ends_its_process_and_the_next_frame_gets_a_new_one(decoder: FrameDecoder) -> None:
    description, data = encoded(JPEG_2000)
    decoder.decode(description, data)
    first = processes(decoder)
    with pytest.raises(ImageFailure, match="The frame cannot be decoded: "):
        decoder.decode(description, data[: len(data) // 2] + b"\xff\xd9")
    np.testing.assert_array_equal(decoder.decode(description, data).samples, SAMPLES)
    assert processes(decoder) != first


def test_a_frame_that_is_much_too_large_is_refused_without_a_process(decoder: FrameDecoder) -> None:
    description, data = encoded(RLE)
    with pytest.raises(ImageFailure, match=r"The compressed frame has 2000000 bytes\. That is too large"):
        decoder.decode(description, data.ljust(2_000_000, b"\0"))
    assert processes(decoder) == []


def test_a_process_that_is_killed_fails_its_frame_only() -> None:
    decoder = FrameDecoder(processes=2)
    quick = encoded(RLE)
    victim = stopped_process(decoder)
    with ThreadPoolExecutor(1) as threads:
        failing = threads.submit(decoder.decode, *large_jpeg_2000())
        wait_until(lambda: is_busy(decoder))
        np.testing.assert_array_equal(decoder.decode(*quick).samples, SAMPLES)
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(ImageFailure, match="The decoding process ended: SIGKILL"):
            failing.result()
        np.testing.assert_array_equal(decoder.decode(*quick).samples, SAMPLES)
    decoder.close()


def test_a_process_that_hangs_is_killed_after_its_time() -> None:
    decoder = FrameDecoder(processes=1)
    frame = encoded(RLE)
    stopped = stopped_process(decoder)
    decoder._pool.seconds = 0.2
    with pytest.raises(ImageFailure, match=r"Decoding of the frame takes longer than 0\.2 seconds"):
        decoder.decode(*frame)
    assert not Path(f"/proc/{stopped}").exists()
    decoder._pool.seconds = 60
    np.testing.assert_array_equal(decoder.decode(*frame).samples, SAMPLES)
    decoder.close()


def test_a_process_that_answers_slowly_gets_no_more_time(
    decoder: FrameDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that a frame has taken over could send its answer byte by byte."""
    slow = "import socket, time; s = socket.socket(fileno=0)\nwhile True: s.send(b'\\x01'); time.sleep(0.05)"
    frame = encoded(RLE)
    decoder._pool.seconds = 0.5
    with monkeypatch.context() as patch:
        patch.setattr(process, "command", lambda memory: [sys.executable, "-I", "-S", "-c", slow])
        with pytest.raises(ImageFailure, match=r"takes longer than 0\.5 seconds"):
            decoder.decode(*frame)
    decoder._pool.seconds = 60
    np.testing.assert_array_equal(decoder.decode(*frame).samples, SAMPLES)


def test_a_process_that_was_killed_while_it_was_idle_fails_no_frame(decoder: FrameDecoder) -> None:
    frame = encoded(RLE)
    decoder.decode(*frame)
    os.kill(processes(decoder)[0], signal.SIGKILL)
    wait_until(lambda: not next(iter(decoder._pool._running)).runs)
    np.testing.assert_array_equal(decoder.decode(*frame).samples, SAMPLES)


def test_a_request_waits_for_a_free_process(decoder: FrameDecoder) -> None:
    frame = encoded(JPEG_2000)
    with ThreadPoolExecutor(6) as threads:
        results: list[Future[object]] = [threads.submit(decoder.decode, *frame) for _ in range(12)]
        assert all(result.result() for result in results)
    assert len(processes(decoder)) == 1


def test_a_request_that_waits_too_long_may_be_repeated_later() -> None:
    decoder = FrameDecoder(processes=1)
    frame = encoded(RLE)
    decoder.decode(*frame)
    decoder._pool.seconds = 0.2
    taken = decoder._pool._take()
    with pytest.raises(DecoderUnavailable, match="All decoding processes are busy") as caught:
        decoder.decode(*frame)
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "5")
    decoder._pool._give_back(taken, usable=True)
    decoder._pool.seconds = 60
    np.testing.assert_array_equal(decoder.decode(*frame).samples, SAMPLES)
    decoder.close()


def test_too_many_waiting_requests_are_refused_at_once(decoder: FrameDecoder) -> None:
    decoder._pool._waiting = 32
    with pytest.raises(DecoderUnavailable, match="All decoding processes are busy"):
        decoder.decode(*encoded(RLE))


@pytest.mark.parametrize("code", ["raise SystemExit", "import os; os.kill(os.getpid(), 9)", "print('no', flush=True)"])
def test_processes_that_end_while_they_start(decoder: FrameDecoder, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    frame = encoded(RLE)
    with monkeypatch.context() as patch:
        patch.setattr(process, "command", lambda memory: [sys.executable, "-I", "-S", "-c", code])
        with pytest.raises(DecoderUnavailable, match="No decoding process can be started"):
            decoder.decode(*frame)
    np.testing.assert_array_equal(decoder.decode(*frame).samples, SAMPLES)


def test_a_program_that_does_not_exist(decoder: FrameDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = encoded(RLE)
    with monkeypatch.context() as patch:
        patch.setattr(process, "command", lambda memory: ["/no/such/program"])
        with pytest.raises(DecoderUnavailable, match="No decoding process can be started"):
            decoder.decode(*frame)
    np.testing.assert_array_equal(decoder.decode(*frame).samples, SAMPLES)


def test_what_a_process_prints_does_not_reach_its_answers(
    decoder: FrameDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = process.command(1 << 30)
    command[4] = "import os; os.write(1, b'x' * 99); os.write(2, b'x' * 99); " + command[4]
    monkeypatch.setattr(process, "command", lambda memory: command)
    np.testing.assert_array_equal(decoder.decode(*encoded(RLE)).samples, SAMPLES)


@pytest.mark.parametrize("memory", [1 << 20, 3 << 20, 6 << 20])
def test_a_frame_that_needs_too_much_memory_is_refused(memory: int) -> None:
    decoder = FrameDecoder(processes=1, memory=memory)
    with pytest.raises(ImageFailure, match=r"The frame cannot be decoded: (it needs too much memory|opj)"):
        decoder.decode(*large_jpeg_2000())
    np.testing.assert_array_equal(decoder.decode(*encoded(RLE)).samples, SAMPLES)
    decoder.close()


def test_a_process_has_no_secrets_and_no_files(decoder: FrameDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    decoder.decode(*encoded(RLE))
    folder = Path(f"/proc/{processes(decoder)[0]}")
    assert folder.joinpath("environ").read_bytes().split(b"\0")[0].startswith(b"OPENBLAS_NUM_THREADS=1")
    assert b"secret" not in folder.joinpath("environ").read_bytes()
    assert sorted(each.name for each in folder.joinpath("fd").iterdir()) == ["0", "1", "2"]
    assert folder.joinpath("cwd").readlink() == Path("/")
    limits = folder.joinpath("limits").read_text()
    assert "Max core file size        0 " in limits
    assert "Max file size             0 " in limits
    assert "Max open files            0 " in limits
    assert "Max processes             0 " in limits
    assert "Max address space         unlimited" not in limits
    assert folder.joinpath("oom_score_adj").read_text() == "1000\n"


def test_closing_ends_the_processes_and_fails_the_frames() -> None:
    decoder = FrameDecoder(processes=1)
    running = stopped_process(decoder)
    with ThreadPoolExecutor(1) as threads:
        failing = threads.submit(decoder.decode, *large_jpeg_2000())
        wait_until(lambda: is_busy(decoder))
        decoder.close()
        with pytest.raises(ImageFailure):
            failing.result()
    assert not Path(f"/proc/{running}").exists()
    with pytest.raises(DecoderUnavailable, match="The decoder is closed"):
        decoder.decode(*encoded(RLE))


def test_a_decoder_that_nobody_uses_any_longer_ends_its_processes() -> None:
    decoder = FrameDecoder(processes=1)
    decoder.decode(*encoded(RLE))
    running = processes(decoder)[0]
    del decoder
    assert not Path(f"/proc/{running}").exists()


def test_idle_processes_end_after_a_minute(decoder: FrameDecoder) -> None:
    decoder.decode(*encoded(RLE))
    running = processes(decoder)[0]
    now = time.monotonic()
    assert decoder._pool.end_idle(now)
    assert not decoder._pool.end_idle(now + pool.IDLE_SECONDS + 1)
    assert not Path(f"/proc/{running}").exists()
    np.testing.assert_array_equal(decoder.decode(*encoded(RLE)).samples, SAMPLES)


def test_processes_end_with_the_server() -> None:
    root = str(Path(__file__).parents[4])
    program = (
        "import os, signal\n"
        "from tests.unit.imaging.decoding.test_decoder import encoded, processes, FrameDecoder, RLE\n"
        "decoder = FrameDecoder(processes=1)\n"
        "decoder.decode(*encoded(RLE))\n"
        "print(processes(decoder)[0], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    running = Path(f"/proc/{int(ran.stdout)}")
    wait_until(lambda: not running.exists() or "Z" in running.joinpath("stat").read_text().split(")")[1][:3])


def test_the_settings_of_a_decoder() -> None:
    settings = Settings(decoding_processes=3, decoding_seconds=7, decoding_memory_bytes=100 << 20)
    found = build_decoder(settings)._pool
    assert (found._limit, found.seconds, found._memory) == (3, 7, 100 << 20)
    assert 1 <= build_decoder(Settings())._pool._limit <= 4


def test_an_answer_of_another_length_is_not_trusted(decoder: FrameDecoder) -> None:
    request, data = encoded(RLE)
    taken = decoder._pool._take()
    head = messages.request(request, None, 10, len(data))
    with pytest.raises(connection.ProcessFailure, match="The decoding process gave a wrong answer"):
        taken.ask(head, data, 10, lambda length: False)
    decoder._pool._give_back(taken, usable=False)
