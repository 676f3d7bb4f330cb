"""A gunicorn worker that lets a thread stay with a connection whose next request follows at once.

gunicorn's own hands every request of a kept-alive connection from the polling thread to a pool thread and back: two
hand-overs of the interpreter lock, a good part of what a small answer costs. Ingestion pipelines and viewers send their
next request as soon as they have the answer, so the thread waits for it, a few milliseconds, while no other connection
waits for a thread.
"""

from __future__ import annotations

import select
from typing import Any, Final

from gunicorn.workers.gthread import ThreadWorker

LINGER_MILLISECONDS: Final = 4
MOST_IN_A_ROW: Final = 100
"""Requests answered before the connection queues up again, so that a busy one cannot keep a thread to itself."""


class KeepAliveWorker(ThreadWorker):
    """gunicorn's threaded worker; `handle` runs in a pool thread and answers what is on one connection."""

    def handle(self, conn: Any) -> Any:
        for _ in range(MOST_IN_A_ROW):
            kept = super().handle(conn)
            if kept is not True or not self.alive or conn.is_http2 or self.tpool._work_queue.qsize():
                return kept
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            if not poll.poll(LINGER_MILLISECONDS):
                return kept
        return kept
