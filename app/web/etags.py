"""Entity tags as callers send them back: quoted or not, weak or not, one or many (conformance §4.8)."""

from __future__ import annotations


def matches(header: str | None, etag: str) -> bool:
    """Tell whether If-None-Match names the tag; `*` names any, and letter case does not count."""
    if header is None:
        return False
    return any(given == "*" or given.lower() == etag.lower() for given in map(_bare, header.split(",")))


def _bare(tag: str) -> str:
    return tag.strip().removeprefix("W/").removeprefix("w/").strip('"')
