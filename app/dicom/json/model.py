"""The DICOM JSON model of a file's dataset, and the values that break their VR, in one pass (PS3.18 Annex F).

Left out at every depth: group lengths, and elements of groups that do not belong in a dataset. `bulk_data` describes
the elements of binary VRs (OB OD OF OL OV OW UN). Text keeps trailing NULs and loses trailing spaces. DS, IS, SV and UV
are numbers if they can be parsed, else strings. A float that JSON has no number for is "NaN", "Infinity" or
"-Infinity". Specific Character Set keeps its value, although JSON is UTF-8. The text of large elements is written to a
temporary file (`large`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import orjson

from app.dicom.encoding.charsets import DEFAULT, SPECIFIC_CHARACTER_SET, Charset, charset
from app.dicom.encoding.elements import Buffer, RawElement, SequenceItem
from app.dicom.encoding.part10 import Part10
from app.dicom.encoding.vr import BULK, FIRST_TAG, KEYS, keyword
from app.dicom.json.bulk_data import INLINE_BINARY_BYTES, INLINE_VALUE_BYTES, LONG_VALUE_VRS, TOO_MANY, BulkElements
from app.dicom.json.dataset import JsonDataset, JsonElement, person_name
from app.dicom.json.large import LARGE_VALUE, TOO_LONG, LargeText, LargeWriter, is_large
from app.dicom.json.values import convert, convert_cached
from app.dicom.validation.instance_rules import ValueProblem
from app.errors import InvalidInstance

MAX_VALUES: Final = 4_000_000
"""The largest number of values in one dataset, at all depths together. Large elements do not count."""
ODD_GROUP: Final = "The element does not belong in a dataset."
MAX_PROBLEMS: Final = 1000
"""The number of problems of one dataset that have a text. Further problems have only a tag."""
CACHED_BYTES: Final = 64
"""The largest size of a value that is cached for the next instance, in bytes."""


class Description(NamedTuple):
    """The JSON model of a dataset, and the attributes that break their VR: one `ValueProblem` for each tag.

    `dataset` has no more than two values of a large element, and no items of a large sequence. `text` returns the JSON
    text of the whole dataset.
    """

    dataset: JsonDataset
    problems: tuple[ValueProblem, ...]
    large: Mapping[str, tuple[int, int]] = MappingProxyType({})
    large_text: LargeText | None = None

    def large_texts(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Yield the tag and the JSON text of each large element of `dataset`. Each text is read before the next one."""
        if self.large_text is not None:
            for key in self.dataset.keys() & self.large.keys():
                yield key, self.large_text.chunks(*self.large[key])

    def text(self) -> Iterator[bytes]:
        """Yield the JSON text of `dataset`, with the large elements whole. Elements removed from it are left out."""
        large = self.large
        if self.large_text is None or not large.keys() & self.dataset.keys():
            yield orjson.dumps(self.dataset)
            return
        separator, run = b"{", {}
        for key, element in self.dataset.items():
            if key not in large:
                run[key] = element
                continue
            if run:
                yield separator + orjson.dumps(run)[1:-1]
                separator, run = b",", {}
            yield separator + f'"{key}":'.encode()
            separator = b","
            yield from self.large_text.chunks(*large[key])
        yield (separator + orjson.dumps(run)[1:-1] if run else b"") + b"}"


class Inline(NamedTuple):
    """The sizes of the largest values that are inline, in bytes: of binary VRs, and of numbers and text."""

    binary_bytes: int = INLINE_BINARY_BYTES
    value_bytes: int = INLINE_VALUE_BYTES


def describe(
    part10: Part10,
    folder: Path | None = None,
    *,
    data: Buffer | None = None,
    inline: Inline = Inline(),  # noqa: B008 - it is immutable
) -> Description:
    """Return the JSON model of a dataset and check each value at every depth against its VR.

    Elements whose inside could not be read are problems too. Problems beyond `MAX_PROBLEMS` have no text. Raises
    `InvalidInstance` for more than `MAX_VALUES` values outside of large elements. `part10` must still have its file.
    `folder` is for the temporary file of large elements (`LargeText`). `data` is the bytes that `part10` was parsed
    from. Without it, and for a deflated file, no binary value is inline.
    """
    conversion = _Conversion(part10, folder, data, inline)
    dataset = conversion.dataset(part10.elements, DEFAULT, "")
    for key in list(conversion.large):  # the last of repeated elements counts
        if not is_large(part10.by_tag[int(key, 16)]):
            del conversion.large[key]
    for tag, (rule, nested) in part10.oddities.items():
        conversion.report(tag, "UN", rule, nested)
    return Description(dataset, tuple(conversion.problems.values()), conversion.large, conversion.large_text)


