"""Structured reports, key object selections and presentation states as HTML pages (PS3.3 A.35, C.17, C.11)."""

from __future__ import annotations

from typing import Final

from app.dicom.encoding.attribute_reader import AttributeReader
from app.imaging.documents import value_text
from app.imaging.documents.content_items import CONCEPT_NAME, WRITERS, write_unknown
from app.imaging.documents.page import Page, text
from app.imaging.documents.references import (
    REFERENCED_IMAGES,
    REFERENCED_INSTANCES,
    REFERENCED_SERIES,
    Link,
    References,
)

MAX_ITEMS: Final = 50_000
"""The largest number of content items in a page. It bounds time and memory."""

_VALUE_TYPE: Final = 0x0040A040
_RELATIONSHIP: Final = 0x0040A010
_CONTENT: Final = 0x0040A730
_REFERENCED_ITEM: Final = 0x0040DB73
_OBSERVED: Final = 0x0040A032
_TEMPLATE: Final = 0x0040A504
_TEMPLATE_ID: Final = 0x0040DB00
_TEMPLATE_SOURCE: Final = 0x00080105
_KNOWN: Final = frozenset((_VALUE_TYPE, _RELATIONSHIP, _CONTENT, _REFERENCED_ITEM, _OBSERVED, _TEMPLATE, CONCEPT_NAME))

_FLAGS: Final = ((0x0040A491, "Completion"), (0x0040A493, "Verification"), (0x0040A496, "Preliminary"))
_COMPLETION_REASON: Final = 0x0040A492
_VERIFIERS: Final = 0x0040A073
_VERIFIER_NAME: Final = 0x0040A075
_VERIFIED: Final = 0x0040A030
_VERIFIER_ORGANIZATION: Final = 0x0040A027
_AUTHORS: Final = 0x0040A078
_PARTICIPANTS: Final = 0x0040A07A
_PERSON: Final = 0x0040A123
_PARTICIPATION: Final = 0x0040A080
_DEVICE: Final = 0x00081010
_INSTITUTION: Final = 0x00080080
_MAX_OBSERVERS: Final = 100

_HEADER: Final = (
    ("Patient", 0x00100010, value_text.person),
    ("Patient ID", 0x00100020, str),
    ("Birth date", 0x00100030, value_text.date),
    ("Sex", 0x00100040, str),
    ("Study", 0x00081030, str),
    ("Study date", 0x00080020, value_text.date),
    ("Accession number", 0x00080050, str),
    ("Series", 0x0008103E, str),
    ("Referring physician", 0x00080090, value_text.person),
    ("Institution", _INSTITUTION, str),
    ("Manufacturer", 0x00080070, str),
    ("Content date", 0x00080023, value_text.date),
    ("Content time", 0x00080033, value_text.time),
    ("Label", 0x00700080, str),
    ("Description", 0x00700081, str),
    ("Creator", 0x00700084, value_text.person),
    ("Created", 0x00700082, value_text.date),
)
"""What a page says above the content: label, attribute, and how its first value is shown."""


def report_page(attributes: AttributeReader, name: str, link: Link) -> bytes:
    """Return a structured report as HTML in UTF-8. `name` is that of the SOP class, for a report without a title."""
    title = value_text.code(attributes.item(CONCEPT_NAME)) or name
    page = _begun(attributes, title)
    _observers(page, attributes)
    tree = _ContentTree(page, References.of_evidence(attributes, link))
    tree.notes(attributes)
    tree.children(attributes, "1", 1)
    if tree.items > MAX_ITEMS or page.is_full:
        page.element("p", "The report is longer than this page. What follows is left out.", "warning")
    return page.finished()


def presentation_page(attributes: AttributeReader, name: str, link: Link) -> bytes:
    """Return what a presentation state says of itself, and links to its images, as HTML in UTF-8."""
    page = _begun(attributes, name)
    references = References.of_series(attributes, link)
    page.element("h2", "Referenced images")
    count = 0
    for series in attributes.items(REFERENCED_SERIES):
        for tag in (REFERENCED_IMAGES, REFERENCED_INSTANCES):
            for reference in series.items(tag):
                count += 1
                if count > MAX_ITEMS or page.is_full:
                    page.element("p", "There are more images. They are left out.", "warning")
                    return page.finished()
                with page.inside("div", 'class="item"'):
                    references.write(page, reference)
    return page.finished()


