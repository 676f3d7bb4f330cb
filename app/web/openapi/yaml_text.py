"""Writes a JSON document as YAML 1.2 in block style.

A JSON string is a YAML string too, so the scalars stay JSON. The service needs no YAML library for this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

_PLAIN_KEY: Final = re.compile(r"[A-Za-z$][\w$-]*", re.ASCII)
_RESERVED: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
"""Keys that a reader of YAML 1.1 takes for another value."""


def yaml_text(document: Any) -> bytes:
    """Return the YAML text of an object or an array, in UTF-8."""
    return "".join(f"{line}\n" for line in _lines(document, "")).encode()


def _lines(value: Any, indent: str) -> Iterator[str]:
    pairs = value.items() if isinstance(value, dict) else (("-", each) for each in value)
    for key, each in pairs:
        head = "-" if isinstance(value, list) else f"{_key(key)}:"
        if isinstance(each, dict | list) and each:
            yield f"{indent}{head}"
            yield from _lines(each, indent + "  ")
        else:
            yield f"{indent}{head} {_scalar(each)}"


def _key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) and key.lower() not in _RESERVED else _scalar(key)


def _scalar(value: Any) -> str:
    return orjson.dumps(value).decode()
