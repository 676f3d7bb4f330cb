"""The folder of the metrics of one server. The first process of the server makes it, before it starts others.

The other processes learn of it by the environment, like every setting.
"""

from __future__ import annotations

import os
from typing import Any, Final

import structlog

from app.metrics.folder import ServerFolder
from app.settings import Settings, variable

_VARIABLE: Final = variable("metrics_dir")

_made: Final[dict[int, ServerFolder]] = {}
"""The folder by the process that made it. A forked process has it too, and must not remove it."""

_log = structlog.get_logger(__name__)


def provide(_server: Any = None) -> None:
    """Make the folder and name it in the environment, unless the operator or a parent process names one.

    Without a folder, for example on a full disk, each process counts for itself. Gunicorn passes itself.
    """
    settings = Settings.from_environment(os.environ)
    if not settings.metrics or settings.metrics_dir:
        return
    try:
        made = ServerFolder()
    except OSError as error:
        _log.warning("metrics of the processes are not added", error=type(error).__name__)
        return
    _made[os.getpid()] = made
    os.environ[_VARIABLE] = str(made.path)


def remove(_server: Any = None) -> None:
    """Remove the folder if this process made it."""
    made = _made.pop(os.getpid(), None)
    if made:
        os.environ.pop(_VARIABLE, None)
        made.remove()
