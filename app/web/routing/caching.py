"""Headers that keep answers with patient data out of shared caches (RFC 9111 §5.2.2, RFC 9110 §12.5.5)."""

from __future__ import annotations

from typing import Final

from flask import Response, g

from app.web.routing.route import Route

VARY: Final = ("Accept", "Authorization")
"""Headers of the request that an answer with patient data depends on."""


def protect_patient_data(response: Response) -> None:
    """Set `Cache-Control` and `Vary` on the answer of a route with patient data, also on an error.

    An answer with an ETag may stay in the caller's own cache, which has to ask again before each use.
    """
    route: Route | None = g.get("route")
    if route is not None and route.patient_data:
        response.headers["Cache-Control"] = "private, no-cache" if "ETag" in response.headers else "private, no-store"
        if "Vary" in response.headers:
            response.vary.update(VARY)
        else:  # the same with a tenth of the work
            response.headers["Vary"] = ", ".join(VARY)
