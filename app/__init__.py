"""Bulkhead: a DICOMweb store with data partitions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.bootstrap import Engine
    from app.settings import Settings

__version__ = "0.1.0"


def create_app(settings: Settings | None = None, engine: Engine | None = None) -> Flask:
    """Return the WSGI application, its settings from the environment and its engine from the settings unless given.

    Raises `ConfigurationError` when it cannot serve as configured.
    """
    # Inside, so that importing a leaf of the package (`app.errors`) loads no framework.
    from app import bootstrap
    from app.settings import Settings
    from app.web.application import application

    settings = settings or Settings.from_environment(os.environ)
    return application(bootstrap.build_services(settings, engine or bootstrap.build_engine(settings)), settings)
