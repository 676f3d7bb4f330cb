"""Entity tags of requests (RFC 9110 §13.1.2, conformance §4.8)."""

from __future__ import annotations

from werkzeug.datastructures import ETags


def has_current(known: ETags, etag: str) -> bool:
    """Return whether If-None-Match names the tag: quoted or not, weak or not, in any letter case, or `*`."""
    return known.star_tag or etag.lower() in {each.lower() for each in known.as_set(include_weak=True)}
