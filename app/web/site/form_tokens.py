"""The token that each form of a page has, so that no foreign page can send it (conformance §15.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flask import Request, current_app, request
from markupsafe import Markup

from app.errors import FormExpired
from app.services import Services
from app.settings import Settings
from app.web.request.credentials import has_bearer
from app.web.routing.access import session_of
from app.web.routing.dispatch import SERVICES, SETTINGS
from app.web.routing.origins import is_from_a_browser

FIELD: Final = "form_token"


def csrf_field() -> Markup:
    """Return the hidden field with the token. Each form with the method POST has it. Templates call this."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, form_token(request))


def form_token(request: Request) -> str:
    """Return the token of the session of the request. Raises `StorageError`."""
    services, settings = _wiring()
    return services.sessions.form_token(session_of(request, services.sessions, settings))


def check_form_token(request: Request, texts: Mapping[str, str]) -> None:
    """Raise `FormExpired` if a form does not have the token of the session of the request.

    A caller with a Bearer token needs no form token, since no browser adds it by itself. A program without a session,
    which is no browser, needs none either.
    """
    if has_bearer(request.headers.get("Authorization")):
        return
    services, settings = _wiring()
    session = session_of(request, services.sessions, settings)
    if session is None and not is_from_a_browser(request):
        return
    if not services.sessions.is_form_token(texts.get(FIELD, ""), session):
        raise FormExpired


def _wiring() -> tuple[Services, Settings]:
    return current_app.extensions[SERVICES], current_app.extensions[SETTINGS]
