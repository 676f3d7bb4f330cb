"""For a gunicorn started by hand: `gunicorn --config infra/gunicorn.conf.py app.entry.wsgi:app`.

The options are those of `bulkhead serve`, from the same BULKHEAD_* settings. This runs the server alone: with the
embedded engine, run `bulkhead worker` beside it.
"""

import os

from app.entry.serving import gunicorn_options
from app.settings import Settings

globals().update(gunicorn_options(Settings.from_environment(os.environ)))
