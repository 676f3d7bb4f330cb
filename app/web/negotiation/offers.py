"""Content negotiation: the Accept header against what a route can produce (conformance §1.7, §4.2; RFC 9110 §12.5.1).

An Accept header becomes a list of offers, the best first. A handler answers with the first offer that it can produce.
An entry that it cannot produce does no harm to the other entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar

from app.dicom.encoding.uids import is_uid
from app.errors import NotAcceptable
from app.web.negotiation.frame_media_types import FRAME_MEDIA_TYPES
from app.web.negotiation.media import AcceptEntry, accept_entries

AS_STORED: Final = "*"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
TARGETS: Final = (
    EXPLICIT_LITTLE,
    "1.2.840.10008.1.2.4.201",  # HTJ2K Lossless
    "1.2.840.10008.1.2.5",  # RLE Lossless
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
)
"""The transfer syntaxes that files and frames are transcoded to, the cheapest first."""

DICOM: Final = "application/dicom"
OCTETS: Final = "application/octet-stream"
JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
BULK_DATA_TYPES: Final = ("application/pdf", "application/vnd.iccprofile", "model/mtl", "model/obj", "model/stl")
"""Media types that the content of an element of bulk data is known to have."""

UNACCEPTABLE: Final = "The request headers are not acceptable"

_ANYTHING: Final = "*/*"
_RELATED: Final = "multipart/related"
_CACHED_HEADERS: Final = 256
"""Clients send few different headers, and reading one takes longer than everything else about it."""

_NONE: Final = frozenset[str]()

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Representation:
    """One row of the tables of conformance §4.2.

    An entry of the Accept header that matches `accepts`, within multipart/related or not, gets an answer in
    `media_type`, in multipart/related or not.
    """

    accepts: str
    accepts_multipart: bool
    media_type: str
    multipart: bool
    default: str
    """The transfer syntax, or `*`, of an entry that names none."""
    targets: frozenset[str]
    """The transfer syntaxes that what is stored in another one is transcoded to, if a codec can do it."""
    stored: frozenset[str] | None
    """The stored transfer syntaxes that this media type can carry unchanged. None: every one."""

    @property
    def accepts_anything(self) -> bool:
        return self.accepts == _ANYTHING


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to answer. `transfer_syntax` is a UID or `*` (as stored). `stated`: the caller named it.

    `quality` is that of the entry (RFC 9110 §12.4.2).
    """

    representation: Representation
    transfer_syntax: str
    stated: bool
    quality: float

    @property
    def multipart(self) -> bool:
        return self.representation.multipart

    @property
    def media_type(self) -> str:
        return self.representation.media_type

    @property
    def is_target(self) -> bool:
        """Whether what is stored in another transfer syntax may be transcoded for this offer."""
        return self.transfer_syntax in self.representation.targets

    def cost(self, syntax: str) -> int:
        """Return the rank of the work for what is stored in `syntax`: 0 if it is sent unchanged."""
        return 0 if self.admits_stored(syntax) else 1 + TARGETS.index(self.transfer_syntax)

    def admits_stored(self, syntax: str) -> bool:
        """Return whether a file or a frame that is stored in `syntax` answers the offer unchanged.

        A media type of compressed frames without a transfer syntax admits every syntax of the media type.
        """
        carried = self.representation.stored
        if carried is not None and syntax not in carried:
            return False
        return self.transfer_syntax in (AS_STORED, syntax) or (carried is not None and not self.stated)


def _row(
    media_type: str,
    default: str,
    *,
    multipart: bool = False,
    accepts: str | None = None,
    accepts_multipart: bool | None = None,
    targets: frozenset[str] = _NONE,
    stored: frozenset[str] | None = None,
) -> Representation:
    """Return the row that accepts what it answers, unless `accepts` or `accepts_multipart` says otherwise."""
    return Representation(
        accepts=accepts or media_type.lower(),
        accepts_multipart=multipart if accepts_multipart is None else accepts_multipart,
        media_type=media_type,
        multipart=multipart,
        default=default,
        targets=targets,
        stored=stored,
    )


def _files(default: str, **properties: Any) -> Representation:
    return _row(DICOM, default, targets=frozenset(TARGETS), **properties)


def _octets(default: str, **properties: Any) -> Representation:
    return _row(OCTETS, default, targets=frozenset({EXPLICIT_LITTLE}), **properties)


FILES: Final = (
    _files(EXPLICIT_LITTLE, multipart=True),
    _files(AS_STORED, multipart=True, accepts=_ANYTHING),
    _files(AS_STORED, multipart=True, accepts=_ANYTHING, accepts_multipart=False),
)
"""A study or a series."""

FILE: Final = (_files(EXPLICIT_LITTLE), *FILES)
"""One instance."""

