"""The application that gunicorn loads in each server process: `gunicorn app.entry.wsgi:app`."""

from __future__ import annotations

import atexit

from app import create_app
from app.web.routing.dispatch import SERVICES

app = create_app()
app.extensions[SERVICES].audit.start()
atexit.register(app.extensions[SERVICES].audit.stop)
