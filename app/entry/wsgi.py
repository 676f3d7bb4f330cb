"""What gunicorn loads: `gunicorn app.entry.wsgi:app`, once in each server process."""

from __future__ import annotations

from app import create_app

app = create_app()
