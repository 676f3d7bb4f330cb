"""The program of a decoding process. It reads requests from the socket that is its standard input.

It has no secrets, no files and no network, and limits of memory and time. It ends when the server closes the socket.
The server starts it with `command`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from socket import socket
from typing import Final

from app.errors import ImageFailure
from app.imaging.decoding import messages
from app.imaging.pixels.description import PixelDescription

_START: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from app.imaging.decoding.process import main; main()"
)
_NICENESS: Final = 5
_FIRST_TO_END: Final = "1000"
_ADDRESS_SPACE: Final = 1 << 30
_GRACE_SECONDS: Final = 2.0
"""How much later than the server the process ends itself."""
_REASON_CHARACTERS: Final = 300
_CODEC_ERRORS: Final = (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, struct.error)


def command(memory: int) -> list[str]:
    """Return the command that starts a decoding process. `memory` is the bytes that it may allocate.

    The process finds modules where this process finds them. It loads nothing else: no user site, no `.pth` files.
    """
    root = str(Path(__file__).resolve().parents[3])
    paths = [root, *(str(Path(path).absolute()) for path in sys.path if path)]
    return [sys.executable, "-I", "-S", "-c", _START, json.dumps(paths), str(memory)]


def environment() -> dict[str, str]:
    """Return the environment of a decoding process: nothing of the server's but where libraries are.

    glibc keeps a few MB of freed memory for the next frame. To get them anew costs as much as to decode a small frame.
    """
    found = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "4194304", "MALLOC_TRIM_THRESHOLD_": "8388608"}
    if "LD_LIBRARY_PATH" in os.environ:
        found["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return found


def main() -> None:
    """Answer requests until the socket ends or a codec fails."""
    from app.imaging.codecs import conversion

    conversion.load_codecs()
    _limit(int(sys.argv[2]))
    with socket(fileno=sys.stdin.fileno()) as connection, suppress(EOFError, OSError):
        connection.sendall(messages.READY)
        while _answer(connection):
            pass


def _limit(memory: int) -> None:
    """Take away what a codec does not need. A frame that takes the process over can then do little harm.

    Files that are open stay open, and nothing else can be opened: no file, no connection. (Only for root, processes can
    still be started.) If the machine has too little memory, the kernel ends this process before the server.
    """
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_END)
    limits = {
        resource.RLIMIT_AS: _address_space() + memory,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    for kind, limit in limits.items():
        _, most = resource.getrlimit(kind)
        allowed = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(kind, (allowed, allowed))
    os.nice(_NICENESS)


def _address_space() -> int:
    """Return the bytes of memory that the process has reserved. Only Linux tells it."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return _ADDRESS_SPACE


def _answer(connection: socket) -> bool:
    """Answer one request. Returns whether the process can answer another one."""
    size, length = messages.REQUEST.unpack(messages.read(connection, messages.REQUEST.size))
    properties = json.loads(messages.read(connection, size))
    signal.setitimer(signal.ITIMER_REAL, properties["seconds"] + _GRACE_SECONDS)
    description = PixelDescription(**properties["description"])
    done = "decoded" if properties["target"] is None else "transcoded"
    status = messages.DONE
    found: dict[str, object] = {}
    frame = memoryview(b"")
    try:
        data = bytes(messages.read(connection, length))
        found, frame = _converted(description, properties["target"], data)
    except ImageFailure as failure:
        status, found = messages.REFUSED, {"reason": str(failure)}
    except MemoryError:
        status, found = messages.DAMAGED, {"reason": f"The frame cannot be {done}: it needs too much memory."}
    except _CODEC_ERRORS as error:
        reason = str(error).partition("\n")[0][:_REASON_CHARACTERS]
        status, found = messages.DAMAGED, {"reason": f"The frame cannot be {done}: {reason}"}
    messages.send(connection, messages.answer(status, found, frame.nbytes), frame)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return status != messages.DAMAGED


def _converted(description: PixelDescription, target: str | None, data: bytes) -> tuple[dict[str, object], memoryview]:
    """Return what describes the converted frame, and its bytes."""
    import numpy as np

    from app.imaging.codecs import conversion

    if target is None:
        decoded = conversion.decode(description, data)
        samples = np.ascontiguousarray(decoded.samples)
        return {"photometric": decoded.photometric}, samples.data.cast("B")
    encoded = asdict(conversion.transcode(description, data, target))
    return encoded, memoryview(encoded.pop("data"))
