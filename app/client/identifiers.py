"""Identifiers of studies, series and instances: `STUDY`, `STUDY/SERIES` or `STUDY/SERIES/INSTANCE`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from app.client.errors import InvalidAttribute
from app.dicom.encoding.uids import is_uid
from app.dicom.validation.attributes import Level

_WORDS: Final = ("studies", "series", "instances")
_PARTITION_NAME: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.-]{1,64}", re.ASCII)


def is_partition_name(name: str) -> bool:
    """Tell whether a partition may have this name (conformance §2.2)."""
    return _PARTITION_NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Identifier:
    """The UIDs of a study, a series or an instance."""

    uids: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Identifier:
        """Read an identifier. Raises `InvalidAttribute`."""
        uids = tuple(text.strip().split("/"))
        if len(uids) > len(Level) or not all(map(is_uid, uids)):
            raise InvalidAttribute(f"'{text}' is neither STUDY, nor STUDY/SERIES, nor STUDY/SERIES/INSTANCE with UIDs.")
        return cls(uids)

    @property
    def level(self) -> str:
        """`study`, `series` or `instance`."""
        return Level(len(self.uids)).word

    @property
    def path(self) -> str:
        """The path of the object below the partition."""
        return "".join(f"/{word}/{uid}" for word, uid in zip(_WORDS, self.uids, strict=False))

    def __str__(self) -> str:
        return "/".join(self.uids)
