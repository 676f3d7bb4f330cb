"""The messages between the server and a decoding process, over one socket.

The process writes `READY` when it has loaded the codecs. Then the server writes a request, and the process writes an
answer, again and again. A message is a header, a JSON object with names and numbers, and the bytes of a frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from socket import socket
from struct import Struct
from typing import Any, Final

from app.imaging.pixels.description import PixelDescription

READY: Final = b"\x01"
REQUEST: Final = Struct("<IQ")
"""Bytes of the JSON object, bytes of the frame."""
ANSWER: Final = Struct("<BIQ")
"""Status, bytes of the JSON object, bytes of the frame."""

DONE: Final = 0
"""The JSON object describes the frame: `photometric`, and of an encoded frame `planar` and `lossy`."""
REFUSED: Final = 1
"""The frame does not fit its description. `reason` says why."""
DAMAGED: Final = 2
"""The codec failed, as `reason` says. The process ends, because the codec may have damaged or lost memory."""

MAX_ANSWER_PROPERTIES: Final = 4096
"""The largest JSON object of an answer, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameProperties:
    """What an answer says of its frame. `planar` and `lossy` are those of an encoded frame."""

    photometric: str
    planar: bool = False
    lossy: bool = False


def request(description: PixelDescription, target: str | None, seconds: float, length: int) -> bytes:
    """Return a request without the bytes of the frame. `target` is None for decoding.

    The process kills itself after `seconds`: it must not work for a server that is dead. `length` is that of the frame.
    """
    properties = {"description": asdict(description), "target": target, "seconds": seconds}
    packed = json.dumps(properties).encode()
    return REQUEST.pack(len(packed), length) + packed


def answer(status: int, properties: dict[str, Any], length: int = 0) -> bytes:
    """Return an answer without the bytes of the frame."""
    packed = json.dumps(properties).encode()
    return ANSWER.pack(status, len(packed), length) + packed


def frame_properties(packed: bytes) -> FrameProperties:
    """Return what an answer says of its frame. Raises `ValueError` for anything else."""
    match json.loads(packed):
        case {"photometric": str(photometric), "planar": bool(planar), "lossy": bool(lossy)}:
            return FrameProperties(photometric=photometric, planar=planar, lossy=lossy)
        case {"photometric": str(photometric)}:
            return FrameProperties(photometric=photometric)
        case _:
            raise ValueError("The answer does not describe a frame.")


def reason(packed: bytes) -> str:
    """Return why a frame was refused. Raises `ValueError` if the answer does not say it."""
    match json.loads(packed):
        case {"reason": str(text)}:
            return text
        case _:
            raise ValueError("The answer has no reason.")


def send(connection: socket, head: bytes, frame: bytes | memoryview) -> None:
    """Send a message: what `request` or `answer` returned, and the bytes of the frame."""
    sent = connection.sendmsg([head, frame])  # in one call, so that the other side wakes up once
    if sent < len(head):
        connection.sendall(head[sent:])
    connection.sendall(memoryview(frame)[max(0, sent - len(head)) :])


def read(connection: socket, length: int, before: Callable[[], object] = bool) -> bytearray:
    """Return the next bytes from a socket. `before` is called before each wait. Raises `EOFError` at its end."""
    data = bytearray(length)
    rest = memoryview(data)
    while rest:
        before()
        count = connection.recv_into(rest)
        if not count:
            raise EOFError
        rest = rest[count:]
    return data
