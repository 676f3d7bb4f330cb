"""What all pages have in common: where they exist, what a browser may do with them, and how an error looks."""

from __future__ import annotations

from typing import Any, Final

from flask import Response
from werkzeug.exceptions import HTTPException, NotFound

from app.errors import BulkheadError
from app.web import problems
from app.web.routing.route import Resource
from app.web.site import rendering

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
    return resource


def _restrict(response: Response) -> Response:
    if response.mimetype == PAGE:
        response.headers.setdefault("Content-Security-Policy", POLICY)  # the viewer has a policy of its own
        response.headers["Referrer-Policy"] = "same-origin"
    return response


def _error(error: Any) -> Response:
    """Return the page of an error, with the status and the headers that the error has in the API."""
    answer: Response = problems.answer(error)
    response = rendering.error_page(answer.status_code, answer.get_data(as_text=True))
    for name, value in answer.headers:
        if name.lower() not in ("content-type", "content-length"):
            response.headers.add(name, value)
    return response
