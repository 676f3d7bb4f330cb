"""For how long a client may be silent. The kernel ends the calls that wait for it."""

from __future__ import annotations

import socket
import struct
from typing import Final

SILENT_SECONDS: Final = 60
"""How long a client may send no further byte of its request, or accept no further byte of its answer."""

STEP_SECONDS: Final = 5
"""How long one system call waits for a client. Then its rate is checked."""


def limit_silence(listener: socket.socket, step: float = STEP_SECONDS, silent: int = SILENT_SECONDS) -> None:
    """Prepare the connections that are accepted from now on.

    A call that waits for the client returns after `step` seconds. The kernel closes a connection whose client accepts
    nothing for `silent` seconds.
    """
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        listener.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(step), int(step % 1 * 1_000_000)))
    if hasattr(socket, "TCP_USER_TIMEOUT") and listener.family != socket.AF_UNIX:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * silent)
