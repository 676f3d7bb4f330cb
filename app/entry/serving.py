"""How gunicorn serves the application. All options of gunicorn are here.

`python -m app.entry.serving` runs the server without a worker. `infra/gunicorn.conf.py` gives the same options to a
gunicorn that an operator starts.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from app import logs
from app.entry import metrics_folder
from app.entry.supervision import follow_parent
from app.entry.waiting_connections import IDLE_CONNECTIONS
from app.errors import ConfigurationError
from app.settings import Settings

MEMORY_FOLDER: Final = Path("/dev/shm")  # noqa: S108 - gunicorn's heartbeat file, made there by mkstemp
_SWITCH_SECONDS: Final = 0.001
"""How long a thread runs Python code while others wait for their turn. Python's own value is 5 ms."""

LONGEST_LINE: Final = 8190
"""Bytes of a request line or header. A search may have long lists of UIDs, so this is the maximum of gunicorn."""


def gunicorn_options(settings: Settings) -> dict[str, Any]:
    """Return the options of gunicorn for these settings, with the names of its configuration file."""
    return {
        "bind": f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}",
        "worker_class": "app.entry.keepalive.KeepAliveWorker",
        "workers": settings.server_processes,
        "threads": settings.threads,
        "worker_connections": settings.open_requests + IDLE_CONNECTIONS,
        # The main thread sends the heartbeats. So this ends a process that hangs, and never a long upload.
        "timeout": 60,
        "graceful_timeout": 30,
        # Longer than the idle time of a load balancer (60 s), so that the load balancer closes idle connections.
        "keepalive": 75,
        "worker_tmp_dir": str(MEMORY_FOLDER) if os.access(MEMORY_FOLDER, os.W_OK) else None,
        "limit_request_line": LONGEST_LINE,
        "limit_request_field_size": LONGEST_LINE,
        # Only the application reads headers of proxies, as BULKHEAD_TRUSTED_PROXIES says.
        "forwarded_allow_ips": "",
        "control_socket_disable": True,  # all servers of a user would share its path
        "logger_class": _logger(settings),
        "on_starting": _address_check(settings),
        "when_ready": metrics_folder.provide,
        "on_exit": metrics_folder.remove,
        "post_worker_init": _begin,
    }


class Server(BaseApplication):
    """Gunicorn with the options above. It reads none from its command line or from `GUNICORN_CMD_ARGS`."""

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
    class ServerLogger(Logger):
        """Passes the messages of gunicorn to our log. The application logs requests, with their id."""

        def setup(self, cfg: Any) -> None:
            logs.configure(settings.log_level, settings.log_format)
            self.error_log.propagate = True

        def exception(self, msg: object, *args: Any, **kwargs: Any) -> None:
            """Log an error. A client that stopped sending or receiving is not an error."""
            if isinstance(sys.exc_info()[1], (BlockingIOError, TimeoutError)):
                self.info("the connection of a silent client was closed")
            else:
                super().exception(msg, *args, **kwargs)

        def access(self, *_: Any) -> None:
            """Log nothing. gunicorn would collect details of each request that nobody reads."""

    return ServerLogger


def _address_check(settings: Settings) -> Callable[[Any], None]:
    """Return what gunicorn calls before it listens. It ends the server that would serve everyone (conformance §13.1).

    The addresses are those of gunicorn. An operator may name others on its command line than the settings do.
    """

    def check(server: Any) -> None:
        for address in server.cfg.address:
            if isinstance(address, tuple):  # a Unix socket is a path
                try:
                    settings.check_listening(address[0])
                except ConfigurationError as error:
                    raise RuntimeError(str(error)) from error  # gunicorn prints it and ends

    return check


def _begin(worker: Any) -> None:
    # A thread that returns from the disk while it holds the lock of the table waits no longer for another thread.
    sys.setswitchinterval(_SWITCH_SECONDS)
    # Modules and services live as long as the process. Otherwise a large answer pays for visits to all their objects.
    gc.collect()
    gc.freeze()
    _announce(worker)


def _announce(worker: Any) -> None:
    # The first server process prints the line. Processes that replace it later have a higher age.
    if worker.age == 1:
        host, port = worker.sockets[0].getsockname()[:2]
        sys.stdout.write(f"Bulkhead is ready on http://{f'[{host}]' if ':' in host else host}:{port}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    follow_parent()
    Server(Settings.from_environment(os.environ)).run()
