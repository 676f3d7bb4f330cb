"""Headers for caches: what an answer depends on, and who may keep it (RFC 9111 §5.2.2, RFC 9110 §12.5.5)."""

from __future__ import annotations

from typing import Final

from flask import Response, g

from app.web.response.compression import is_negotiated
from app.web.routing.route import Route

VARY: Final = ("Accept", "Authorization")
"""Headers of the request that an answer with patient data depends on."""

_CODING: Final = "Accept-Encoding"
_COOKIE: Final = "Cookie"
"""While the service knows its callers, a cookie may say who calls."""
_VARY: Final = {
    (True, False, True): ", ".join((*VARY, _CODING)),
    (True, False, False): ", ".join(VARY),
    (True, True, True): ", ".join((*VARY, _COOKIE, _CODING)),
    (True, True, False): ", ".join((*VARY, _COOKIE)),
    (False, False, True): _CODING,
    (False, True, True): _CODING,
}
"""The value of `Vary`, by: the answer has patient data, callers are known, its content coding is negotiated."""


def has_patient_data() -> bool:
    """Return whether the answer to the request may have patient data. It is False before a route is found."""
    route: Route | None = g.get("route")
    return route is not None and route.patient_data


def set_cache_headers(response: Response, *, authenticates: bool) -> None:
    """Set `Cache-Control` on answers with patient data, and `Vary` on answers that depend on headers; also on errors.

    `authenticates` says whether the service knows its callers, some of them by a cookie.

    An answer with an ETag may stay in the caller's own cache, which has to ask again before
    each use.
    """
    is_private = has_patient_data()
    if is_private:
        response.headers.add(
            "Cache-Control", "private, no-cache" if "ETag" in response.headers else "private, no-store"
        )
    vary = _VARY.get((is_private, authenticates, is_negotiated(response)))
    if vary is None:
        return
    if "Vary" in response.headers:
        response.vary.update(vary.split(", "))
    else:  # the same with a tenth of the work
        response.headers.add("Vary", vary)
