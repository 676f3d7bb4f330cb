"""The paths of the pages and of the API for the objects of a partition. They are below the base path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self
from urllib.parse import quote, urlencode

from app.web.routing.context import PartitionContext
from app.web.routing.route import PAGES_PREFIX

_API: Final = "/v2"
NO_QUERY: Final[Mapping[str, object]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Addresses:
    """The paths of one partition. `partition` is None while partitions are off."""

    partition: str | None

    @classmethod
    def of(cls, context: PartitionContext) -> Self:
        """Return the paths in the partition of the request."""
        return cls(context.links.partition)

    def below(self, path: str) -> str:
        """Return the path of another page of the partition, e.g. of `/worklist`."""
        return f"{PAGES_PREFIX}{self._partition_path}{path}"

    def page(self, *uids: str, ending: str = "", query: Mapping[str, object] = NO_QUERY) -> str:
        """Return the path of the page of a study, a series or an instance; without UIDs that of the studies."""
        return f"{PAGES_PREFIX}{self._partition_path}{_path(uids)}{ending}{_query(query)}"

    def api(self, *uids: str, ending: str = "", query: Mapping[str, object] = NO_QUERY) -> str:
        """Return the path of a study, a series or an instance in the API."""
        return f"{_API}{self._partition_path}{_path(uids)}{ending}{_query(query)}"

    def thumbnail(self, *uids: str, pixels: int = 160) -> str:
        """Return the path of a small picture of an object. It fits into a square of so many pixels."""
        return self.api(*uids, ending="/thumbnail", query={"viewport": f"{pixels},{pixels}"})

    @property
    def _partition_path(self) -> str:
        return "" if self.partition is None else f"/partitions/{quote(self.partition, safe='')}"


def _path(uids: tuple[str, ...]) -> str:
    names = ("studies", "series", "instances")
    pairs = zip(names, (quote(uid, safe="") for uid in uids), strict=False)
    return "".join(f"/{name}/{uid}" for name, uid in pairs) or "/studies"


def _query(query: Mapping[str, object]) -> str:
    given = {name: value for name, value in query.items() if value not in ("", None)}
    return f"?{urlencode(given)}" if given else ""
