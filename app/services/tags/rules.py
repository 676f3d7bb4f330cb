"""What an extended query tag must be to be added: the rules of conformance §8.3, in their order and with their texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from app.dicom.encoding.vr import LONG_FORM, SHORT_FORM, dictionary_vr
from app.dicom.query.query_tag_values import SUPPORTED, is_private, is_private_creator
from app.dicom.validation.attributes import CORE, Level, tag_of
from app.dicom.validation.instance_rules import fault_of_value
from app.errors import InvalidRequest

UNPARSABLE: Final = "The extended query tag '{p}' is invalid as it cannot be parsed into a valid Dicom Tag."

_CODES: Final = frozenset((*SHORT_FORM.values(), *LONG_FORM.values()))
_HEX: Final = frozenset("0123456789abcdefABCDEF")


class TagRequest(NamedTuple):
    """A tag as it was asked for: the body's own spelling, absent texts empty."""

    path: str
    level: Level
    vr: str
    creator: str


@dataclass(frozen=True, slots=True)
class TagDefinition:
    """A tag that keeps to the rules, but for those that are about others: normalised, its VR filled in."""

    path: str
    vr: str
    level: Level
    creator: str


def any_tag(name: str) -> str:
    """Return the tag of a keyword, or of any 8 hex digits; raises `InvalidRequest`."""
    if len(name) == 8 and _HEX.issuperset(name):
        return name.upper()
    found = tag_of(name)
    if found is None:
        raise InvalidRequest(UNPARSABLE.format(p=name))
    return found


def check(entries: Sequence[TagRequest]) -> list[TagDefinition]:
    """Return the tags as they are to be defined; raises `InvalidRequest` for the first rule that the first bad one
    breaks."""
    if not entries:
        raise InvalidRequest("The extended query tag(s) is missing.")
    wanted: dict[str, TagDefinition] = {}
    for entry in entries:
        path = any_tag(entry.path)
        if path in wanted:
            raise InvalidRequest(f"The extended query tag '{entry.path}' has been specified before.")
        facts = _Facts(path, entry.vr.upper(), entry.creator, _dictionary(path))
        for broken, text in _RULES:
            if broken(facts):
                expected = facts.expected[0] if facts.expected else ""
                raise InvalidRequest(text.format(p=entry.path, v=entry.vr or facts.used, e=expected))
        wanted[path] = TagDefinition(path, facts.used, entry.level, entry.creator)
    return list(wanted.values())


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the rules look at; `expected` are the dictionary's VRs, none for private and unknown tags."""

    path: str
    vr: str
    creator: str
    expected: tuple[str, ...]

    @property
    def used(self) -> str:
        return self.vr or (self.expected[0] if self.expected else "")

    @property
    def needs_creator(self) -> bool:
        return is_private(self.path) and not is_private_creator(self.path)


def _dictionary(path: str) -> tuple[str, ...]:
    found = dictionary_vr(int(path, 16))
    return () if found == "UN" else tuple(found.split(" or "))


def _is_bad_creator(facts: _Facts) -> bool:
    return bool(facts.creator) and (fault_of_value("LO", facts.creator) is not None or "\\" in facts.creator)


_RULES: Final[tuple[tuple[Callable[[_Facts], bool], str], ...]] = (
    (lambda tag: tag.path in CORE, "The query tag '{p}' is already supported."),
    (lambda tag: bool(tag.vr) and tag.vr not in _CODES, "The VR code '{v}' for tag '{p}' is invalid."),
    (
        lambda tag: bool(tag.vr and tag.expected) and tag.vr not in tag.expected,
        "The VR code '{v}' is incorrectly specified for '{p}'. The expected VR code for it is '{e}'. "
        "Retry this request either with the correct VR code or without specifying it.",
    ),
    (
        lambda tag: bool(tag.used) and tag.used not in SUPPORTED,
        "The VR code '{v}' specified for tag '{p}' is not supported.",
    ),
    (lambda tag: not tag.used, "The vr for tag '{p}' is missing."),
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
"""Whether a rule is broken, and what is said then."""