def _begun(attributes: AttributeReader, title: str) -> Page:
    """Return a page with its title, and what is known of patient, study and document."""
    page = Page(title)
    page.element("h1", title)
    for tag, label in _FLAGS:
        if value := attributes.text(tag):
            page.element("span", f"{label}: {value}", "flag")
    if reason := attributes.text(_COMPLETION_REASON):
        page.element("span", reason, "note")
    page.facts([(label, shown(attributes.text(tag))) for label, tag, shown in _HEADER])
    return page


def _observers(page: Page, attributes: AttributeReader) -> None:
    """Write who verified the document, who wrote it, and who else took part."""
    rows = []
    for number, each in enumerate(attributes.items(_VERIFIERS)):
        if number == _MAX_OBSERVERS:
            break
        when = value_text.date_time(each.text(_VERIFIED))
        parts = (value_text.person(each.text(_VERIFIER_NAME)), each.text(_VERIFIER_ORGANIZATION), when)
        rows.append(("Verified by", ", ".join(filter(None, parts))))
    for label, tag in (("Author", _AUTHORS), ("Participant", _PARTICIPANTS)):
        for number, each in enumerate(attributes.items(tag)):
            if number == _MAX_OBSERVERS:
                break
            name = value_text.person(each.text(_PERSON)) or each.text(_DEVICE)
            parts = (name, each.text(_INSTITUTION), each.text(_PARTICIPATION))
            rows.append((label, ", ".join(filter(None, parts))))
    if rows:
        page.facts(rows)


class _ContentTree:
    """Writes the content items of one report. An item at place 1.2 is the second one of the root, as references say."""

    def __init__(self, page: Page, references: References) -> None:
        self._page = page
        self._references = references
        self.items = 0

    def children(self, parent: AttributeReader, place: str, depth: int) -> None:
        """Write the content of an item. `depth` is that of the items in it, from 1."""
        for number, item in enumerate(parent.items(_CONTENT), 1):
            self.items += 1
            if self.items > MAX_ITEMS or self._page.is_full:
                return
            self._item(item, f"{place}.{number}", depth)

    def _item(self, item: AttributeReader, place: str, depth: int) -> None:
        value_type = item.text(_VALUE_TYPE)
        name = value_text.code(item.item(CONCEPT_NAME))
        if value_type == "CONTAINER":
            with self._page.inside("section", f'id="item-{place}"'):
                heading = f"h{min(6, depth + 1)}"
                with self._page.inside(heading):
                    self._page.raw(text(name or "Section"))
                self._relationship(item)
                self.notes(item)
                self.children(item, place, depth + 1)
            return
        with self._page.inside("div", f'class="item" id="item-{place}"'):
            self._relationship(item)
            if name:
                self._page.raw(f'<span class="name">{text(name)}:</span> ')
            self._value(item, value_type)
            self.notes(item)
            if _CONTENT in item:
                with self._page.inside("div", 'class="nested"'):
                    self.children(item, place, depth + 1)

    def _value(self, item: AttributeReader, value_type: str) -> None:
        if _REFERENCED_ITEM in item:
            place = ".".join(str(int(number)) for number in item.numbers(_REFERENCED_ITEM)[:64])
            self._page.raw(f'<a href="#item-{place}">see item {place}</a>\n')
        elif write := WRITERS.get(value_type):
            write(self._page, item, self._references)
        else:
            self._page.element("span", f"value of the type {value_type or 'unknown'}", "note")
            write_unknown(self._page, item, _KNOWN)

    def _relationship(self, item: AttributeReader) -> None:
        relationship = item.text(_RELATIONSHIP)
        if relationship not in ("", "CONTAINS"):
            self._page.element("span", relationship.lower(), "note")

    def notes(self, item: AttributeReader) -> None:
        """Write when an item was observed, and which template its content has."""
        if observed := item.text(_OBSERVED):
            self._page.element("span", f"observed {value_text.date_time(observed)}", "note")
        template = item.item(_TEMPLATE)
        if template is not None:
            named = f"{template.text(_TEMPLATE_ID)} {template.text(_TEMPLATE_SOURCE)}".strip()
            self._page.element("span", f"template {named}", "note")
