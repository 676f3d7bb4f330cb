"""Who may open an association, and which partition receives its instances (conformance §15.7)."""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from app.client.identifiers import is_partition_name

ANY: Final = "*"

_TITLE: Final = re.compile(r"(?! )[ -\[\]-~]{1,16}(?<! )", re.ASCII)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class PartitionBy(enum.StrEnum):
    """What chooses the partition of an association."""

    CALLED = "called-aet"
    CALLING = "calling-aet"
    FIXED = "fixed"


class Refusal(enum.IntEnum):
    """Why an association is rejected. The values are the reasons of an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    CALLING_UNKNOWN = 3
    CALLED_UNKNOWN = 7


def is_title(text: str) -> bool:
    """Tell whether `text` is an AE title: 1 to 16 ASCII characters, no backslash, no blank at the ends (PS3.5 §6.2)."""
    return _TITLE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Peer:
    """An entry of the allow-list. A title of `*` allows every title. Without a network, every address is allowed."""

    title: str
    network: Network | None = None

    @classmethod
    def parsed(cls, text: str) -> Peer:
        """Return the peer of `AET`, `AET@ADDRESS` or `AET@NETWORK`. Raises ValueError with the reason."""
        title, at, host = text.rpartition("@") if "@" in text else (text, "", "")
        if title != ANY and not is_title(title):
            raise ValueError(f"'{title}' is not an AE title")
        return cls(title, ipaddress.ip_network(host, strict=False) if at else None)

    def matches(self, title: str, address: str) -> bool:
        """Tell whether this entry allows the calling AE title from the IP address."""
        if self.title not in (ANY, title):
            return False
        return self.network is None or _address(address) in self.network


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The rules for the associations of a gateway.

    `titles` are the called AE titles that it answers to, `*` among them means all. `peers` is the allow-list; an
    empty one allows everyone. `partitions` gives the partition of an AE title whose own text is not the name.
    """

    titles: frozenset[str]
    partition_by: PartitionBy
    partition: str = ""
    partitions: Mapping[str, str] = field(default_factory=dict)
    peers: tuple[Peer, ...] = ()

    def partition_of(self, *, calling: str, called: str, address: str) -> str | Refusal:
        """Return the partition for an association, or the reason to reject it. An empty text means no partition.

        Blanks at the ends of an AE title do not count. Letter case does.
        """
        calling, called = calling.strip(" "), called.strip(" ")
        if ANY not in self.titles and called not in self.titles:
            return Refusal.CALLED_UNKNOWN
        if self.peers and not any(peer.matches(calling, address) for peer in self.peers):
            return Refusal.CALLING_UNKNOWN
        if self.partition_by is PartitionBy.FIXED:
            return self.partition
        title, refusal = (
            (called, Refusal.CALLED_UNKNOWN)
            if self.partition_by is PartitionBy.CALLED
            else (calling, Refusal.CALLING_UNKNOWN)
        )
        name = self.partitions.get(title, title)
        return name if is_partition_name(name) else refusal


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
