"""Reads the places of the fragments of encapsulated data (PS3.5 §A.4)."""

from __future__ import annotations

from array import array
from typing import Any

from app.dicom.encoding import limits
from app.dicom.encoding.elements import ITEM, SEQUENCE_END, UNDEFINED, Encoding, Fragments
from app.dicom.encoding.limits import limit_exceeded, refuse
from app.dicom.encoding.vr import tag_text


def read_fragments(data: Any, position: int, end: int, encoding: Encoding) -> tuple[Fragments, int]:
    """Return the fragments at `position` and the offset after their delimiter.

    Raises `InvalidInstance` if they do not end before `end`, `LimitExceeded` if there are too many.
    """
    starts, sizes = array("Q"), array("I")
    unpack = encoding.item.unpack_from
    while True:
        if position + 8 > end:
            refuse(position, "encapsulated data is cut short")
        group, number, length = unpack(data, position)
        tag = group << 16 | number
        position += 8
        if tag == SEQUENCE_END:
            offset, length = (starts.pop(0), sizes.pop(0)) if starts else (position, 0)
            return Fragments(table_offset=offset, table_length=length, starts=starts, sizes=sizes), position
        if tag != ITEM or length == UNDEFINED:
            refuse(position, f"{tag_text(tag)} stands where a fragment should")
        if len(starts) > limits.MAX_TOTAL:
            raise limit_exceeded(position, f"encapsulated data has more than {limits.MAX_TOTAL} fragments")
        starts.append(position)
        sizes.append(length)
        position += length