FRAMES: Final = (
    _octets(EXPLICIT_LITTLE),
    _octets(EXPLICIT_LITTLE, multipart=True),
    _octets(AS_STORED, multipart=True, accepts=_ANYTHING),
    _octets(AS_STORED, multipart=True, accepts=_ANYTHING, accepts_multipart=False),
    *(
        _row(
            media_type,
            syntaxes[0],
            multipart=multipart,
            stored=frozenset(syntaxes),
            targets=frozenset(syntaxes).intersection(TARGETS),
        )
        for media_type, syntaxes in FRAME_MEDIA_TYPES.items()
        for multipart in (False, True)
    ),
)
"""Frames of an instance."""

RENDERED: Final = (
    _row(JPEG, AS_STORED, stored=_NONE),
    _row(PNG, AS_STORED, stored=_NONE),
    _row(JPEG, AS_STORED, stored=_NONE, accepts=_ANYTHING),
)
"""A rendered frame."""

_CARRIED: Final = (
    *((media_type, None) for media_type in BULK_DATA_TYPES),
    *((media_type, frozenset(syntaxes)) for media_type, syntaxes in FRAME_MEDIA_TYPES.items()),
)

BULK_DATA: Final = (
    _row(OCTETS, AS_STORED),
    _row(OCTETS, AS_STORED, multipart=True),
    _row(OCTETS, AS_STORED, multipart=True, accepts=_ANYTHING),
    _row(OCTETS, AS_STORED, accepts=_ANYTHING),
    _row(OCTETS, AS_STORED, multipart=True, accepts=_ANYTHING, accepts_multipart=False),
    *(
        _row(media_type, AS_STORED, multipart=multipart, stored=stored)
        for media_type, stored in _CARRIED
        for multipart in (False, True)
    ),
)
"""One element of bulk data. A media type of frames is for compressed pixel data, each other one for its content."""

BULK_DATA_OF_ALL: Final = (
    _row(OCTETS, AS_STORED, multipart=True),
    _row(OCTETS, AS_STORED, multipart=True, accepts=_ANYTHING),
    _row(OCTETS, AS_STORED, multipart=True, accepts=_ANYTHING, accepts_multipart=False),
)
"""The bulk data or the pixel data of an instance, a series or a study."""

_JSON: Final = frozenset({"application/dicom+json", "application/json", "application/*", _ANYTHING})


@lru_cache(maxsize=_CACHED_HEADERS)
def acceptable_offers(representations: tuple[Representation, ...], accept: str | None) -> tuple[Offer, ...]:
    """Return the offers that the Accept header admits. None, no header, admits everything.

    The order is: highest quality first, then as stored before other transfer syntaxes, then the order of the header.
    Raises `NotAcceptable` when no entry matches.
    """
    ranked = [
        (-offer.quality, offer.transfer_syntax != AS_STORED, offer)
        for entry in accept_entries(_ANYTHING if accept is None else accept)
        for offer in _offers(representations, entry)
    ]
    if not ranked:
        raise NotAcceptable(UNACCEPTABLE)
    return tuple(offer for _, _, offer in sorted(ranked, key=lambda each: each[:2]))


def offers_for(offers: Sequence[Offer], syntax: str) -> Sequence[Offer]:
    """Return the offers that fit what is stored in the transfer syntax `syntax`, unchanged or transcoded.

    The order is: highest quality first, then those for "as stored", then those that what is stored answers unchanged,
    then those that cost the least work. Raises `NotAcceptable` when none fits.
    """
    fitting = [offer for offer in offers if offer.is_target or offer.admits_stored(syntax)]
    if not fitting:
        raise NotAcceptable(UNACCEPTABLE)
    return sorted(fitting, key=lambda offer: (-offer.quality, offer.transfer_syntax != AS_STORED, offer.cost(syntax)))


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


def _offers(representations: tuple[Representation, ...], entry: AcceptEntry) -> Iterator[Offer]:
    """Yield an offer for each representation that matches the entry, in the order of the representations."""
    multipart = entry.name in (_RELATED, "multipart/*")
    wanted = entry.parameters.get("type", _ANYTHING).lower() if multipart else entry.name
    named = entry.parameters.get("transfer-syntax")
    syntax = None if named is None else named.strip()
    for each in representations:
        if (
            each.accepts_multipart == multipart
            and _admits(wanted, each.accepts)
            and (syntax is None or _can_have(each, syntax))
        ):
            yield Offer(each, each.default if syntax is None else syntax, syntax is not None, entry.quality)


def _can_have(representation: Representation, syntax: str) -> bool:
    """Return whether an answer in this transfer syntax is possible, with the right file."""
    if syntax == AS_STORED or syntax in representation.targets:
        return True
    return is_uid(syntax) if representation.stored is None else syntax in representation.stored


def _admits(wanted: str, offered: str) -> bool:
    return wanted == offered or (wanted.endswith("/*") and offered.startswith(wanted[:-1]))
