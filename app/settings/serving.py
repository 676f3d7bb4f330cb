"""Settings of the HTTP server."""

from __future__ import annotations

import os
from dataclasses import dataclass

from marshmallow.fields import String

from app.settings.declaration import BaseUrl, SettingsGroup, setting, whole_number


@dataclass(frozen=True, kw_only=True)
class ServingSettings(SettingsGroup):
    """Where the server listens, how many processes it has, and which URL clients see."""

    host: str = setting("127.0.0.1", String(), "Address to listen on.")
    port: int = setting(8080, whole_number(0, 65535), "Port to listen on. `0` chooses a free port.")
    workers: int = setting(
        0, whole_number(0, 256), "Number of server processes. `0` means one for each CPU, but at least two."
    )
    threads: int = setting(
        8,
        whole_number(1, 1024),
        "Number of requests that each server process works on at the same time. A request that waits for its client "
        "does not count.",
    )
    open_requests: int = setting(
        256,
        whole_number(1, 8192),
        "Number of requests that each server process receives, works on and answers at the same time, also those of "
        "slow clients. More are answered with 503.",
    )
    request_seconds: int = setting(
        30,
        whole_number(1, 3600),
        "Seconds for which a request may wait for the data store while none of its bytes is received or sent. After "
        "them no failed call to the data store is repeated: the answer is 503.",
    )
    public_url: str = setting(
        "",
        BaseUrl(),
        "Scheme, host and path of the service as clients see them, for links. Default: as in the request.",
    )
    trusted_proxies: int = setting(
        0,
        whole_number(0, 16),
        "Number of proxies in front of the service whose `X-Forwarded-*` headers are used. `0` ignores these headers.",
    )

    @property
    def server_processes(self) -> int:
        """The number of gunicorn workers: `workers`, or one for each CPU of this process, but at least two."""
        return self.workers or max(2, _usable_cpus())


def _usable_cpus() -> int:
    # The affinity mask is what a container may use; not every system has one.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
