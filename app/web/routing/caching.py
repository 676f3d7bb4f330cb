"""Headers for caches: what an answer depends on, and who may keep it (RFC 9111 §5.2.2, RFC 9110 §12.5.5)."""

from __future__ import annotations

from typing import Final

from flask import Response, g

from app.web.response.compression import is_negotiated
from app.web.routing.route import Route

VARY: Final = ("Accept", "Authorization")
"""Headers of the request that an answer with patient data depends on."""

_CODING: Final = "Accept-Encoding"
_VARY: Final = {
    (True, True): ", ".join((*VARY, _CODING)),
    (True, False): ", ".join(VARY),
    (False, True): _CODING,
}
"""The value of `Vary`, by: the answer has patient data, its content coding is negotiated."""


def set_cache_headers(response: Response) -> None:
    """Set `Cache-Control` on answers with patient data, and `Vary` on answers that depend on headers; also on errors.

    An answer with an ETag may stay in the caller's own cache, which has to ask again before
    each use.
    """
    route: Route | None = g.get("route")
    has_patient_data = route is not None and route.patient_data
    if has_patient_data:
        response.headers.add(
            "Cache-Control", "private, no-cache" if "ETag" in response.headers else "private, no-store"
        )
    vary = _VARY.get((has_patient_data, is_negotiated(response)))
    if vary is None:
        return
    if "Vary" in response.headers:
        response.vary.update(vary.split(", "))
    else:  # the same with a tenth of the work
        response.headers.add("Vary", vary)
