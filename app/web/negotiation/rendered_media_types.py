"""The choice among the media types of rendered representations (conformance §4.2, PS3.18 §8.7.4, §8.7.8.1).

What an object can be rendered in depends on what it is, so the choice is made when the object is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from app.errors import NotAcceptable
from app.services.retrieve.renderers import IMAGE_TYPES
from app.web.negotiation.media import AcceptEntry, accept_entries
from app.web.negotiation.offers import UNACCEPTABLE

RENDERED_TYPES: Final = (
    *IMAGE_TYPES,
    "image/svg+xml",
    "text/html",
    "text/xml",
    "application/xml",
    "application/pdf",
    "model/stl",
    "application/sla",
    "model/obj",
    "model/mtl",
    "video/mp4",
    "video/mpeg",
    "video/H265",
    "video/mp2t",
    "video/quicktime",
)
"""Every media type that an object can be rendered in."""

_RELATED: Final = ("multipart/related", "multipart/*")
_CACHED_HEADERS: Final = 256


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to answer: a media type, within multipart/related or not."""

    media_type: str
    multipart: bool


@dataclass(frozen=True, slots=True)
class AcceptedTypes:
    """What a caller accepts of a rendered resource."""

    entries: tuple[AcceptEntry, ...]

    @property
    def anything(self) -> bool:
        """Whether every media type is accepted, so that several parts are too."""
        return any(entry.name == "*/*" for entry in self.entries)

    def choice(self, media_types: Sequence[str], *, multipart: bool | None = None) -> Choice | None:
        """Return the best way to answer with one of these media types, None if none is accepted.

        The highest quality decides. Among equals, an entry with a wildcard that admits the default comes first: the
        default is the cheapest, and to the caller it is as good. Then the order of the header decides. `multipart` says
        which forms the resource has; None is both.
        """
        ranked = [
            (-entry.quality, rank, place, choice)
            for place, entry in enumerate(self.entries)
            for rank, choice in _choices(entry, media_types)
            if multipart in (None, choice.multipart)
        ]
        return min(ranked, key=lambda each: each[:3])[3] if ranked else None


@lru_cache(maxsize=_CACHED_HEADERS)
def accepted_types(accept: str | None) -> AcceptedTypes:
    """Return what the Accept header says. None, no header, accepts everything.

    Raises `NotAcceptable` if no entry admits any rendered media type.
    """
    accepted = AcceptedTypes(tuple(accept_entries("*/*" if accept is None else accept)))
    if accepted.choice(RENDERED_TYPES) is None:
        raise NotAcceptable(UNACCEPTABLE)
    return accepted


@lru_cache(maxsize=_CACHED_HEADERS)
def accepted_thumbnail_types(accept: str | None) -> AcceptedTypes:
    """Return what the Accept header of a thumbnail says. Raises `NotAcceptable` if no entry admits a single image."""
    accepted = accepted_types(accept)
    if accepted.choice(IMAGE_TYPES, multipart=False) is None:
        raise NotAcceptable(UNACCEPTABLE)
    return accepted


def _choices(entry: AcceptEntry, media_types: Sequence[str]) -> Iterator[tuple[int, Choice]]:
    """Yield what one entry admits, each with its rank: 0 for the default by a wildcard, 1 for the others."""
    multipart = entry.name in _RELATED
    wanted = entry.parameters.get("type", "*/*").lower() if multipart else entry.name
    for media_type in media_types:
        if wanted == media_type.lower():
            yield 1, Choice(media_type, multipart)
        elif wanted == "*/*" or (wanted.endswith("/*") and media_type.lower().startswith(wanted[:-1])):
            yield int(media_type != media_types[0]), Choice(media_type, multipart)
