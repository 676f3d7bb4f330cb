"""The attributes of an object as text for people, from its DICOM JSON (PS3.18 §F.2)."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from pydicom.uid import UID

from app.dicom.json.dataset import NAME_GROUPS, JsonDataset
from app.dicom.validation.attributes import tag_of
from app.web.site import formatting

_tag_of: Final = cache(tag_of)


class Attributes:
    """The attributes of a study, a series or an instance, by their keywords. An absent one is an empty text."""

    def __init__(self, dataset: JsonDataset) -> None:
        self._dataset = dataset

    def values(self, keyword: str) -> list[Any]:
        """Return the values of an attribute, without nulls."""
        found = self._dataset.get(_tag_of(keyword) or "", {}).get("Value", [])
        return [value for value in found if value is not None]

    def text(self, keyword: str) -> str:
        """Return the values of an attribute, separated by commas."""
        return ", ".join(value_text(value) for value in self.values(keyword))

    def date(self, keyword: str) -> str:
        """Return the first value of an attribute as a date."""
        return formatting.date(self.first(keyword))

    def time(self, keyword: str) -> str:
        """Return the first value of an attribute as a time."""
        return formatting.time(self.first(keyword))

    def first(self, keyword: str) -> str:
        """Return the first value of an attribute."""
        return next((value_text(value) for value in self.values(keyword)), "")

    def count(self, keyword: str) -> int:
        """Return an attribute that is a whole number, 0 if it is not."""
        text = self.first(keyword)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def value_text(value: Any) -> str:
    """Return one value of DICOM JSON. Of a person name it has every component group, the first one first."""
    if isinstance(value, dict):
        groups = [formatting.person(formatting.visible(value.get(group, ""))) for group in NAME_GROUPS]
        first, *others = [group for group in groups if group] or [""]
        return first + "".join(f" ({other})" for other in others)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return formatting.visible(value)


def uid_name(uid: str) -> str:
    """Return the name of a registered UID (PS3.6 Annex A), the UID itself if it has none."""
    return formatting.visible(UID(uid).name if uid else "")
