"""The application that gunicorn loads in each server process: `gunicorn app.entry.wsgi:app`."""

from __future__ import annotations

from app import create_app

app = create_app()
