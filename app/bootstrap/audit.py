"""Builds the audit trail that the settings name."""

from __future__ import annotations

import sys
from pathlib import Path

from app.errors import AuditUnavailable, ConfigurationError
from app.services.audit.sinks import AuditFile, write_to_standard_error
from app.services.audit.trail import Append, AuditTrail
from app.settings import Settings, variable
from app.settings.audit import OFF, STDERR


def build_audit(settings: Settings) -> AuditTrail:
    """Return the audit trail. Nothing is written yet, but a file is created.

    Raises `ConfigurationError` if it cannot be written, or if the secret of the digests cannot be read.
    """
    return AuditTrail(_append(settings), key=audit_key(settings.audit_key_file))


def audit_key(path: Path | None) -> bytes | None:
    """Return the secret of the digests without white space at its ends, None without a path. Raises
    `ConfigurationError`."""
    if path is None:
        return None
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError(f"{variable('audit_key_file')}='{path}': The file cannot be read.") from error
    if not key:
        raise ConfigurationError(f"{variable('audit_key_file')}='{path}': The file is empty.")
    return key


def _append(settings: Settings) -> Append | None:
    match settings.audit:
        case name if name == OFF:
            return None
        case name if name == STDERR:
            if sys.__stderr__ is None:
                raise ConfigurationError(f"{variable('audit')}={STDERR}: Standard error is closed.")
            return write_to_standard_error
        case path:
            try:
                return AuditFile(Path(path), settings.audit_bytes).append
            except AuditUnavailable as error:
                raise ConfigurationError(f"{variable('audit')}='{path}': The file cannot be written.") from error
