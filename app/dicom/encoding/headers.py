"""Headers of elements that do not have the form of their encoding (PS3.5 §7.1).

Some writers give UT, OB or UN a length of 16 bits, write VR bytes that are no VR, or write an element without a VR into
an explicit dataset. Such a header has several readings. The reading after which the dataset continues is the right one.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from app.dicom.encoding.elements import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, Encoding
from app.dicom.encoding.vr import KEYS, LONG_FORM, SHORT_FORM, dictionary_vr, implicit_vr

IDENTIFYING: Final = frozenset({0x00080016, 0x00080018, 0x00100020, 0x0020000D, 0x0020000E})
"""Tags that an instance cannot be stored without. They keep the VR of the dictionary if their VR bytes are no VR."""


class Reading(NamedTuple):
    """One reading of a header: VR, offset and length of the value, and whether the header breaks PS3.5 §7.1."""

    vr: str
    start: int
    length: int
    is_odd: bool


def best_reading(data: Any, position: int, end: int, encoding: Encoding, *, signed: bool) -> Reading | None:
    """Return the best reading of a header in an explicit dataset, None if the value of every reading is too long.

    `signed` is the Pixel Representation of the dataset.
    """
    group, number, code, short_length = encoding.header.unpack_from(data, position)
    tag = group << 16 | number
    possible = [
        each
        for each in _readings(data, position, end, encoding, (tag, code, short_length), signed=signed)
        if each.length == UNDEFINED or each.start + each.length <= end
    ]
    # Zeros after a value are padding, or they belong to the value. So readings that an element follows come first.
    for may_be_padded in (False, True):
        for each in possible:
            if continues(data, each.start, each.length, end, tag, encoding, may_be_padded=may_be_padded):
                return each
    # A short form of length 0 is only the right one if the dataset continues after it: the file may be cut short.
    return next((each for each in possible if 0 < each.length < UNDEFINED), None)


def continues(
    data: Any, start: int, length: int, end: int, tag: int, encoding: Encoding, *, may_be_padded: bool
) -> bool:
    """Tell whether a value of `length` bytes at `start` is followed by the end, a delimiter, or a later element.

    Zeros may follow if `may_be_padded`. A value of undefined length must begin with an item.
    """
    if length == UNDEFINED:
        return start + 8 <= end and _tag(data, start, encoding) in (ITEM, SEQUENCE_END)
    stop = start + length
    if stop > end - 8:
        return stop <= end and not bytes(data[stop:end]).strip(b"\0")
    following = _tag(data, stop, encoding)
    if following in (ITEM_END, SEQUENCE_END):
        return True
    if following <= tag or following >> 16 == 0xFFFF:
        return may_be_padded and following == 0
    code = bytes(data[stop + 4 : stop + 6])
    return (encoding.explicit and (code in SHORT_FORM or code in LONG_FORM)) or following in KEYS


def begins_element(data: Any, position: int, end: int, last: int, encoding: Encoding) -> bool:
    """Tell whether the bytes at `position` are the header of an element with a later tag than `last`."""
    if position + 8 > end or _tag(data, position, encoding) <= last:
        return False
    tag, code = _tag(data, position, encoding), bytes(data[position + 4 : position + 6])
    if encoding.explicit:
        return code in SHORT_FORM or code in LONG_FORM
    return tag in KEYS or tag >> 16 & 1 == 1


def begins_explicit(data: Any, start: int, end: int, encoding: Encoding) -> bool:
    """Tell whether the first element in the items at `start` has a VR."""
    while start + 16 <= end and _tag(data, start, encoding) == ITEM:
        code = bytes(data[start + 12 : start + 14])
        if code in SHORT_FORM or code in LONG_FORM:
            return True
        if int.from_bytes(data[start + 4 : start + 8], "little") != 0:
            return False
        start += 8  # an empty item
    return False


def _tag(data: Any, position: int, encoding: Encoding) -> int:
    group, number, _length = encoding.item.unpack_from(data, position)
    return int(group) << 16 | int(number)


def _readings(
    data: Any, position: int, end: int, encoding: Encoding, header: tuple[int, bytes, int], *, signed: bool
) -> list[Reading]:
    """Return the readings of a header, the most likely one first."""
    tag, code, short_length = header
    (implicit_length,) = encoding.number.unpack_from(data, position + 4)
    long_length = None
    if position + 12 <= end:
        (long_length,) = encoding.number.unpack_from(data, position + 8)
    capital = code.isalpha() and code.isupper()
    vr = LONG_FORM.get(code, "UN")
    if vr == "UN" and not capital and tag in IDENTIFYING:
        vr = dictionary_vr(tag)
    short = Reading(vr, position + 8, short_length, code in LONG_FORM or not capital)
    implicit = Reading(implicit_vr(tag, implicit_length, signed=signed), position + 8, implicit_length, False)
    found = [short] if capital else [implicit, short]
    if long_length is not None:
        # All new VRs have the long form, with two reserved bytes that are zero.
        long = Reading(vr, position + 12, long_length, short_length != 0 or not capital)
        if capital and (code in LONG_FORM or not short_length):
            found.insert(0, long)
        else:
            found.append(long)
    return found
