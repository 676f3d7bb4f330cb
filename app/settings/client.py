"""The environment variables of the commands that call a server. They are no settings of the service."""

from __future__ import annotations

from typing import Final

URL: Final = "BULKHEAD_URL"
PARTITION: Final = "BULKHEAD_PARTITION"
TOKEN: Final = "BULKHEAD_TOKEN"  # noqa: S105  (the name of a variable, no token)
TOKEN_FILE: Final = "BULKHEAD_TOKEN_FILE"  # noqa: S105  (the name of a variable, no token)

CLIENT_VARIABLES: Final = frozenset({URL, PARTITION, TOKEN, TOKEN_FILE})
"""The service ignores these, so that one environment can serve both."""
