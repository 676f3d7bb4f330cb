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
