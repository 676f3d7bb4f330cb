"""What can go wrong with a call to a server. The text of each error is one line, and says what to do."""

from __future__ import annotations


class ClientError(Exception):
    """Base of the errors of `app.client`. `str(error)` is one line for the person at the terminal."""


class InvalidAddress(ClientError):
    """The URL of the server, or the name of the partition, cannot be used."""


class ServerUnreachable(ClientError):
    """No connection to the server, or it was lost and did not come back. `url` is the address of the server."""

    def __init__(self, url: str, reason: str = "") -> None:
        self.url = url
        said = f" ({reason})" if reason else ""
        super().__init__(
            f"The server at {url} does not answer{said}: start it with `bulkhead serve`, or name another with --url."
        )


class UnexpectedAnswer(ClientError):
    """The answer is none that Bulkhead gives. Perhaps another program listens at the address."""


class Refused(ClientError):
    """The server refuses the call. `status` is the HTTP status, `text` what the server says, in one line."""

    def __init__(self, status: int, text: str, advice: str = "") -> None:
        self.status = status
        self.text = text
        super().__init__(f"The server refuses the request: {text or 'no reason given'} (HTTP {status}).{advice}")


class CredentialsRefused(Refused):
    """The server does not know the caller (401)."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text, " Give a valid token with --token-file or BULKHEAD_TOKEN.")


class RightMissing(Refused):
    """The caller has no right to make the call (403)."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(
            status, text, " The token needs a role for this in the partition: see `bulkhead grant --help`."
        )


class PartitionRefused(Refused):
    """The call names a partition and the server has its partitions off, or the other way round (400)."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text, " Leave --partition out: the client then does what the server needs.")


class NotThere(Refused):
    """What the path names does not exist (404), or the caller may not see it."""


class ServerFailed(Refused):
    """The server answered with a fault of its own (5xx), also to the repetitions of the call."""


class InvalidAttribute(ClientError):
    """The name or the value of an attribute cannot be used."""
