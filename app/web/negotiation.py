"""Content negotiation: the Accept header against what a route can produce (conformance §1.7, §4.2; RFC 9110 §12.5.1).

An Accept header becomes a list of offers, the best first. A handler answers with the first offer that it can produce.
An entry that it cannot produce does no harm to the other entries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

from app.errors import NotAcceptable
from app.web.media import AcceptEntry, accept_entries

AS_STORED: Final = "*"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
JPEG_2000: Final = "1.2.840.10008.1.2.4.90"

DICOM: Final = "application/dicom"
OCTETS: Final = "application/octet-stream"
JP2: Final = "image/jp2"
JPEG: Final = "image/jpeg"
PNG: Final = "image/png"

_ANYTHING: Final = "*/*"
_RELATED: Final = "multipart/related"
_CACHED_HEADERS: Final = 256
"""Clients send few different headers, and reading one takes longer than everything else about it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to answer. `transfer_syntax` is a UID or `*` (as stored). `stated`: the caller named it."""

    multipart: bool
    media_type: str
    transfer_syntax: str
    stated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Representation:
    """One row of the tables of conformance §4.2.

    An entry of the Accept header that matches `accepts`, within multipart/related or not, gets an answer in
    `media_type`, in multipart/related or not. The first of `transfer_syntaxes` applies if the entry names none.
    """

    accepts: str
    accepts_multipart: bool
    media_type: str
    multipart: bool
    transfer_syntaxes: tuple[str, ...]


def _single(media_type: str, *transfer_syntaxes: str, accepts: str = "") -> Representation:
    return Representation(
        accepts=accepts or media_type,
        accepts_multipart=False,
        media_type=media_type,
        multipart=False,
        transfer_syntaxes=transfer_syntaxes,
    )


def _parts(
    media_type: str, *transfer_syntaxes: str, accepts: str = "", accepts_multipart: bool = True
) -> Representation:
    return Representation(
        accepts=accepts or media_type,
        accepts_multipart=accepts_multipart,
        media_type=media_type,
        multipart=True,
        transfer_syntaxes=transfer_syntaxes,
    )


FILES: Final = (
    _parts(DICOM, EXPLICIT_LITTLE, JPEG_2000, AS_STORED),
    _parts(DICOM, AS_STORED, EXPLICIT_LITTLE, JPEG_2000, accepts=_ANYTHING),
    _parts(DICOM, AS_STORED, EXPLICIT_LITTLE, JPEG_2000, accepts=_ANYTHING, accepts_multipart=False),
)
"""A study or a series."""

FILE: Final = (_single(DICOM, EXPLICIT_LITTLE, JPEG_2000, AS_STORED), *FILES)
"""One instance."""

FRAMES: Final = (
    _single(OCTETS, EXPLICIT_LITTLE, AS_STORED),
    _parts(OCTETS, EXPLICIT_LITTLE, AS_STORED),
    _parts(JP2, JPEG_2000),
    _parts(OCTETS, AS_STORED, EXPLICIT_LITTLE, accepts=_ANYTHING),
    _parts(OCTETS, AS_STORED, EXPLICIT_LITTLE, accepts=_ANYTHING, accepts_multipart=False),
)
"""Frames of an instance."""

RENDERED: Final = (_single(JPEG, AS_STORED), _single(PNG, AS_STORED), _single(JPEG, AS_STORED, accepts=_ANYTHING))
"""A rendered frame."""

_JSON: Final = frozenset({"application/dicom+json", "application/json", "application/*", _ANYTHING})


@lru_cache(maxsize=_CACHED_HEADERS)
def acceptable_offers(representations: tuple[Representation, ...], accept: str | None) -> tuple[Offer, ...]:
    """Return the offers that the Accept header admits. None, no header, admits everything.

    The order is: highest quality first, then as stored before other transfer syntaxes, then the order of the header.
    Raises `NotAcceptable` when no entry matches.
    """
    ranked = [
        (-entry.quality, offer.transfer_syntax != AS_STORED, offer)
        for entry in accept_entries(_ANYTHING if accept is None else accept)
        if (offer := _offer(representations, entry))
    ]
    if not ranked:
        raise NotAcceptable("The request headers are not acceptable")
    return tuple(offer for _, _, offer in sorted(ranked, key=lambda each: each[:2]))


def first_producible(offers: Sequence[Offer], produce: Callable[[Offer], T]) -> T:
    """Return what `produce` makes of the first offer that it does not refuse with `NotAcceptable`.

    Raises the first refusal when it refuses all.
    """
    refusals: list[NotAcceptable] = []
    for offer in offers:
        try:
            return produce(offer)
        except NotAcceptable as refusal:
            refusals.append(refusal)
    raise refusals[0]


@lru_cache(maxsize=_CACHED_HEADERS)
def require_json(accept: str | None) -> None:
    """Raise `NotAcceptable`, without a text, unless the header admits DICOM JSON (conformance §1.7)."""
    if accept is not None and not any(entry.name in _JSON for entry in accept_entries(accept)):
        raise NotAcceptable("")


def _offer(representations: tuple[Representation, ...], entry: AcceptEntry) -> Offer | None:
    multipart = entry.name in (_RELATED, "multipart/*")
    wanted = entry.parameters.get("type", _ANYTHING).lower() if multipart else entry.name
    found = next(
        (each for each in representations if each.accepts_multipart == multipart and _admits(wanted, each.accepts)),
        None,
    )
    syntax = entry.parameters.get("transfer-syntax")
    if found is None or (syntax is not None and syntax not in found.transfer_syntaxes):
        return None
    return Offer(found.multipart, found.media_type, syntax or found.transfer_syntaxes[0], syntax is not None)


def _admits(wanted: str, offered: str) -> bool:
    return wanted == offered or (wanted.endswith("/*") and offered.startswith(wanted[:-1]))
