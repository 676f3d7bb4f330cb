"""moto as a server of its own, for several processes: `python -m tests.torture.moto_server PORT`.

It answers one request at a time, so each request is atomic, as on AWS.
"""

from __future__ import annotations

import sys
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.aws import fast_moto, forget_copies


class QuietHandler(WSGIRequestHandler):
    """Logs no requests."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


def one_request(environ: Any, start_response: Any) -> Any:
    """Answer one request."""
    forget_copies()
    return application(environ, start_response)


application = DomainDispatcherApplication(create_backend_app)

if __name__ == "__main__":
    with fast_moto():
        make_server(
            "127.0.0.1", int(sys.argv[1]), one_request, threaded=False, request_handler=QuietHandler
        ).serve_forever()
