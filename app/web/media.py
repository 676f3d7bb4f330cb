"""Media types as headers write them: `multipart/related; type="application/dicom"; boundary=b`, and lists of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

# The quoted form is tried first; the unquoted one is lenient, since clients send type=application/dicom as it stands.
_PARAMETER: Final = re.compile(r';\s*([^\s=;,"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;"]*)')
_ENTRY: Final = re.compile(r'(?:[^,"]++|"(?:[^"\\]|\\.?)*+"?)++')  # possessive: linear, however hostile
_ESCAPED: Final = re.compile(r"\\(.)")


class MediaType(NamedTuple):
    """`type/subtype` in lower case, and its parameters by lower-case name, unquoted."""

    name: str
    parameters: Mapping[str, str]


class Accepted(NamedTuple):
    """One entry of an Accept header. `quality` is from 0 (never) to 1."""

    name: str
    parameters: Mapping[str, str]
    quality: float


def parse(header: str) -> MediaType:
    """Return the media type that a Content-Type header names; nonsense gives a name that matches nothing."""
    name, separator, rest = header.partition(";")
    return MediaType(name.strip().lower(), _parameters(separator + rest))


def accepted(header: str) -> Iterator[Accepted]:
    """Yield the entries of an Accept header as listed, those with quality 0 left out. Never raises."""
    for entry in _ENTRY.findall(header):
        name, parameters = parse(entry)
        quality = _quality(parameters.get("q", "1"))
        if name and quality > 0:
            yield Accepted(name, parameters, quality)


def _parameters(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in _PARAMETER.findall(text):
        found.setdefault(name.lower(), _ESCAPED.sub(r"\1", value[1:-1]) if value[:1] == '"' else value.strip())
    return found


def _quality(text: str) -> float:
    # Not float(): that also reads "nan", "inf" and "1_0".
    return min(float(text), 1.0) if re.fullmatch(r"\d+(\.\d*)?|\.\d+", text, re.ASCII) else 1.0
