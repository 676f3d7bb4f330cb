"""Checks of the pages for people: the viewer, and the secrets of the sign-in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from app.entry.doctor.findings import FAULT, OK, Finding
from app.settings import Settings, variable
from app.storage.access.session_key import KEY_BYTES
from app.web.site.viewer_files import installed


def site(settings: Settings) -> Iterator[Finding]:
    """Say whether the viewer is installed, and check the files with secrets of the sign-in."""
    if not settings.site:
        yield Finding("site", OK, "The pages for people are switched off.")
        return
    yield _viewer(settings)
    yield from _secret("oidc_client_secret_file", settings.oidc_client_secret_file, 1)
    yield from _secret("session_key_file", settings.session_key_file, KEY_BYTES)


def _viewer(settings: Settings) -> Finding:
    viewer = installed(settings.viewer_dir)
    if viewer is None:
        text = f"The viewer is not installed in {settings.viewer_dir}. `make viewer` fetches it, with npm."
        return Finding("viewer", OK, text)
    return Finding("viewer", OK, f"OHIF {viewer.version} is installed in {settings.viewer_dir}.")


def _secret(name: str, file: Path | None, least: int) -> Iterator[Finding]:
    if file is None:
        return
    try:
        size = len(file.read_bytes().strip())
    except OSError as error:
        yield Finding("site", FAULT, f"{variable(name)}='{file}': {error.strerror}.", "Correct the path or the mode.")
        return
    if size < least:
        text = f"{variable(name)}='{file}': It has {size} bytes, and {least} are needed."
        yield Finding("site", FAULT, text, "Write a longer secret to the file.")
    else:
        yield Finding("site", OK, f"{variable(name)}: The file can be read.")
