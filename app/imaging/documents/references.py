"""References to other objects: where each is, and links to their pictures (PS3.3 C.17.2, C.12.1)."""

from __future__ import annotations

from typing import Final, Protocol

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.uids import is_uid
from app.imaging.documents.kinds import class_name
from app.imaging.documents.page import Page, text

EVIDENCE: Final = (0x0040A375, 0x0040A385, 0x0040A360, 0x0040A525)
"""Current and other evidence, predecessor and identical documents: studies with series with instances."""
REFERENCED_SERIES: Final = 0x00081115
REFERENCED_INSTANCES: Final = 0x00081199
REFERENCED_IMAGES: Final = 0x00081140
STUDY: Final = 0x0020000D
SERIES: Final = 0x0020000E
SOP_CLASS: Final = 0x00081150
SOP_INSTANCE: Final = 0x00081155
_FRAMES: Final = 0x00081160
_SEGMENTS: Final = 0x0062000B
_CHANNELS: Final = 0x0040A0B0

_MAX_PLACES: Final = 100_000
"""The largest number of instances whose place is kept. It bounds memory; the others have no link."""
_MAX_LINKS: Final = 32
"""The largest number of links to frames of one instance."""


class Link(Protocol):
    """Returns the absolute URL of a study, a series or an instance."""

    def __call__(self, study: str, series: str | None = None, instance: str | None = None, /) -> str: ...


class References:
    """Writes references of one object. `places` maps an instance to its study and series."""

    def __init__(self, places: dict[str, tuple[str, str]], link: Link) -> None:
        self._places = places
        self._link = link

    @classmethod
    def of_evidence(cls, attributes: AttributeReader, link: Link) -> References:
        """Return the references of a report: its evidence says where the instances are."""
        places: dict[str, tuple[str, str]] = {}
        for tag in EVIDENCE:
            for study in attributes.items(tag):
                _add_series(places, study.text(STUDY), study)
        return cls(places, link)

    @classmethod
    def of_series(cls, attributes: AttributeReader, link: Link) -> References:
        """Return the references of a presentation state: all are in its own study."""
        places: dict[str, tuple[str, str]] = {}
        _add_series(places, attributes.text(STUDY), attributes)
        return cls(places, link)

    def write(self, page: Page, reference: AttributeReader) -> None:
        """Write one referenced instance: its class, its UID as a link, and what of it is meant."""
        uid = reference.text(SOP_INSTANCE)
        place = self._places.get(uid)
        url = f"{self._link(*place, uid)}" if place else ""
        shown = text(uid or "no UID")
        name = class_name(reference.text(SOP_CLASS))
        page.raw(f"{text(name)} " + (_anchor(f"{url}/rendered", shown) if url else f"<span>{shown}</span>"))
        self._frames(page, reference, url)
        for label, tag in (("segments", _SEGMENTS), ("channels", _CHANNELS)):
            if tag in reference:
                page.raw(f' <span class="note">{label} {text(", ".join(reference.texts(tag)[:200]))}</span>')
        state = reference.item(REFERENCED_INSTANCES)
        if state is not None:
            page.raw(' <span class="note">shown with</span> ')
            self._plain(page, state)
        page.raw("\n")

    def _plain(self, page: Page, reference: AttributeReader) -> None:
        """Write a referenced instance without what it refers to."""
        uid = reference.text(SOP_INSTANCE)
        place = self._places.get(uid)
        shown = text(uid or "no UID")
        page.raw(f"{text(class_name(reference.text(SOP_CLASS)))} ")
        page.raw(_anchor(f"{self._link(*place, uid)}/rendered", shown) if place else f"<span>{shown}</span>")

    @staticmethod
    def _frames(page: Page, reference: AttributeReader, url: str) -> None:
        numbers = [int(number) for number in reference.numbers(_FRAMES) if 0 < number < 1 << 31]
        if not numbers:
            return
        shown = [
            _anchor(f"{url}/frames/{number}/rendered", str(number)) if url else str(number)
            for number in numbers[:_MAX_LINKS]
        ]
        rest = f" … ({len(numbers)} frames)" if len(numbers) > _MAX_LINKS else ""
        page.raw(f' <span class="note">frames {", ".join(shown)}{rest}</span>')


def _anchor(url: str, shown: str) -> str:
    """Return a link. `shown` is HTML."""
    return f'<a href="{text(url)}">{shown}</a>'


def _add_series(places: dict[str, tuple[str, str]], study: str, attributes: AttributeReader) -> None:
    """Add the instances of the referenced series. Text that is no UID never becomes a part of a URL."""
    for series in attributes.items(REFERENCED_SERIES):
        series_uid = series.text(SERIES)
        for tag in (REFERENCED_INSTANCES, REFERENCED_IMAGES):
            for instance in series.items(tag):
                uid = instance.text(SOP_INSTANCE)
                if len(places) >= _MAX_PLACES:
                    return
                if all(map(is_uid, (study, series_uid, uid))):
                    places.setdefault(uid, (study, series_uid))
