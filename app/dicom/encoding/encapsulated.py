"""Reads the places of the fragments of encapsulated data (PS3.5 §A.4)."""

from __future__ import annotations

from array import array
from typing import Any, Final

from app.dicom.encoding import limits
from app.dicom.encoding.elements import ITEM, SEQUENCE_END, UNDEFINED, Encoding, Fragments
from app.dicom.encoding.limits import limit_exceeded, refuse
from app.dicom.encoding.vr import tag_text

STARTS_OF_IMAGE: Final = (
    b"\xff\xd8",  # JPEG, JPEG-LS
    b"\xff\x4f\xff\x51",  # JPEG 2000, HTJ2K codestream
    b"\x00\x00\x00\x0cjP  ",  # JPEG 2000 file
    b"\xff\x0a",  # JPEG XL codestream
    b"\x00\x00\x00\x0cJXL ",  # JPEG XL file
)
"""The first bytes of the first fragment of a frame. They separate frames if there is no offset table."""


def read_fragments(data: Any, position: int, end: int, encoding: Encoding) -> tuple[Fragments, int]:
    """Return the fragments at `position` and the offset after their delimiter.

    The first item is the offset table. Some writers leave it out: an image in the first item is a fragment. Raises
    `InvalidInstance` if they do not end before `end`, `LimitExceeded` if there are too many.
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
            has_table = bool(starts) and not bytes(data[starts[0] : starts[0] + 8]).startswith(STARTS_OF_IMAGE)
            offset, length = (starts.pop(0), sizes.pop(0)) if has_table else (position, 0)
            return Fragments(table_offset=offset, table_length=length, starts=starts, sizes=sizes), position
        if tag != ITEM or length == UNDEFINED:
            refuse(position, f"{tag_text(tag)} stands where a fragment should")
        if len(starts) > limits.MAX_TOTAL:
            raise limit_exceeded(position, f"encapsulated data has more than {limits.MAX_TOTAL} fragments")
        starts.append(position)
        sizes.append(length)
        position += length
