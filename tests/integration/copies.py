"""Copies of Bulkhead as an operator runs them: `bulkhead serve` processes behind nginx."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.servers import free_port

READY = "Bulkhead is ready on "

NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream copies {{ {servers} }}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 0;
    location / {{
      proxy_pass http://copies;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_set_header Connection "";
      proxy_set_header Host $proxy_host;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-For $remote_addr;
      add_header X-Copy $upstream_addr always;
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Copy:
    """One `bulkhead serve`: its URL and its process."""

    url: str
    process: subprocess.Popen[str]


@dataclass(frozen=True, slots=True)
class Archive:
    """Copies that share one archive, and the URL of the nginx in front of them."""

    url: str
    copies: Sequence[Copy]


def bulkhead(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "app.entry.cli", *arguments]


@contextmanager
def served(environment: Mapping[str, str]) -> Iterator[Copy]:
    """Start a copy on a free port and wait until it is ready. It is stopped with SIGTERM at the end."""
    process = subprocess.Popen(
        bulkhead("serve"),
        env={**os.environ, "BULKHEAD_PORT": "0", "BULKHEAD_WORKERS": "2", **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith(READY), f"bulkhead serve ended with {process.wait()} before it was ready"
        yield Copy(line.removeprefix(READY).strip(), process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


@contextmanager
def balanced(folder: Path, copies: Sequence[Copy]) -> Iterator[Archive]:
    """Start an nginx that sends requests to the copies in turn. Its files are in `folder`."""
    program = shutil.which("nginx")
    if program is None:
        pytest.fail("nginx is missing (Debian: nginx-light)")
    port = free_port()
    servers = " ".join(f"server {copy.url.removeprefix('http://')};" for copy in copies)
    configuration = folder / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder, port=port, servers=servers))
    process = subprocess.Popen([program, "-e", "stderr", "-p", str(folder), "-c", str(configuration)])
    try:
        _await_listener(process, port)
        yield Archive(f"http://127.0.0.1:{port}", copies)
    finally:
        process.terminate()
        process.wait()


def _await_listener(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"nginx ended with {process.returncode}")
