"""Is this body an instance, may it be stored, and what of it is kept? (conformance §3.5, "Validation", "What is stored")."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.dicom.encoding.frames import FrameTable, frame_table
from app.dicom.encoding.part10 import Part10, parse
from app.dicom.encoding.uids import IMPLICIT_LITTLE, PADDING
from app.dicom.encoding.vr import tag_text
from app.dicom.json.dataset import JsonAttributes, JsonDataset, first_of
from app.dicom.json.model import describe, first_text
from app.dicom.query import query_tag_values
from app.dicom.validation.attributes import INDEXED, UIDS, Attribute, ExtendedAttributes, Level
from app.dicom.validation.instance_rules import REQUIRED, check_indexed, check_required
from app.errors import InvalidInstance
from app.services.policy import Policy
from app.services.store.report import DATASET_MISMATCH, INVALID, INVALID_ATTRIBUTES, FailedInstance

_SOP_CLASS: Final = 0x00080016
_STUDY: Final = 0x0020000D
_SERIES: Final = 0x0020000E
_INSTANCE: Final = 0x00080018
_KEPT: Final = frozenset(UIDS.values())
"""Attributes that stay in metadata and index even with a warning."""

_INDEXED: Final = {int(each.tag, 16): each.vr for level in INDEXED.values() for each in level}
_WRONG_STUDY: Final = "The StudyInstanceUid in the payload does not match the specified StudyInstanceUid."


@dataclass(frozen=True, slots=True)
class ExaminedInstance:
    """An instance fit to be stored. `attributes` are what the index keeps, `metadata` is its DICOM JSON.

    `tags` are the keys of the extended query tags it was examined for.
    """

    study: str
    series: str
    instance: str
    sop_class: str
    transfer_syntax: str
    attributes: Mapping[Level, JsonAttributes]
    tags: frozenset[str]
    metadata: bytes
    frames: FrameTable | None
    warning: int | None
    comments: tuple[str, ...]
    multiple_values: bool


def examine(
    data: bytes | mmap.mmap, study: str | None, policy: Policy, extended: ExtendedAttributes, *, full: bool
) -> ExaminedInstance | FailedInstance:
    """Return the instance in `data`, or why it is refused.

    `study` is the UID of the request's URL, `full` the setting for validating every element.
    """
    try:
        part10 = parse(data)
        dataset, problems = describe(part10)
        sop_class, instance = first_text(dataset, _SOP_CLASS), first_text(dataset, _INSTANCE)
        found = check_required(part10, lenient=not policy.strict)
        tags = [each for level in extended.values() for each in level]
        faults = list(found.failures) or check_indexed(part10, REQUIRED, lenient=not policy.strict)
        if policy.strict and not faults:
            faults = check_indexed(part10, _INDEXED | _expected(dataset, tags), lenient=False)
            if full:
                faults += [each for each in problems if not each.nested]
        if faults:
            comments = {each.tag: _comment(each.tag, each.text) for each in reversed(faults) if each.text}
            return FailedInstance(INVALID, sop_class, instance, tuple(comments[tag] for tag in sorted(comments)))
        own_study = _uid(dataset, _STUDY)
        if study is not None and own_study.lower() != study.rstrip().lower():
            return FailedInstance(INVALID, sop_class, instance, (_comment(_STUDY, _WRONG_STUDY),))
        warnings = {} if policy.strict else {each.tag: each for each in (*found.warnings, *problems)}
        for each in warnings.values():
            if not each.nested and f"{each.tag:08X}" not in _KEPT:
                dataset.pop(f"{each.tag:08X}", None)
        return ExaminedInstance(
            study=own_study,
            series=_uid(dataset, _SERIES),
            instance=_uid(dataset, _INSTANCE),
            sop_class=(sop_class or "").rstrip(PADDING),
            transfer_syntax=part10.transfer_syntax.uid,
            attributes={
                level: _indexed(dataset, INDEXED[level])
                | query_tag_values.indexed_values(dataset, extended.get(level, ()))
                for level in Level
            },
            tags=frozenset(each.key for each in tags),
            metadata=orjson.dumps(dataset),
            frames=frame_table(data, part10) if part10.pixel_data else None,
            warning=_warning(part10, bool(warnings)),
            comments=tuple(_comment(each.tag, each.text) for each in warnings.values() if each.text),
            multiple_values=_several(dataset, policy, extended),
        )
    except InvalidInstance:
        return FailedInstance(INVALID)


def _comment(tag: int, text: str) -> str:
    return f"DICOM100: {tag_text(tag)} - {text}"


def _uid(dataset: JsonDataset, tag: int) -> str:
    return (first_text(dataset, tag) or "").rstrip(PADDING)


def _warning(part10: Part10, invalid: bool) -> int | None:
    """Implicit VR files do not state what their SOP class asks for; that warning wins (conformance §3.4)."""
    if part10.transfer_syntax.uid == IMPLICIT_LITTLE:
        return DATASET_MISMATCH
    return INVALID_ATTRIBUTES if invalid else None


def _indexed(dataset: JsonDataset, attributes: tuple[Attribute, ...]) -> dict[str, Any]:
    """Return the first values of those attributes that have one; another VR than expected counts as missing (conformance §8.6).

    Only first values, and so no file makes an index row larger than an item may be.
    """
    found = ((each, dataset.get(each.tag)) for each in attributes)
    firsts = ((each.tag, first_of(element)) for each, element in found if element and element["vr"] == each.vr)
    return {tag: element for tag, element in firsts if element}


def _expected(dataset: JsonDataset, tags: list[Attribute]) -> dict[int, str]:
    """Return the VRs of extended query tags, but for private ones whose place another creator took."""
    return {int(each.tag, 16): each.vr for each in tags if query_tag_values.is_own(dataset, each)}


def _several(dataset: JsonDataset, policy: Policy, extended: ExtendedAttributes) -> bool:
    """Tell whether the answer must warn that only first values are indexed: in v2 for PatientID alone."""
    tags = ["00100020"]
    if policy.strict:
        tags = [each.tag for level in Level for each in (*INDEXED[level], *extended.get(level, ()))]
    return any(len(dataset.get(tag, {}).get("Value", ())) > 1 for tag in tags)
