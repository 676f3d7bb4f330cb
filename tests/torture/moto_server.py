"""moto as a server of its own, for several processes: `python -m tests.torture.moto_server PORT`.

It answers one request at a time, so each request is atomic, as on AWS.
"""

from __future__ import annotations

import sys

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.aws import fast_moto


class QuietHandler(WSGIRequestHandler):
    """Logs no requests."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


if __name__ == "__main__":
    with fast_moto():
        application = DomainDispatcherApplication(create_backend_app)
        make_server(
            "127.0.0.1", int(sys.argv[1]), application, threaded=False, request_handler=QuietHandler
        ).serve_forever()
