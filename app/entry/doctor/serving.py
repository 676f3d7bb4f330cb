"""Checks of the server: its port, its limits of the system, who may call it, and its audit trail."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx

from app.bootstrap.audit import audit_key
from app.entry.doctor.findings import FAULT, OK, WARNING, Finding
from app.entry.open_files import files_needed
from app.errors import ConfigurationError
from app.services.access.issuer_download import Downloader, DownloadFailed
from app.services.access.issuer_keys import KeysFile
from app.services.access.roles import RoleDirectory
from app.settings import Settings, variable
from app.settings.access import JWT, is_trustworthy
from app.settings.audit import OFF, STDERR

_ANYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - it is replaced, not bound
_SECONDS: Final = 3.0


def port(settings: Settings) -> Iterator[Finding]:
    """Say whether the port is free, or who listens there."""
    address = f"{settings.host}:{settings.port}"
    if settings.port == 0:
        yield Finding("port", OK, "The system chooses a free port.")
        return
    refused = _binding(settings.host, settings.port)
    if refused is None:
        yield Finding("port", OK, f"{address} is free. No server runs there.")
    elif refused.errno == errno.EADDRINUSE:
        yield _listener(settings, address)
    elif refused.errno in (errno.EACCES, errno.EPERM):
        text = f"User id {os.geteuid()} may not listen on {address}."
        yield Finding("port", FAULT, text, f"Choose a port from 1024 on in {variable('port')}.")
    else:
        text = f"Nobody can listen on {address}: {refused.strerror or refused}."
        yield Finding("port", FAULT, text, f"Name an address of this machine in {variable('host')}.")


def _binding(host: str, number: int) -> OSError | None:
    """Return why this process cannot listen at an address. None: it can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, number, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            listening.bind(address)
    except OSError as error:
        return error
    return None


def _listener(settings: Settings, address: str) -> Finding:
    host = _ANYWHERE.get(settings.host, settings.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/health/check"
    try:
        health = httpx.get(url, timeout=_SECONDS, trust_env=False).json()
        status, details = str(health["overallStatus"]), list(health["details"])
        bad = [f"{each['name']}: {each['description']}" for each in details if each["status"] != "Healthy"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        text = f"Another program listens on {address}."
        return Finding("port", FAULT, text, f"Stop it, or choose another port in {variable('port')}.")
    if status == "Healthy":
        return Finding("port", OK, f"Bulkhead listens on {address}, and is healthy.")
    text = f"Bulkhead listens on {address}, and is {status.lower()}: {' '.join(bad)}"
    return Finding("port", FAULT if status == "Unhealthy" else WARNING, text, "Mend what the text names.")


def open_files(settings: Settings) -> Iterator[Finding]:
    """Check whether each server process may open as many files as its requests need."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = files_needed(settings.open_requests)
    if hard != resource.RLIM_INFINITY and hard < needed:
        text = f"A process may open {hard} files, and {settings.open_requests} requests may need {needed}."
        yield Finding("open files", WARNING, text, f"Raise `ulimit -Hn`, or lower {variable('open_requests')}.")
    else:
        yield Finding("open files", OK, f"A server process may open the {needed} files that it may need.")


# --- access -------------------------------------------------------------------------------------------------------


def access(settings: Settings) -> Iterator[Finding]:
    """Check who may call the service, and the files and issuers that decide it."""
    yield _authentication(settings)
    if settings.roles_file or settings.jwks_file:
        yield _files(settings)
    if JWT in settings.auth and not settings.jwks_file:
        yield from _issuers(settings)


def _authentication(settings: Settings) -> Finding:
    if settings.authenticates:
        return Finding("access", OK, f"Callers need credentials: {', '.join(settings.auth)}.")
    try:
        settings.check_listening()
    except ConfigurationError as error:
        return Finding("access", FAULT, str(error), "The text says which settings allow it.")
    if settings.allow_anonymous:
        text = f"Everyone who reaches {settings.host} may read and delete all data."
        return Finding("access", WARNING, text, f"Set {variable('auth')} to the credentials that callers have.")
    return Finding("access", OK, "No credentials are needed. Only this machine reaches the server.")


def _files(settings: Settings) -> Finding:
    try:
        RoleDirectory.read(settings.roles_file)
        if settings.jwks_file:
            KeysFile(settings.jwks_file)
    except (ConfigurationError, OSError, ValueError) as error:
        return Finding("access", FAULT, " ".join(str(error).split()), "Correct the file.")
    return Finding("access", OK, "The files of roles and keys can be read.")


def _issuers(settings: Settings) -> Iterator[Finding]:
    downloader = Downloader(is_trustworthy)
    for issuer in settings.jwt_issuers if not settings.jwks_url else (settings.jwks_url,):
        try:
            (downloader.document if settings.jwks_url else downloader.discovered_keys)(issuer)
        except DownloadFailed as error:
            advice = "Until it answers, JWTs are refused. Check the network and the name of the issuer."
            yield Finding("issuer", WARNING, str(error), advice)
        else:
            yield Finding("issuer", OK, f"{issuer} has its keys ready.")


# --- audit --------------------------------------------------------------------------------------------------------


def audit(settings: Settings) -> Iterator[Finding]:
    """Check whether the audit trail can be written. While it cannot, every call is refused."""
    try:
        audit_key(settings.audit_key_file)
    except ConfigurationError as error:
        yield Finding("audit", FAULT, str(error), "Write a long random text to the file.")
    if settings.audit == OFF:
        yield Finding("audit", WARNING, "Nobody can see who read what.", f"Name a file in {variable('audit')}.")
    elif settings.audit == STDERR:
        yield Finding("audit", OK, "The audit trail is on standard error of the service.")
    else:
        yield _audit_file(Path(settings.audit))


def _audit_file(file: Path) -> Finding:
    # The service renames a full file and begins a new one, so it needs the folder as well.
    missing = next((each for each in (file.absolute().parent, file) if not _is_writable(each)), None)
    if missing is None:
        return Finding("audit", OK, f"The audit trail can be written to {file}.")
    text = f"{missing} cannot be written, so every call is refused."
    return Finding("audit", FAULT, text, f"Create the folder, change owner or mode, or correct {variable('audit')}.")


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK) or (not path.exists() and path.parent.is_dir())
