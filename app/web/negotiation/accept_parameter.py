"""The query parameter `accept`, which stands in for the Accept header (PS3.18 §8.3.3.1, conformance §1.7).

A link in a page cannot send a header, so viewers write `<img src="…/rendered?accept=image%2Fjpeg">`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote


def use_accept_parameter(environ: dict[str, Any]) -> None:
    """Make the parameter the Accept header of the request, and remove it from the query string.

    A `+` in it is a plus sign and not a space: `application/dicom+json` is written without an escape too. An empty
    parameter leaves the header as it is.
    """
    query: str = environ.get("QUERY_STRING", "")
    if "accept" not in query.lower():
        return
    remaining, accepted = [], []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if unquote(name).lower() == "accept":
            accepted.append(unquote(value).strip())
        else:
            remaining.append(pair)
    environ["QUERY_STRING"] = "&".join(remaining)
    if accept := ", ".join(filter(None, accepted)):
        environ["HTTP_ACCEPT"] = accept
