"""How gunicorn serves the application: the one place that knows its options.

`python -m app.entry.serving` runs the server alone; `infra/gunicorn.conf.py` gives the same options to a gunicorn started by
hand.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from app import logs
from app.entry.supervision import follow_parent
from app.settings import Settings

MEMORY_FOLDER: Final = Path("/dev/shm")  # noqa: S108 - gunicorn's heartbeat file, made there by mkstemp
LONGEST_LINE: Final = 8190
"""Bytes of a request line or header; gunicorn's own most, since a search carries long UID lists."""


def gunicorn_options(settings: Settings) -> dict[str, Any]:
    """Return gunicorn's options for `settings`, by the names of its configuration file."""
    return {
        "bind": f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}",
        "worker_class": "app.entry.keepalive.KeepAliveWorker",
        "workers": settings.server_processes,
        "threads": settings.threads,
        # Heartbeats come from the main thread, so this bounds a stuck process, never a long upload.
        "timeout": 60,
        "graceful_timeout": 30,
        # Longer than the idle time of a load balancer (60 s), so that it is the balancer that closes.
        "keepalive": 75,
        "worker_tmp_dir": str(MEMORY_FOLDER) if os.access(MEMORY_FOLDER, os.W_OK) else None,
        "limit_request_line": LONGEST_LINE,
        "limit_request_field_size": LONGEST_LINE,
        # Proxies are believed in one place, the application, as BULKHEAD_TRUSTED_PROXIES says.
        "forwarded_allow_ips": "",
        "control_socket_disable": True,  # its path is one for all servers of a user
        "logger_class": _logger(settings),
        "post_worker_init": _announce,
    }


class Server(BaseApplication):
    """Gunicorn with our options, and none from its command line or from `GUNICORN_CMD_ARGS`."""

    def __init__(self, settings: Settings) -> None:
        self._options = gunicorn_options(settings)
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        from app.entry.wsgi import app

        return app


def _logger(settings: Settings) -> type[Logger]:
    class OwnLogger(Logger):
        """Hands gunicorn's messages to our log; requests are logged by the application, with their id."""

        def setup(self, cfg: Any) -> None:
            logs.configure(settings.log_level, settings.log_format)
            self.error_log.propagate = True

        def exception(self, msg: object, *args: Any, **kwargs: Any) -> None:
            """Log an error; that a client fell silent is none."""
            if isinstance(sys.exc_info()[1], (BlockingIOError, TimeoutError)):
                self.info("a client that fell silent was cut off")
            else:
                super().exception(msg, *args, **kwargs)

        def access(self, *_: Any) -> None:
            """Say nothing: gunicorn would gather what nobody reads, for each request."""

    return OwnLogger


def _announce(worker: Any) -> None:
    # The first process to have loaded the application speaks; those that replace it later have a higher age.
    if worker.age == 1:
        host, port = worker.sockets[0].getsockname()[:2]
        sys.stdout.write(f"Bulkhead is ready on http://{f'[{host}]' if ':' in host else host}:{port}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    follow_parent()
    Server(Settings.from_environment(os.environ)).run()
