"""The file in which a long command keeps how far it is, so that it can go on after an interruption."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson

from app.errors import ConfigurationError, RecoveryError

_SECONDS: Final = 5.0
_FORMAT: Final = 1


class ProgressFile:
    """A JSON file that is replaced as a whole. `path` None keeps nothing.

    `task` says what the command does: a file of another task, or of other options, is refused.
    """

    def __init__(self, path: Path | None, task: dict[str, Any]) -> None:
        self._path = path
        self._task = {"format": _FORMAT, **task}
        self._saved = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """Return what was saved last, None if there is no file. Raises `ConfigurationError` for a file of another
        task."""
        if self._path is None or not self._path.exists():
            return None
        try:
            document: dict[str, Any] = orjson.loads(self._path.read_bytes())
            task, saved = document["task"], document["saved"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{self._path} is no file of progress: {error}") from error
        if task != self._task:
            raise ConfigurationError(
                f"{self._path} belongs to another run: {task}. This run is {self._task}. Remove the file, or name "
                "another one."
            )
        found: dict[str, Any] = saved
        return found

    def save_now_and_then(self, state: Callable[[], dict[str, Any]]) -> None:
        """Save the state if the last time is seconds ago."""
        if self._path and time.monotonic() - self._saved >= _SECONDS:
            self.save(state())

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file. A kill -9 leaves the file as it was before or after.

        Raises `RecoveryError` if it cannot be written.
        """
        if self._path is None:
            return
        self._saved = time.monotonic()
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            with new.open("wb") as file:
                file.write(orjson.dumps({"task": self._task, "saved": state}))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            raise RecoveryError(f"The progress cannot be written to {self._path}.") from error

    def remove(self) -> None:
        """Remove the file: the task is complete."""
        if self._path:
            self._path.unlink(missing_ok=True)