def first_text(dataset: JsonDataset, tag: int) -> str | None:
    """Return the first value of a top-level attribute as text, None if it has no value."""
    value = next(iter(dataset.get(f"{tag:08X}", {}).get("Value", ())), None)
    if isinstance(value, dict):
        return person_name(value) or None
    return None if value is None else str(value)


class _Conversion:
    """Converts one dataset with its sequences and collects the problems."""

    __slots__ = ("_bulk", "_folder", "_inline", "_little", "_values_left", "large", "large_text", "problems")

    def __init__(self, part10: Part10, folder: Path | None, data: Buffer | None, inline: Inline) -> None:
        self._little = part10.little
        self._folder = folder
        self._inline = inline
        self._bulk = BulkElements(part10, data, inline_bytes=inline.binary_bytes)
        self._values_left = MAX_VALUES
        self.problems: dict[int, ValueProblem] = {}
        self.large: dict[str, tuple[int, int]] = {}
        self.large_text: LargeText | None = None

    def dataset(self, elements: SequenceItem, text: Charset, path: str) -> JsonDataset:
        """Return the JSON model of a dataset. `path` leads to its item and ends with a slash; "" at the top level."""
        little, key_of, values_left = self._little, KEYS.get, self._values_left
        out: JsonDataset = {}
        for tag, vr, value, offset, length in elements:
            key = key_of(tag)
            if key is None:
                if not tag & 0xFFFF:
                    continue
                if tag < FIRST_TAG:
                    if vr not in BULK:
                        self.report(tag, vr, ODD_GROUP, bool(path))
                    continue
                key = f"{tag:08X}"
            if isinstance(value, bytes):
                if tag == SPECIFIC_CHARACTER_SET:
                    text = charset(value)
                if length <= CACHED_BYTES:
                    entry, count, reason = convert_cached(vr, value, text, little)
                elif path or length <= LARGE_VALUE:
                    entry, count, reason = convert(vr, value, text, little)
                else:
                    entry, count, reason = self._large(RawElement(tag, vr, value, offset, length), key, text), 0, None
                out[key] = entry
                values_left -= count
                if reason is not None:
                    self.report(tag, vr, reason, bool(path))
            elif value is None or vr in BULK:
                if self._bulk.places_left > 0:
                    out[key] = self._bulk.binary(vr, value, (offset, length), path + key)
                else:
                    self.report(tag, vr, TOO_MANY, True)
            elif isinstance(value, tuple):
                self._values_left = values_left - len(value)
                items = [self.dataset(item, text, f"{path}{key}/{number}/") for number, item in enumerate(value)]
                out[key] = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
                values_left = self._values_left
            elif not path:
                out[key] = self._large(RawElement(tag, vr, value, offset, length), key, text)
            elif vr in LONG_VALUE_VRS:  # sequences so deep are never large
                out[key] = self._bulk.with_place(vr, (offset, length), path + key)
            else:
                self.report(tag, vr, TOO_LONG, True)
            if values_left < 0:
                raise InvalidInstance(f"The DICOM instance is invalid: its header holds more than {MAX_VALUES} values.")
        self._values_left = values_left
        return out

    def _large(self, element: RawElement, key: str, text: Charset) -> JsonElement:
        """Write a large element of the top level. Return it with its first two values at most."""
        if self.large_text is None:
            self.large_text = LargeText(self._folder)
        start = self.large_text.size
        limit = self._inline.value_bytes
        writer = LargeWriter(self._little, self._small, self.report, self._bulk, inline_value_bytes=limit)
        shortened = writer.write(element, text, self.large_text)
        self.large[key] = (start, self.large_text.size)
        return shortened

    def _small(self, elements: SequenceItem, text: Charset, path: str) -> JsonDataset:
        """Return the JSON model of the small elements in an item of a large sequence, which is not kept in memory."""
        self._values_left = MAX_VALUES
        return self.dataset(elements, text, path)

    def report(self, tag: int, vr: str, text: str, nested: bool) -> None:
        """Record that an attribute breaks a rule. The first rule of each tag counts, at the top level before items."""
        known = self.problems.get(tag)
        if known is None or (known.nested and not nested):
            has_text = known.text != "" if known else len(self.problems) < MAX_PROBLEMS
            self.problems[tag] = ValueProblem(
                tag=tag, keyword=keyword(tag), vr=vr, text=text if has_text else "", nested=nested
            )
