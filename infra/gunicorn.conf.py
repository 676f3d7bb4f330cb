"""For a gunicorn that you start yourself: `gunicorn --config infra/gunicorn.conf.py app.entry.wsgi:app`.

The options are those of `bulkhead serve`, with the same BULKHEAD_* settings. This starts no worker: with the embedded
engine, run `bulkhead worker` as well. Without BULKHEAD_AUTH it starts only on loopback addresses and on Unix sockets,
also if `--bind` names the address.
"""

import os

from app.entry.serving import gunicorn_options
from app.settings import Settings

globals().update(gunicorn_options(Settings.from_environment(os.environ)))
