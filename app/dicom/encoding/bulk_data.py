"""Finds bulk data in a file by its path, and returns it in little endian (PS3.18 §8.7.3.3, conformance §4.14).

A path is the tag of an attribute, after the tags of the sequences that it lies in and the numbers of their items, from
0: `54000100/0/54001010`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from app.dicom.encoding.elements import Fragments, LargeValue, RawElement
from app.dicom.encoding.frames import pixel_word
from app.dicom.encoding.part10 import Part10
from app.dicom.encoding.transcode import swapped
from app.dicom.encoding.vr import BULK, FIRST_TAG, WORD_SIZE
from app.errors import InvalidRequest

_PATH: Final = re.compile(r"[0-9A-F]{8}(?:/(?:0|[1-9][0-9]{0,8})/[0-9A-F]{8}){0,64}", re.ASCII)

ReadRange = Callable[[int, int], Iterator[bytes]]
"""Takes the first byte and the number of bytes of a value, and returns chunks."""


class BulkPlace(NamedTuple):
    """`length` bytes at `offset` of a file, inflated if it is `deflated`. `word` is the bytes of a word in big endian.

    `word` is 1 if no bytes have to be reversed.
    """

    offset: int
    length: int
    word: int = 1
    deflated: bool = False


def place_of(part10: Part10, element: RawElement) -> BulkPlace:
    """Return the place of an element of bulk data that is not in fragments."""
    pixels = part10.pixel_data
    is_pixels = pixels is not None and pixels.offset == element.offset
    word = 1 if part10.little else pixel_word(part10) if is_pixels else WORD_SIZE.get(element.vr, 1)
    return BulkPlace(element.offset, element.length, word, part10.transfer_syntax.deflated)


def checked_path(text: str) -> str:
    """Return a path with upper-case tags. Raises `InvalidRequest` for text that is no path."""
    path = text.strip("/").upper()
    if not _PATH.fullmatch(path):
        raise InvalidRequest(
            f"The bulk data path '{text[:200]}' is invalid. A path is a tag of 8 hex digits, after the tags of its "
            "sequences and the numbers of their items, as in 54000100/0/54001010."
        )
    return path


def element_at(part10: Part10, path: str) -> RawElement | None:
    """Return the element of bulk data at a checked path, None if there is none. Long sequences are read to the item."""
    tag, *steps = path.split("/")
    element = part10.get(int(tag, 16))
    for number, inner in zip(steps[::2], steps[1::2], strict=True):
        items = element.items if element is not None else None
        item = next(islice(items, int(number), None), ()) if items is not None else ()
        element = next((each for each in reversed(item) if each.tag == int(inner, 16)), None)
    return element if element is not None and is_bulk(element) else None


def bulk_elements(part10: Part10) -> Iterator[tuple[str, RawElement]]:
    """Yield the elements of bulk data with their paths. Items of long sequences are read one at a time."""
    return _within(part10.by_tag.values(), "")


def _within(elements: Iterable[RawElement], prefix: str) -> Iterator[tuple[str, RawElement]]:
    for element in elements:
        path = f"{prefix}{element.tag:08X}"
        if element.items is not None:
            for number, item in enumerate(element.items):
                yield from _within(item, f"{path}/{number}/")
        elif is_bulk(element):
            yield path, element


def is_bulk(element: RawElement) -> bool:
    """Return whether an element is bulk data: its VR is binary, or its value is too long to load."""
    is_in_dataset = element.tag >= FIRST_TAG and element.tag & 0xFFFF
    return bool(is_in_dataset) and (element.vr in BULK or isinstance(element.value, LargeValue | Fragments))


def in_little_endian(read: ReadRange, word: int, size: int) -> ReadRange:
    """Return a function that reads ranges of a value of `size` bytes as if it were stored in little endian.

    `read` returns the bytes in big endian, in words of `word` bytes. An incomplete last word is not changed.
    """

    def read_swapped(start: int, length: int) -> Iterator[bytes]:
        first = start - start % word
        stop = min(size, start + length + -(start + length) % word)
        waiting, skipped, left = b"", start - first, length
        for chunk in read(first, stop - first):
            waiting += chunk
            cut = len(waiting) - len(waiting) % word
            piece = swapped(waiting[:cut], word)[skipped : skipped + left]
            waiting = waiting[cut:]
            skipped = max(0, skipped - cut)
            left -= len(piece)
            yield piece
        yield waiting[skipped : skipped + left]

    return read if word == 1 else read_swapped
