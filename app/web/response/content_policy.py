"""What a browser may do with content that comes from files of strangers (CSP Level 3, conformance §1.3, §4.10).

A document that is opened directly would otherwise run its scripts with the rights of a page of this service. Header
`X-Content-Type-Options` keeps a browser from taking one media type for another.
"""

from __future__ import annotations

from typing import Final

from flask import Response

from app.imaging.documents.page import STYLE_HASH

POLICY: Final = "Content-Security-Policy"
EMBEDDER_POLICY: Final = "Cross-Origin-Embedder-Policy"

_NOTHING: Final = "default-src 'none'; sandbox"
_PDF: Final = "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'"
"""The viewers of browsers show a PDF as an object with a style of their own. Older ones show none in a sandbox."""

_POLICIES: Final = {
    "text/html": f"default-src 'none'; style-src '{STYLE_HASH}'; sandbox",
    "application/pdf": _PDF,
    **dict.fromkeys(
        (
            "application/octet-stream",
            "application/sla",
            "application/xml",
            "image/svg+xml",
            "model/mtl",
            "model/obj",
            "model/stl",
            "text/xml",
        ),
        _NOTHING,
    ),
}
"""Media type -> the policy of an answer. Pictures and videos cannot do anything and have none."""


def restrict_content(response: Response) -> Response:
    """Add the policy of the media type of an answer. The policies that every answer has apply too.

    A page that is isolated from other origins shows an answer in a frame only if the answer names the same embedder
    policy (HTML §7.1.4). Viewers isolate their pages, because they share memory between threads.
    """
    policy = _POLICIES.get(response.mimetype or "")
    if policy:
        response.headers.add(POLICY, policy)
    response.headers[EMBEDDER_POLICY] = "require-corp"
    return response
