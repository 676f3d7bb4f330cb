"""What a caller accepts, against what a resource can give: the matrix of conformance §4.2 and the JSON rule of conformance §1.7.

An Accept header becomes a list of offers, best first. A resource gives the first that it can: an entry that cannot be
served never spoils the ones beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

from app.errors import NotAcceptable
from app.web.media import Accepted, accepted

AS_STORED: Final = "*"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
JPEG_2000: Final = "1.2.840.10008.1.2.4.90"

DICOM: Final = "application/dicom"
OCTETS: Final = "application/octet-stream"
JP2: Final = "image/jp2"

_ANYTHING: Final = "*/*"
_RELATED: Final = "multipart/related"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to answer. `transfer_syntax` is a UID or `*` (as stored); `stated` tells that the caller named it."""

    multipart: bool
    media_type: str
    transfer_syntax: str
    stated: bool


@dataclass(frozen=True, slots=True)
class MediaRow:
    """One row of the matrix: an entry so written is answered so. The first of `syntaxes` holds where none is named."""

    asks_multipart: bool
    asks: str
    gives_multipart: bool
    gives: str
    syntaxes: tuple[str, ...]


_FILE: Final = (EXPLICIT_LITTLE, JPEG_2000, AS_STORED)
_ANY_FILE: Final = (AS_STORED, EXPLICIT_LITTLE, JPEG_2000)
_FRAME: Final = (EXPLICIT_LITTLE, AS_STORED)
_ANY_FRAME: Final = (AS_STORED, EXPLICIT_LITTLE)

FILES: Final = (
    MediaRow(True, DICOM, True, DICOM, _FILE),
    MediaRow(True, _ANYTHING, True, DICOM, _ANY_FILE),
    MediaRow(False, _ANYTHING, True, DICOM, _ANY_FILE),
)
"""A study or a series."""

FILE: Final = (MediaRow(False, DICOM, False, DICOM, _FILE), *FILES)
"""One instance."""

FRAMES: Final = (
    MediaRow(False, OCTETS, False, OCTETS, _FRAME),
    MediaRow(True, OCTETS, True, OCTETS, _FRAME),
    MediaRow(True, JP2, True, JP2, (JPEG_2000,)),
    MediaRow(True, _ANYTHING, True, OCTETS, _ANY_FRAME),
    MediaRow(False, _ANYTHING, True, OCTETS, _ANY_FRAME),
)

RENDERED: Final = (
    MediaRow(False, "image/jpeg", False, "image/jpeg", (AS_STORED,)),
    MediaRow(False, "image/png", False, "image/png", (AS_STORED,)),
    MediaRow(False, _ANYTHING, False, "image/jpeg", (AS_STORED,)),
)

_JSON: Final = frozenset({"application/dicom+json", "application/json", "application/*", _ANYTHING})


@lru_cache(maxsize=256)
def offers(matrix: tuple[MediaRow, ...], accept: str | None) -> tuple[Offer, ...]:
    """Return what to try, best first: highest quality, then as stored, then as listed. No header accepts anything.

    Raises `NotAcceptable` when no entry fits the matrix.
    """
    ranked = [
        (-entry.quality, offer.transfer_syntax != AS_STORED, offer)
        for entry in accepted(_ANYTHING if accept is None else accept)
        if (offer := _offer(matrix, entry))
    ]
    if not ranked:
        raise NotAcceptable("The request headers are not acceptable")
    return tuple(offer for _, _, offer in sorted(ranked, key=lambda each: each[:2]))


def first_acceptable(choices: Sequence[Offer], answer: Callable[[Offer], T]) -> T:
    """Return the answer to the first offer that can be given; raise the first refusal when none can."""
    refusals: list[NotAcceptable] = []
    for offer in choices:
        try:
            return answer(offer)
        except NotAcceptable as refusal:
            refusals.append(refusal)
    raise refusals[0]


@lru_cache(maxsize=256)
def require_json(accept: str | None) -> None:
    """Raise `NotAcceptable`, without a text, unless DICOM JSON is accepted (conformance §1.7). No header accepts anything."""
    if accept is not None and not any(entry.name in _JSON for entry in accepted(accept)):
        raise NotAcceptable("")


def _offer(matrix: tuple[MediaRow, ...], entry: Accepted) -> Offer | None:
    multipart = entry.name in (_RELATED, "multipart/*")
    asked = entry.parameters.get("type", _ANYTHING).lower() if multipart else entry.name
    row = next((row for row in matrix if row.asks_multipart == multipart and _admits(asked, row.asks)), None)
    syntax = entry.parameters.get("transfer-syntax")
    if row is None or (syntax is not None and syntax not in row.syntaxes):
        return None
    return Offer(row.gives_multipart, row.gives, syntax or row.syntaxes[0], syntax is not None)


def _admits(asked: str, offered: str) -> bool:
    return asked == offered or (asked.endswith("/*") and offered.startswith(asked[:-1]))
