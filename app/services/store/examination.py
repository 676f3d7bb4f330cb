"""The examination of a body: whether it is an instance that may be stored, and what the archive stores of it.

Conformance §3.5 has the rules, conformance §3.9 the attributes that are stored.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from app.dicom.encoding.elements import RawElement
from app.dicom.encoding.frames import FrameTable, frame_table
from app.dicom.encoding.part10 import TRANSFER_SYNTAX_UID, Part10, parse
from app.dicom.encoding.uids import IMPLICIT_LITTLE, PADDING, is_uid
from app.dicom.encoding.vr import tag_text
from app.dicom.json.dataset import JsonAttributes, JsonDataset, first_of
from app.dicom.json.model import Description, Inline, describe, first_text
from app.dicom.query import query_tag_values
from app.dicom.validation.attributes import INDEXED, UIDS, Attribute, ExtendedAttributes, Level
from app.dicom.validation.instance_rules import REQUIRED, ValueProblem, check_indexed, check_required
from app.errors import IDENTIFIER_RULE, InvalidInstance
from app.services.policy import Policy
from app.services.store.report import DATASET_MISMATCH, INVALID, INVALID_ATTRIBUTES, FailedInstance
from app.storage.index.plan import NewInstance
from app.storage.records import packed_documents
from app.storage.records.leftovers import InstanceVersion
from app.storage.records.posted_values import PostedValues, posted_values

_SOP_CLASS: Final = 0x00080016
_STUDY: Final = 0x0020000D
_SERIES: Final = 0x0020000E
_INSTANCE: Final = 0x00080018
_META_SOP_CLASS: Final = 0x00020002
_META_INSTANCE: Final = 0x00020003
_IDENTIFYING: Final = frozenset({_SOP_CLASS, _INSTANCE, _META_SOP_CLASS, _META_INSTANCE})
_NEVER_DROPPED: Final = frozenset(UIDS.values())
"""Attributes that stay in metadata and index although there is a warning about them."""

_INDEXED: Final = {int(each.tag, 16): each.vr for level in INDEXED.values() for each in level}
_NO_UID: Final = f"Dicom element 'TransferSyntaxUID' failed validation for VR 'UI': {IDENTIFIER_RULE}"
_WRONG_STUDY: Final = "The StudyInstanceUid in the payload does not match the specified StudyInstanceUid."


@dataclass(frozen=True, slots=True, kw_only=True)
class ExaminedInstance:
    """An instance that may be stored.

    `attributes` are what the index keeps. `posted` is as in `records/posted_values.py`. `tags` are the keys of the
    extended query tags that it was examined for. `metadata` (DICOM JSON) and `frames` (the frame table, empty if the
    file needs none) are packed documents. `native` is as in `InstanceRow`.
    """

    study: str
    series: str
    instance: str
    sop_class: str
    transfer_syntax: str
    attributes: Mapping[Level, JsonAttributes]
    tags: frozenset[str]
    posted: Mapping[Level, PostedValues]
    metadata: bytes
    frames: bytes
    native: tuple[int, ...]
    warning: int | None
    comments: tuple[str, ...]
    multiple_values: bool

    def new_instance(self, version: InstanceVersion, *, size: int, digest: str) -> NewInstance:
        """Return what the index stores of the instance, whose file has this version, size in bytes, and digest."""
        return NewInstance(
            version=version,
            sop_class=self.sop_class,
            transfer_syntax=self.transfer_syntax,
            size=size,
            digest=digest,
            attributes=self.attributes,
            metadata=self.metadata,
            frames=self.frames,
            native=self.native,
            tags=self.tags,
            posted=self.posted,
        )


def examine(
    data: bytes | mmap.mmap,
    study: str | None,
    policy: Policy,
    extended: ExtendedAttributes,
    *,
    full: bool,
    folder: Path | None = None,
    inline: Inline = Inline(),  # noqa: B008 - it is immutable
) -> ExaminedInstance | FailedInstance:
    """Return the instance in `data`, or why it is refused.

    `study` is the UID in the URL of the request, `full` the setting for validating every element, `folder` the folder
    for temporary files. `inline` has the sizes of the largest values that are inline in metadata.
    """
    try:
        part10 = parse(data)
    except InvalidInstance as error:
        return _unreadable(error, error.elements)
    try:
        description = describe(part10, folder, data=data, inline=inline)
        dataset, problems = description.dataset, description.problems
        if not is_uid(part10.transfer_syntax.uid):
            return _refused(dataset, [_comment(TRANSFER_SYNTAX_UID, _NO_UID)])
        required = check_required(part10, lenient=not policy.strict)
        faults = list(required.failures) or _faults(part10, dataset, problems, policy, extended, full=full)
        if faults:
            comments = {each.tag: _comment(each.tag, each.text) for each in reversed(faults) if each.text}
            return _refused(dataset, [comments[tag] for tag in sorted(comments)])
        if study is not None and _uid(dataset, _STUDY).lower() != study.rstrip().lower():
            return _refused(dataset, [_comment(_STUDY, _WRONG_STUDY)])
        warnings = {} if policy.strict else {each.tag: each for each in (*required.warnings, *problems)}
        return _examined(data, part10, description, list(warnings.values()), policy, extended)
    except InvalidInstance as error:
        return _unreadable(error, part10.elements)


def _faults(
    part10: Part10,
    dataset: JsonDataset,
    problems: Sequence[ValueProblem],
    policy: Policy,
    extended: ExtendedAttributes,
    *,
    full: bool,
) -> list[ValueProblem]:
    """Return the problems for which this version of the API refuses the instance.

    An attribute whose inside or header cannot be read counts as absent, except one of the required ones.
    """
    faults = check_indexed(part10, REQUIRED, lenient=not policy.strict)
    if policy.strict and not faults:
        unreadable = {tag for tag, (_rule, is_nested) in part10.oddities.items() if not is_nested}
        expected = _INDEXED | _expected(dataset, extended)
        readable = {tag: vr for tag, vr in expected.items() if tag not in unreadable}
        faults = check_indexed(part10, readable, lenient=False)
        if full:
            faults += [each for each in problems if not each.nested]
    return faults


def _refused(dataset: JsonDataset, comments: Sequence[str]) -> FailedInstance:
    return FailedInstance(
        reason=INVALID,
        sop_class=first_text(dataset, _SOP_CLASS),
        instance=first_text(dataset, _INSTANCE),
        comments=tuple(comments),
    )


def _unreadable(error: InvalidInstance, elements: Iterable[RawElement]) -> FailedInstance:
    """Return the refusal of a file that cannot be read, with the UIDs among the elements that were read.

    The UIDs of the dataset count. Those of the file meta information stand in for them.
    """
    texts = {
        each.tag: each.value.decode("latin-1").strip(PADDING)
        for each in elements
        if isinstance(each.value, bytes) and each.tag in _IDENTIFYING
    }
    return FailedInstance(
        reason=INVALID,
        sop_class=texts.get(_SOP_CLASS) or texts.get(_META_SOP_CLASS) or None,
        instance=texts.get(_INSTANCE) or texts.get(_META_INSTANCE) or None,
        comments=(str(error),),
    )


def _examined(
    data: bytes | mmap.mmap,
    part10: Part10,
    description: Description,
    warnings: Sequence[ValueProblem],
    policy: Policy,
    extended: ExtendedAttributes,
) -> ExaminedInstance:
    """Return what is stored of an instance. Attributes with a warning are removed from its dataset first."""
    dataset = description.dataset
    sop_class = first_text(dataset, _SOP_CLASS) or ""
    for each in warnings:
        if not each.nested and f"{each.tag:08X}" not in _NEVER_DROPPED:
            dataset.pop(f"{each.tag:08X}", None)
    table = frame_table(data, part10) if part10.pixel_data else None
    native = _native(table)
    return ExaminedInstance(
        study=_uid(dataset, _STUDY),
        series=_uid(dataset, _SERIES),
        instance=_uid(dataset, _INSTANCE),
        sop_class=sop_class.rstrip(PADDING),
        transfer_syntax=part10.transfer_syntax.uid,
        attributes={
            level: _indexed(dataset, INDEXED[level]) | query_tag_values.indexed_values(dataset, extended.get(level, ()))
            for level in Level
        },
        tags=frozenset(each.key for level in extended.values() for each in level),
        posted=posted_values(dataset, sop_class.rstrip(PADDING)),
        metadata=packed_documents.pack_large(orjson.dumps(dataset), description.large_texts()),
        frames=table.pack() if table and table.frames and not native else b"",
        native=native,
        warning=_warning(part10, bool(warnings)),
        comments=tuple(_comment(each.tag, each.text) for each in warnings if each.text),
        multiple_values=_has_multiple_values(dataset, policy, extended),
    )


def _native(table: FrameTable | None) -> tuple[int, ...]:
    """Return the fields of the index row that locate uncompressed frames, empty if a frame table has to do it.

    Frames of a deflated file have no byte range in it, so they need a table too.
    """
    computable = table and table.frame_bits and not table.deflated
    return (table.frames, table.start, table.frame_bits, table.word) if table and computable else ()


def _comment(tag: int, text: str) -> str:
    return f"DICOM100: {tag_text(tag)} - {text}"


def _uid(dataset: JsonDataset, tag: int) -> str:
    return (first_text(dataset, tag) or "").rstrip(PADDING)


def _warning(part10: Part10, invalid: bool) -> int | None:
    """Return the warning reason. A file in Implicit VR has its own warning, which comes first (conformance §3.4)."""
    if part10.transfer_syntax.uid == IMPLICIT_LITTLE:
        return DATASET_MISMATCH
    return INVALID_ATTRIBUTES if invalid else None


def _indexed(dataset: JsonDataset, attributes: tuple[Attribute, ...]) -> dict[str, Any]:
    """Return the first value of each attribute that has one (conformance §8.6).

    An element with another VR than expected counts as missing. Only first values are indexed, so that no file makes an
    index row larger than an item may be.
    """
    found: dict[str, Any] = {}
    for each in attributes:
        element = dataset.get(each.tag)
        first = first_of(element) if element and element["vr"] == each.vr else None
        if first:
            found[each.tag] = first
    return found


def _expected(dataset: JsonDataset, extended: ExtendedAttributes) -> dict[int, str]:
    """Return the VRs of the extended query tags by tag, without private tags that belong to another creator here."""
    tags = (each for level in extended.values() for each in level)
    return {int(each.tag, 16): each.vr for each in tags if query_tag_values.is_own(dataset, each)}


def _has_multiple_values(dataset: JsonDataset, policy: Policy, extended: ExtendedAttributes) -> bool:
    """Tell whether the answer must warn that only first values are indexed. In v2 only PatientID counts."""
    tags = ["00100020"]
    if policy.strict:
        tags = [each.tag for level in Level for each in (*INDEXED[level], *extended.get(level, ()))]
    return any(len(dataset.get(tag, {}).get("Value", ())) > 1 for tag in tags)
