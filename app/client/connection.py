"""`ArchiveClient`: the connection to one partition of a Bulkhead server."""

from __future__ import annotations

import copy
import ipaddress
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from threading import Lock
from typing import Any, Final, TypedDict, Unpack
from urllib.parse import quote

import httpx
import orjson

from app.client.answers import PARTITIONS_ARE_OFF, check, entries_of, whole
from app.client.attempts import NOT_SENT, REPEATED_STATUSES, Attempts
from app.client.errors import InvalidAddress, ServerUnreachable, UnexpectedAnswer
from app.client.identifiers import is_partition_name

DEFAULT_URL: Final = "http://127.0.0.1:8080"
DEFAULT_PARTITION: Final = "Microsoft.Default"
"""The partition of every archive. What is stored while partitions are off lies there as well (conformance §2.3)."""
DICOM_JSON: Final = "application/dicom+json"

Body = bytes | Callable[[], Iterable[bytes]]
"""A request body. A function is called for each attempt, and returns the body in pieces."""

_VERSION: Final = re.compile(r"/v2(\.0)?$", re.IGNORECASE)
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_TIMEOUTS: Final = httpx.Timeout(connect=10, read=300, write=300, pool=300)
"""A store of many large instances may keep the server busy for minutes before it answers."""


class Call(TypedDict, total=False):
    """The arguments of a call, as in `ArchiveClient.stream`."""

    at_base: bool
    version: str
    params: Mapping[str, Any] | Iterable[tuple[str, str]] | None
    json: Any
    body: Body | None
    headers: Mapping[str, str] | None
    accepted: Iterable[int]
    repeatable: bool | None


