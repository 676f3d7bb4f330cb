"""What the sync of a file makes durable, on the file system of a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_MOUNTS: Final = Path("/proc/self/mountinfo")
_ORDERED: Final = frozenset({"ext4", "xfs"})
"""File systems with one journal, which is written in the order of the changes."""


def file_sync_includes_names(directory: Path) -> bool:
    """Return whether the sync of a file below the directory also makes its name and new folders above it durable.

    ext4 and XFS do so, because the names were written to the same journal before. POSIX does not promise it, so every
    other file system needs a sync of each folder.
    """
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    # The device is the third field, and the file system is the first one after a field "-" (proc_pid_mountinfo(5)).
    types = {
        rest.split()[0] for line in lines for head, _, rest in [line.partition(" - ")] if head.split()[2] == wanted
    }
    return bool(types) and types <= _ORDERED
