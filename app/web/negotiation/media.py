"""Media types with parameters, as in Content-Type and Accept (RFC 9110 §8.3.1, §12.5.1).

werkzeug's parser cuts an unquoted value at its first slash. Many clients send `type=application/dicom` without quotes,
so the parameters are read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

# The quoted form is tried first. The unquoted form takes everything up to the next semicolon or quote.
_PARAMETER: Final = re.compile(r';\s*([^\s=;,"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;"]*)')
_ENTRY: Final = re.compile(r'(?:[^,"]++|"(?:[^"\\]|\\.?)*+"?)++')  # possessive: the time is linear in any input
_ESCAPED: Final = re.compile(r"\\(.)")


class MediaType(NamedTuple):
    """`type/subtype` in lower case, and the parameters by lower-case name, without quotes."""

    name: str
    parameters: Mapping[str, str]


class AcceptEntry(NamedTuple):
    """One entry of an Accept header. `quality` is above 0 and at most 1."""

    name: str
    parameters: Mapping[str, str]
    quality: float


def parse(header: str) -> MediaType:
    """Return the media type of a Content-Type header. A malformed header gives a name that matches no media type."""
    name, separator, rest = header.partition(";")
    return MediaType(name.strip().lower(), _parameters(separator + rest))


def accept_entries(header: str) -> Iterator[AcceptEntry]:
    """Yield the entries of an Accept header in its order, without those of quality 0. Never raises."""
    for entry in _ENTRY.findall(header):
        name, parameters = parse(entry)
        weight = quality(parameters.get("q", "1"))
        if name and weight > 0:
            yield AcceptEntry(name, parameters, weight)


def _parameters(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in _PARAMETER.findall(text):
        found.setdefault(name.lower(), _ESCAPED.sub(r"\1", value[1:-1]) if value[:1] == '"' else value.strip())
    return found


def quality(text: str) -> float:
    """Return the value of a parameter `q`, at most 1. Text that is no number counts as 1."""
    # float() alone would accept "nan", "inf" and "1_0".
    return min(float(text), 1.0) if re.fullmatch(r"\d+(\.\d*)?|\.\d+", text, re.ASCII) else 1.0
