"""Bulkhead: a DICOMweb store with data partitions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.bootstrap import Engine
    from app.settings import Settings

__version__ = "0.2.0.dev0"


def create_app(settings: Settings | None = None, engine: Engine | None = None) -> Flask:
    """Return the WSGI application.

    `settings` are read from the environment by default; `engine` is the engine that the settings name by default.
    Raises `ConfigurationError` when the service cannot start with these settings.
    """
    # Imported here, so that an import of `app.errors` does not load Flask.
    from app import bootstrap, tracing
    from app.settings import Settings
    from app.web.application import application

    settings = settings or Settings.from_environment(os.environ)
    if settings.traces:
        tracing.start()
    return application(bootstrap.build_services(settings, engine or bootstrap.build_engine(settings)), settings)
