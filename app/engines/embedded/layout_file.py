"""The layout version in the data folder of the embedded engine, beside the one in the table.

A newer release may use another form of SQLite file. This release could then not read the version in the table, and it
would report a damaged file. So the version is also in a file of its own, which is read before SQLite opens the table.
The table decides: the file is written after the table has reached the version.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import orjson

from app.durable_folders import make_durably
from app.errors import StorageUnavailable

NAME: Final = "bulkhead.json"


def read(folder: Path) -> int | None:
    """Return the layout version of a data folder, None if it has none: it is new, or release 0.1.0 wrote it.

    Raises `StorageUnavailable` if the file cannot be read.
    """
    try:
        return int(orjson.loads((folder / NAME).read_bytes())["layout"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageUnavailable from error
    except (ValueError, KeyError, TypeError):
        damaged = f"{folder / NAME} is damaged. Remove it: the table has the layout too, and the next start writes it."
        raise StorageUnavailable from ValueError(damaged)


def write(folder: Path, version: int) -> None:
    """Write the layout version durably, unless the file has it already.

    A kill -9 leaves the old file or the new one, and perhaps a temporary file that the next start replaces.
    """
    if read(folder) == version:
        return
    try:
        make_durably(folder)
        temporary = folder / f"{NAME}.{os.getpid()}.tmp"
        with temporary.open("wb") as stream:
            stream.write(orjson.dumps({"layout": version}))
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(folder / NAME)
    except OSError as error:
        raise StorageUnavailable from error
