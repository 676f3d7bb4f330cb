"""The rules that a new extended query tag must meet, in the order of conformance §8.3 and with its literal texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.dicom.encoding.vr import LONG_FORM, SHORT_FORM, dictionary_vr
from app.dicom.query.query_tag_values import SUPPORTED, is_private, is_private_creator
from app.dicom.validation.attributes import CORE, Level, tag_of
from app.dicom.validation.instance_rules import fault_of_value
from app.errors import InvalidRequest

UNPARSABLE: Final = "The extended query tag '{p}' is invalid as it cannot be parsed into a valid Dicom Tag."

_CODES: Final = frozenset((*SHORT_FORM.values(), *LONG_FORM.values()))
_HEX: Final = frozenset("0123456789abcdefABCDEF")


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRequest:
    """A tag as the request spells it. Absent texts are empty."""

    path: str
    level: Level
    vr: str
    creator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TagDefinition:
    """A tag that meets the rules about a single tag. `path` is 8 upper-case hex digits, and `vr` is never empty."""

    path: str
    vr: str
    level: Level
    creator: str


def any_tag(name: str) -> str:
    """Return the tag of a keyword or of any 8 hex digits, as 8 upper-case hex digits. Raises `InvalidRequest`."""
    if len(name) == 8 and _HEX.issuperset(name):
        return name.upper()
    found = tag_of(name)
    if found is None:
        raise InvalidRequest(UNPARSABLE.format(p=name))
    return found


def check(entries: Sequence[TagRequest]) -> list[TagDefinition]:
    """Return the definitions of the tags. Raises `InvalidRequest` for the first rule that the first invalid tag
    breaks."""
    if not entries:
        raise InvalidRequest("The extended query tag(s) is missing.")
    definitions: dict[str, TagDefinition] = {}
    for entry in entries:
        path = any_tag(entry.path)
        if path in definitions:
            raise InvalidRequest(f"The extended query tag '{entry.path}' has been specified before.")
        tag = _CheckedTag(path=path, vr=entry.vr.upper(), creator=entry.creator, expected=_dictionary_vrs(path))
        for is_broken, text in _RULES:
            if is_broken(tag):
                expected = tag.expected[0] if tag.expected else ""
                raise InvalidRequest(text.format(p=entry.path, v=entry.vr or tag.used_vr, e=expected))
        definitions[path] = TagDefinition(path=path, vr=tag.used_vr, level=entry.level, creator=entry.creator)
    return list(definitions.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _CheckedTag:
    """The input of the rules. `expected` are the VRs in the dictionary (PS3.6), none for private and unknown tags."""

    path: str
    vr: str
    creator: str
    expected: tuple[str, ...]

    @property
    def used_vr(self) -> str:
        return self.vr or (self.expected[0] if self.expected else "")

    @property
    def needs_creator(self) -> bool:
        return is_private(self.path) and not is_private_creator(self.path)


def _dictionary_vrs(path: str) -> tuple[str, ...]:
    found = dictionary_vr(int(path, 16))
    return () if found == "UN" else tuple(found.split(" or "))


def _is_bad_creator(tag: _CheckedTag) -> bool:
    return bool(tag.creator) and (fault_of_value("LO", tag.creator) is not None or "\\" in tag.creator)


_RULES: Final[tuple[tuple[Callable[[_CheckedTag], bool], str], ...]] = (
    (lambda tag: tag.path in CORE, "The query tag '{p}' is already supported."),
    (lambda tag: bool(tag.vr) and tag.vr not in _CODES, "The VR code '{v}' for tag '{p}' is invalid."),
    (
        lambda tag: bool(tag.vr and tag.expected) and tag.vr not in tag.expected,
        "The VR code '{v}' is incorrectly specified for '{p}'. The expected VR code for it is '{e}'. "
        "Retry this request either with the correct VR code or without specifying it.",
    ),
    (
        lambda tag: bool(tag.used_vr) and tag.used_vr not in SUPPORTED,
        "The VR code '{v}' specified for tag '{p}' is not supported.",
    ),
    (lambda tag: not tag.used_vr, "The vr for tag '{p}' is missing."),
    (
        lambda tag: tag.needs_creator and not tag.creator.strip(),
        "The private creator for private tag '{p}' is missing.",
    ),
    (
        lambda tag: tag.needs_creator and _is_bad_creator(tag),
        "The private creator for tag '{p}' is not a valid LO attribute.",
    ),
    (
        lambda tag: bool(tag.creator) and not is_private(tag.path),
        "The private creator is not empty for standard tag '{p}'.",
    ),
    (
        lambda tag: bool(tag.creator) and is_private_creator(tag.path),
        "The private creator is not empty for private identification code '{p}'.",
    ),
)
"""A function that tells whether a tag breaks the rule, and the error text."""
