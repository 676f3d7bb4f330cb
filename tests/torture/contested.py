"""Studies that all clients change at once. A client does not know what they hold.

The checks compare the views with each other, and the change feed with the number of acknowledged stores.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.torture.model import DeleteOutcome, KnownInstance, KnownStudy, State, StoreOutcome


@dataclass(slots=True, eq=False)
class ContestedStudy(KnownStudy):
    """A study that all clients change."""

    def begin(self, operation: str) -> None:
        """Change nothing: the study is used while an operation runs on it."""

    def freeze(self) -> None:
        """Change nothing, as `begin`."""

    def new_instance(self, series: str, uid: str) -> KnownInstance:
        return ContestedInstance(self, series, uid)


@dataclass(slots=True, eq=False)
class ContestedInstance(KnownInstance):
    """An instance that all clients store and delete. Every state is possible until the final checks see one."""

    acknowledged: int = 0
    unknown: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def may_exist(self) -> bool:
        return True

    @property
    def must_exist(self) -> bool:
        return False

    def stored(self, attempts: Iterable[tuple[int, StoreOutcome]]) -> bool:
        with self._lock:
            for _, outcome in attempts:
                self.acknowledged += outcome is StoreOutcome.STORED
                self.unknown += outcome is StoreOutcome.UNKNOWN
                self.events = [f"{self.acknowledged} acknowledged, {self.unknown} unknown"]
        return True

    def deleted(self, outcome: DeleteOutcome) -> bool:
        return True

    def seen(self, state: State) -> bool:
        """Keep the state for the final checks, which read it last. Every known body is possible."""
        self.states = {state}
        return True

    def updated(self, update: int, *, certain: bool) -> None:
        pass

    def seen_to_exist(self) -> bool:
        return True

    def explains(self, actions: Sequence[str]) -> bool:
        """Return whether the feed has each acknowledged store, and nothing that no client sent."""
        created = actions.count("C")
        within = self.acknowledged <= created <= self.acknowledged + self.unknown
        return within and bool(re.fullmatch("(CU*D)*(CU*)?", "".join(actions)))
