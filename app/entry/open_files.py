"""The limit of open files of this process."""

from __future__ import annotations

import resource
from typing import Final

_FILES_OF_A_CONNECTION: Final = 4
"""Its socket, the file of its body, the files of its answer."""


def files_needed(connections: int) -> int:
    """Return how many files a process may need for so many connections."""
    return _FILES_OF_A_CONNECTION * connections


def allow_open_files(connections: int) -> None:
    """Raise the limit, if the system lets this process do so, until each connection may have its files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files_needed(connections)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
