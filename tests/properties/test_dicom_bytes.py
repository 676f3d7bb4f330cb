"""Any bytes are read as an instance or refused with `InvalidInstance`."""

from __future__ import annotations

import struct
from functools import cache

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.dicom.encoding.frames import FrameTable, frame_table
from app.dicom.encoding.part10 import inflated, parse
from app.dicom.encoding.transcode import to_explicit_little
from app.dicom.encoding.uids import is_uid
from app.dicom.encoding.vr import LONG_FORM, SHORT_FORM
from app.dicom.json.model import describe, first_text
from app.dicom.validation import instance_rules
from app.dicom.validation.vr_rules import vr_fault
from app.errors import InvalidInstance, NotAcceptable
from tests.support import instances
from tests.support.raw_elements import EXPLICIT, IMPLICIT, SEQUENCE_END, UNDEFINED, element, implicit, item, part10

EXAMPLES = settings(max_examples=150)
SYNTAXES = [instances.IMPLICIT_LITTLE, instances.EXPLICIT_LITTLE, instances.EXPLICIT_BIG, instances.DEFLATED_LITTLE]


@cache
def small_instances() -> list[bytes]:
    """Small instances of every kind. Their pixel data is short, so that most damage is in the dataset."""
    native = [instances.ct(rows=2, columns=2, transfer_syntax=syntax) for syntax in SYNTAXES]
    pictures = [[[b"\xff\xd8ab", b"cd"], [b"\xff\xd8ef"]]]
    return native + [
        instances.encapsulated(each, table=table) for each in pictures for table in ("basic", "extended", "none")
    ]


def is_accepted(data: bytes) -> bool:
    """Tell whether the bytes are accepted. If they are, every step of a store must succeed on them."""
    try:
        found = parse(data)
        described = describe(found)
    except InvalidInstance as error:
        assert str(error).startswith("The DICOM instance is invalid: ")
        return False
    orjson.dumps(described.dataset)
    orjson.dumps([problem.text for problem in described.problems])
    for lenient in (False, True):
        instance_rules.check_required(found, lenient=lenient)
        instance_rules.check_indexed(
            found, {e.tag: "LO" for e in found.elements} | dict(instance_rules.REQUIRED), lenient=lenient
        )
    table = frame_table(data, found)
    assert FrameTable.unpack(table.pack()) == table
    size = len(inflated(data, found.dataset_offset)) if table.deflated else len(data)
    for number in {1, table.frames} & set(range(1, table.frames + 1)):
        assert all(0 <= start <= start + length <= size for start, length in table.ranges(number))
    try:
        pieces = to_explicit_little(data, found)
    except NotAcceptable:
        return True
    # UN in a big endian file becomes the VR of the dictionary in a little endian file.
    assert describe(parse(b"".join(pieces))).dataset.keys() >= described.dataset.keys()
    return True


@EXAMPLES
@given(
    st.binary(max_size=400), st.sampled_from([EXPLICIT, IMPLICIT, instances.EXPLICIT_BIG, instances.DEFLATED_LITTLE])
)
def test_random_bytes_as_dataset(dataset: bytes, syntax: str) -> None:
    is_accepted(part10(dataset, syntax))


@EXAMPLES
@given(st.binary(max_size=300))
def test_random_bytes_as_file(data: bytes) -> None:
    is_accepted(data)


@pytest.mark.parametrize("which", range(7))
def test_every_truncation_is_refused_or_harmless(which: int) -> None:
    """A cut between two elements, or before a zero byte like padding, cannot be detected. Others must be refused."""
    data = small_instances()[which]
    accepted = [end for end in range(len(data)) if is_accepted(data[:end])]
    found = parse(data)
    assert found.pixel_data is not None
    if found.transfer_syntax.deflated:
        assert all(end >= len(data) - 1 for end in accepted)
    else:
        borders = {each.offset + each.length for each in found.meta + found.elements}
        assert all(
            end in borders or data[max(b for b in borders if b < end) : end] in (b"\0", b" ") for end in accepted
        )
        assert max(accepted) <= found.pixel_data.offset


@EXAMPLES
@given(st.data())
def test_inverted_bits(data: st.DataObject) -> None:
    original = bytearray(data.draw(st.sampled_from(small_instances())))
    for _ in range(data.draw(st.integers(1, 8))):
        position = data.draw(st.integers(128, len(original) - 1))
        original[position] ^= 1 << data.draw(st.integers(0, 7))
    is_accepted(bytes(original))


@EXAMPLES
@given(st.data())
def test_overwritten_words(data: st.DataObject) -> None:
    original = bytearray(data.draw(st.sampled_from(small_instances())))
    word = data.draw(
        st.sampled_from([0, 1, 0xFFFF, UNDEFINED, 0xE000FFFE, 0xE00DFFFE, 0xE0DDFFFE, 0x7FFFFFFF])
        | st.integers(0, UNDEFINED)
    )
    position = data.draw(st.integers(132, len(original) - 4))
    original[position : position + 4] = struct.pack("<L", word)
    is_accepted(bytes(original))


_VRS = sorted((SHORT_FORM | LONG_FORM).values())
_TAGS = st.integers(0x00080000, 0x7FFFFFFF) | st.sampled_from([0x00080005, 0x00280103, 0x7FE00010, 0x00100010])


def _datasets(children: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    items = st.lists(st.builds(item, children, st.sampled_from([None, UNDEFINED])), max_size=3).map(b"".join)
    defined = st.builds(lambda tag, body: element(tag, "SQ", body), _TAGS, items)
    undefined = st.builds(
        lambda tag, vr, body: element(tag, vr, body + SEQUENCE_END, UNDEFINED),
        _TAGS,
        st.sampled_from(["SQ", "UN", "OB"]),
        items,
    )
    return st.lists(defined | undefined, max_size=3).map(b"".join)


_LEAVES = st.lists(
    st.builds(element, _TAGS, st.sampled_from(_VRS).filter(lambda vr: vr != "SQ"), st.binary(max_size=40)), max_size=5
).map(b"".join)


@EXAMPLES
@given(st.recursive(_LEAVES, _datasets, max_leaves=12))
def test_valid_structures_of_random_elements(dataset: bytes) -> None:
    is_accepted(part10(dataset))


@EXAMPLES
@given(st.lists(st.tuples(_TAGS, st.binary(max_size=40)), max_size=8))
def test_random_implicit_elements(elements: list[tuple[int, bytes]]) -> None:
    is_accepted(part10(b"".join(implicit(tag, value) for tag, value in elements), IMPLICIT))


@EXAMPLES
@given(st.sampled_from(_VRS), st.text(max_size=40))
def test_faults_are_complete_messages(vr: str, value: str) -> None:
    message = vr_fault(vr, value)
    assert message is None or message.startswith(f'Content "{value}" does not validate VR {vr}: ')


@EXAMPLES
@given(st.text(alphabet="0123456789. a\0", max_size=70))
def test_is_uid_agrees_with_the_rule(text: str) -> None:
    trimmed = text.rstrip(" ")
    sound = 0 < len(trimmed) <= 64 and set(trimmed) <= set("0123456789.") and not trimmed.endswith(".")
    assert is_uid(text) == sound


@EXAMPLES
@given(st.text(alphabet=st.characters(exclude_categories=["C"], exclude_characters="\\ "), max_size=30))
def test_text_is_the_same_after_encoding_in_utf_8(text: str) -> None:
    data = instances.make_instance(SpecificCharacterSet="ISO_IR 192", patient_id=text.encode(), pixel=False)
    assert first_text(describe(parse(data)).dataset, 0x00100020) == (text or None)
