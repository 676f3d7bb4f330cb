"""What all pages have in common: where they exist, what a browser may do with them, and how an error looks."""

from __future__ import annotations

from typing import Any, Final

from flask import Response, current_app, request
from werkzeug.exceptions import HTTPException, NotFound

from app.errors import BulkheadError, Unauthenticated
from app.settings import Settings
from app.web import problems
from app.web.routing.caching import has_patient_data
from app.web.routing.dispatch import SETTINGS
from app.web.routing.origins import SAFE
from app.web.routing.route import Resource
from app.web.site import rendering
from app.web.site.local_paths import local_path, see_other, sign_in_path

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; media-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
"""The content security policy of a page (CSP Level 3). No page has an inline script, an inline style or an external
resource."""

PAGE: Final = "text/html"


def pages(name: str) -> Resource:
    """Return a resource whose answers are pages, errors included."""
    resource = Resource(f"site-{name}")
    resource.after_request = _restrict
    for kind in (BulkheadError, NotFound, HTTPException, Exception):  # the application has a handler of NotFound
        resource.error_handlers[kind] = _error
    resource.error_handlers[Unauthenticated] = _unauthenticated
    return resource


def _restrict(response: Response) -> Response:
    if response.mimetype == PAGE:
        response.headers.setdefault("Content-Security-Policy", POLICY)  # the viewer has a policy of its own
        response.headers.setdefault("Referrer-Policy", "same-origin")
        if not has_patient_data():  # the others get their own value
            response.headers.setdefault("Cache-Control", "private, no-cache")  # each page names its caller
    return response


def _unauthenticated(error: Unauthenticated) -> Response:
    """Lead a person to the sign-in, which leads back.

    A request with an Authorization header gets a 401 page, and so does a request for a part of a page.
    """
    settings: Settings = current_app.extensions[SETTINGS]
    headers = request.headers
    is_document = headers.get("Sec-Fetch-Dest", "document") in ("document", "iframe")
    if settings.site and request.method in SAFE and is_document and not headers.get("Authorization"):
        return see_other(sign_in_path(local_path(request)))
    return _error(error)


def _error(error: Any) -> Response:
    """Return the page of an error, with the status and the headers that the error has in the API."""
    answer: Response = problems.answer(error)
    response = rendering.error_page(answer.status_code, answer.get_data(as_text=True))
    for name, value in answer.headers:
        if name.lower() not in ("content-type", "content-length"):
            response.headers.add(name, value)
    return response
