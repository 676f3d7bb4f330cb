"""The statuses of a C-STORE response that the gateway gives (PS3.4 §B.2.3, PS3.7 Annex C)."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """A status of C-STORE."""

    SUCCESS = 0x0000
    NO_SUCH_SOP_CLASS = 0x0122
    """The SOP class of the instance is not that of its presentation context."""
    NOT_AUTHORIZED = 0x0124
    OUT_OF_RESOURCES = 0xA700
    """The spool is full, or the server cannot be reached. The peer may send the instance again."""
    CANNOT_UNDERSTAND = 0xC000
    """The dataset is empty, or the server refuses the instance for good."""


class FindStatus(enum.IntEnum):
    """A status of C-FIND (PS3.4 §C.4.1.1.4)."""

    PENDING = 0xFF00
    PENDING_WITHOUT_SOME_KEYS = 0xFF01
    """Some optional keys do not filter."""
    CANCELLED = 0xFE00
    NOT_AUTHORIZED = 0x0124
    OUT_OF_RESOURCES = 0xA700
    """The server cannot be reached, or there are too many matches."""
    IDENTIFIER_DOES_NOT_MATCH = 0xA900
    """The level of the query is missing, or it does not belong to the model."""
    UNABLE_TO_PROCESS = 0xC000
    """The server refuses the query, or its identifier cannot be read."""