class ArchiveClient:
    """Calls to a server, in one partition or at its base. Threads may share a client.

    `url` is the address of the server, with or without `/v2`. `partition` is a name, or None: then it is
    `Microsoft.Default`, or no partition if the server has its partitions off. `token` is sent as a Bearer token.
    `pause` waits a number of seconds before a call is repeated. `transport` stands in for the network in tests.

    Raises `InvalidAddress` if `url` or `partition` cannot be used. Opens no connection before the first call.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        partition: str | None = None,
        *,
        token: str | None = None,
        connections: int = 16,
        attempts: Attempts | None = None,
        pause: Callable[[float], object] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = _VERSION.sub("", url.rstrip("/"))
        host = _host(self.url)
        if partition is not None and not is_partition_name(partition):
            raise InvalidAddress(f"'{partition}' is no name of a partition: 1 to 64 characters from A-Z a-z 0-9 _ . -")
        self.chosen_partition = partition
        """The partition that was given. None: it is the default of the server."""
        self._attempts = attempts or Attempts()
        self._pause = pause
        self._answered = False
        self._prefix: str | None = None
        self._finding_prefix = Lock()
        headers = {"User-Agent": f"bulkhead/{_version()}"}
        if token:
            if not token.isascii() or not token.isprintable() or " " in token:
                raise InvalidAddress("The token has characters that no token has.")
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.Client(
            headers=headers,
            timeout=_TIMEOUTS,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            transport=transport,
            trust_env=not _is_loopback(host),  # a proxy does not reach this machine
        )
        self.sends_token_in_clear = bool(token) and self.url.startswith("http:") and not _is_loopback(host)
        """Whether anyone on the network can read the token."""

    def close(self) -> None:
        self._http.close()

    def with_one_attempt(self) -> ArchiveClient:
        """Return a client that repeats no call. It shares the connections of this one."""
        single = copy.copy(self)
        single._attempts = Attempts(number=1)
        return single

    def __enter__(self) -> ArchiveClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- addresses ---

    @property
    def partition(self) -> str | None:
        """The partition of the calls. None: the server has its partitions off. May call the server."""
        prefix = self.partition_prefix()
        return self.chosen_partition or DEFAULT_PARTITION if prefix else None

    def partition_prefix(self) -> str:
        """Return `/partitions/NAME`, or an empty text if the server has its partitions off.

        Calls the server once if no partition was given. Each `ClientError` is possible then.
        """
        with self._finding_prefix:
            if self._prefix is None:
                off = self.chosen_partition is None and self._partitions_are_off()
                self._prefix = "" if off else f"/partitions/{self.chosen_partition or DEFAULT_PARTITION}"
            return self._prefix

    def prefix_of(self, partition: str) -> str:
        """Return `/partitions/NAME` for a name that is valid, and `partition_prefix()` for an empty one."""
        return f"/partitions/{partition}" if partition else self.partition_prefix()

    def partition_mark(self) -> str:
        """Return a text that stays the same while the partition exists: the time when it was created.

        It is empty if there is no such partition, if the caller may not see it, or if the server has partitions off.
        """
        answer = self.request("GET", "/partitions", at_base=True, accepted=(400, 403))
        listed = entries_of(self.decoded(answer), "partitionName", str) if answer.status_code == 200 else []
        name = (self.partition or "").lower()
        return next((str(each.get("createdDate", "")) for each in listed if each["partitionName"].lower() == name), "")

    def _partitions_are_off(self) -> bool:
        answer = self.request("GET", "/partitions", at_base=True, accepted=(200, 400, 403))
        return answer.status_code == 400 and PARTITIONS_ARE_OFF.encode() in answer.content

    def address(self, path: str, *, at_base: bool = False, version: str = "v2") -> str:
        """Return the URL of `path`, such as `/studies`, in the partition or at the base of a version."""
        prefix = "" if at_base else self.partition_prefix()
        return f"{self.url}/{version}{prefix}{quote(path, safe='/$,.:-_~')}"

    # --- calls ---

    def request(self, method: str, path: str, **call: Unpack[Call]) -> httpx.Response:
        """Return the answer, read whole. Raises as `stream`, and `UnexpectedAnswer` for an answer that is too long or
        that cannot be decoded.
        """
        with self.stream(method, path, **call) as answer:
            try:
                return whole(answer)
            except httpx.TransportError as error:
                raise ServerUnreachable(self.url, _reason(error)) from error

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        at_base: bool = False,
        version: str = "v2",
        params: Mapping[str, Any] | Iterable[tuple[str, str]] | None = None,
        json: Any = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        accepted: Iterable[int] = (),
        repeatable: bool | None = None,
    ) -> Iterator[httpx.Response]:
        """Yield the answer with its body unread: read it with `iter_bytes`.

        `accepted` are statuses from 300 on that are answers and no errors to the caller. `repeatable` says whether
        the call may be sent again if the connection breaks after it was sent; the default is the nature of the method.
        429 and 503 are repeated always. Raises a `ClientError` when the attempts are over.

        A body that breaks while it is read raises `httpx.TransportError`, and one that cannot be decoded
        `httpx.DecodingError`; nothing repeats the call then.
        """
        sent = dict(headers or {})
        if json is not None:
            body = orjson.dumps(json)
            sent.setdefault("Content-Type", "application/json")
        address = self.address(path, at_base=at_base, version=version)

        def build() -> httpx.Request:
            content = body() if callable(body) else body
            query = list(params.items()) if isinstance(params, Mapping) else params
            return self._http.build_request(method, address, params=query, content=content, headers=sent)  # type: ignore[arg-type]  # any pairs of texts are parameters

        answer = self._send(build, method in _SAFE_METHODS if repeatable is None else repeatable)
        try:
            if answer.status_code not in frozenset(accepted):
                check(answer)
            yield answer
        finally:
            answer.close()

    def json(self, path: str, *, at_base: bool = False, params: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of a GET. An answer without a body (204) is an empty list."""
        accept = "application/json" if at_base else DICOM_JSON
        answer = self.request("GET", path, at_base=at_base, params=params, headers={"Accept": accept})
        return self.decoded(answer) if answer.content else []

    def decoded(self, answer: httpx.Response) -> Any:
        """Return the JSON of an answer. Raises `UnexpectedAnswer` if it is none."""
        try:
            return orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            raise UnexpectedAnswer(f"The answer of {self.url} is not JSON: is it a Bulkhead server?") from error

    def _send(self, build: Callable[[], httpx.Request], repeatable: bool) -> httpx.Response:
        failed = 0
        while True:
            failed += 1
            last = failed >= self._attempts.number
            try:
                answer = self._http.send(build(), stream=True)
            except httpx.TransportError as error:
                again = repeatable or isinstance(error, NOT_SENT)
                if last or not again or not self._answered:
                    raise ServerUnreachable(self.url, _reason(error)) from error
                self._pause(self._attempts.pause(failed))
                continue
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise InvalidAddress(f"'{self.url}' is no address of a server: {error}") from error
            self._answered = True
            if answer.status_code not in REPEATED_STATUSES or last:
                return answer
            answer.close()
            self._pause(self._attempts.pause(failed, answer.headers.get("Retry-After")))


def _version() -> str:
    try:
        return metadata.version("bulkhead")
    except metadata.PackageNotFoundError:
        return "unknown"


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _host(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InvalidAddress(f"'{url}' is no address of a server: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
        raise InvalidAddress(f"'{url}' is no address of a server: it has the form http://HOST:PORT.")
    if parsed.userinfo:
        raise InvalidAddress("The address of the server may not hold credentials: use --token-file.")
    return parsed.host


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
