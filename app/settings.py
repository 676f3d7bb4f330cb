"""Every setting of the service, read once from the environment. Only entry points call `Settings.from_environment`.

A field carries its rule, its default and its help in one place; the README's table is `settings_table()`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from marshmallow import EXCLUDE, Schema, ValidationError
from marshmallow.fields import Boolean, Integer, String, Url
from marshmallow.fields import Field as Rule
from marshmallow.validate import ContainsNoneOf, OneOf, Range

from app.errors import ConfigurationError

PREFIX: Final = "BULKHEAD_"
LARGEST_BODY: Final = 2_147_483_647
"""Bytes in the largest body, part or instance that conformance §1.8 lets in."""

REQUIRED_ON_AWS: Final = ("table", "bucket")


class Names(Rule[tuple[str, ...]]):
    """A comma list, read into a tuple of its non-empty entries; each is `what` the pattern describes."""

    def __init__(self, pattern: str = ".*", what: str = "") -> None:
        super().__init__()
        self._pattern = re.compile(pattern, re.ASCII)
        self._what = what

    def _deserialize(self, value: str, *_: Any, **__: Any) -> tuple[str, ...]:
        names = tuple(name.strip() for name in value.split(",") if name.strip())
        for name in names:
            if not self._pattern.fullmatch(name):
                raise ValidationError(f"{name!r} is not {self._what}.")
        return names


# Nothing that the library would take for a regular expression: `https://*.example.org` lets in far more than it says.
_ORIGINS: Final = (r"\*|https?://(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", "scheme://host[:port], or * for any")
_HEADERS: Final = (r"\*|[\w-]+", "the name of a header, or * for any")
_METHODS: Final = (r"[A-Za-z]+", "a method")


class Folder(Rule[Path]):
    """A path; whether it can be written to is found out by whoever writes."""

    def _deserialize(self, value: str, *_: Any, **__: Any) -> Path:
        return Path(value)


class BaseUrl(Url):
    """An absolute http or https URL without query and fragment, given back without a slash at its end."""

    def __init__(self) -> None:
        bare = ContainsNoneOf("?#", error="A base URL has no query and no fragment.")
        super().__init__(schemes={"http", "https"}, require_tld=False, validate=bare)

    def _deserialize(self, value: str, *_: Any, **__: Any) -> str:
        return value.rstrip("/")


def _setting(default: Any, rule: Rule[Any], meaning: str) -> Any:
    return field(default=default, metadata={"rule": rule, "meaning": meaning})


def _whole(least: int, most: int | None = None) -> Integer:
    return Integer(validate=Range(min=least, max=most))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator chose; `Settings()` is every default. Sizes are bytes, times seconds."""

    host: str = _setting("127.0.0.1", String(), "Address to listen on.")
    port: int = _setting(8080, _whole(0, 65535), "Port to listen on; `0` takes a free one.")
    engine: str = _setting(
        "embedded",
        String(validate=OneOf(("embedded", "aws"))),
        "`embedded` keeps everything under the data folder of one machine; `aws` keeps it in S3 and DynamoDB.",
    )
    data_dir: Path = _setting(  # noqa: RUF009 - makes a field, as `dataclasses.field` does
        Path("./data"), Folder(), "Data folder of the embedded engine."
    )
    table: str = _setting("", String(), "DynamoDB table; needed by the `aws` engine.")
    bucket: str = _setting("", String(), "S3 bucket; needed by the `aws` engine.")
    queue_url: str = _setting(
        "", String(), "SQS queue that announces background work; the table does where there is none."
    )
    enable_data_partitions: bool = _setting(
        True, Boolean(), "Serve partitions; cannot be switched off once there is more than one."
    )
    enable_full_validation: bool = _setting(
        False, Boolean(), "Validate every element at store: v1 refuses the instance, v2 warns."
    )
    delete_delay_seconds: int = _setting(
        259_200, _whole(0), "How long the files of a deleted instance are kept; three days unless told."
    )
    disable_operations: bool = _setting(
        False, Boolean(), "Start no re-indexing, export or bulk update; what is under way goes on."
    )
    keep_succeeded_days: int = _setting(30, _whole(1), "Days that an operation that succeeded can be asked about.")
    keep_failed_days: int = _setting(90, _whole(1), "Days that an operation that failed can be asked about.")
    enable_export: bool = _setting(True, Boolean(), "Serve exports.")
    export_dir: Path | None = _setting(  # noqa: RUF009 - makes a field, as `dataclasses.field` does
        None, Folder(), "Folder that exports of type `file` go below; needs the `embedded` engine. None unless told."
    )
    export_allow_endpoint_url: bool = _setting(
        False,
        Boolean(),
        "Whether an export may name an S3-compatible store by its URL: whoever may export can then make the service "
        "send requests to any host that it reaches.",
    )
    max_request_bytes: int = _setting(LARGEST_BODY, _whole(1, LARGEST_BODY), "Largest request body.")
    max_part_bytes: int = _setting(LARGEST_BODY, _whole(1, LARGEST_BODY), "Largest part of a multipart body.")
    max_instance_bytes: int = _setting(LARGEST_BODY, _whole(1, LARGEST_BODY), "Largest DICOM instance.")
    spool_dir: Path | None = _setting(  # noqa: RUF009 - makes a field, as `dataclasses.field` does
        None, Folder(), "Folder for bodies in flight; the system's temporary folder unless told."
    )
    public_url: str = _setting(
        "", BaseUrl(), "Scheme, host and path that clients see, for links; taken from the request unless told."
    )
    trusted_proxies: int = _setting(
        0, _whole(0, 16), "Proxies in front whose `X-Forwarded-*` headers are believed; `0` believes none."
    )
    cors_origins: tuple[str, ...] = _setting(
        (), Names(*_ORIGINS), "Origins that may call from a browser, `*` for any; none unless told."
    )
    cors_headers: tuple[str, ...] = _setting(
        (), Names(*_HEADERS), "Request headers such a call may carry; any unless told."
    )
    cors_methods: tuple[str, ...] = _setting((), Names(*_METHODS), "Methods such a call may use; any unless told.")
    cors_max_age: int = _setting(600, _whole(0), "How long a browser may remember the answer to a preflight.")
    cors_credentials: bool = _setting(False, Boolean(), "Whether such a call may carry credentials.")
    health_exclude: tuple[str, ...] = _setting((), Names(), "Health checks to leave out.")
    workers: int = _setting(0, _whole(0, 256), "Server processes; `0` is one for each CPU, two at least.")
    threads: int = _setting(8, _whole(1, 1024), "Threads in each server process.")
    log_level: str = _setting(
        "info", String(validate=OneOf(("debug", "info", "warning", "error"))), "Least grave line that is logged."
    )
    log_format: str = _setting(
        "json", String(validate=OneOf(("json", "console"))), "`json`: an object a line; `console`: for eyes."
    )
    pool_size: int = _setting(32, _whole(1, 1000), "Connections each process keeps to S3 and to DynamoDB.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the `BULKHEAD_*` variables; an empty one counts as unset.

        Raises `ConfigurationError` with one line for each variable at fault, names that are no setting among them.
        """
        given = {name: value for name, value in environment.items() if name.startswith(PREFIX) and value.strip()}
        faults = [f"{name}: There is no such setting.{_nearest(name)}" for name in sorted(given.keys() - _BY_VARIABLE)]
        values: dict[str, Any] = {}
        try:
            values = _SCHEMA.load(given)
        except ValidationError as error:
            values = dict(error.valid_data)  # type: ignore[arg-type]  # a dict for a single document
            faults += [f"{name}={given[name]!r}: {' '.join(said)}" for name, said in error.messages_dict.items()]
        settings = cls(**{_BY_VARIABLE[name]: value for name, value in values.items()})
        faults += settings._contradictions()
        if faults:
            raise ConfigurationError("\n".join(faults))
        return settings

    @property
    def server_processes(self) -> int:
        """How many gunicorn workers to run: `workers`, or one for each CPU this process may use, two at least."""
        return self.workers or max(2, _usable_cpus())

    def _contradictions(self) -> Iterator[str]:
        if self.engine == "aws":
            for name in REQUIRED_ON_AWS:
                if not getattr(self, name):
                    yield f"{variable(name)}: The aws engine needs it."
            if self.export_dir:
                yield f"{variable('export_dir')}: Only the embedded engine exports to a folder."
        if self.cors_credentials and "*" in self.cors_origins:
            yield f"{variable('cors_credentials')} with {variable('cors_origins')}=*: Credentials need named origins."


def variable(name: str) -> str:
    """Return the environment variable of the field `name`."""
    return PREFIX + name.upper()


def settings_table(current: Settings | None = None) -> str:
    """Return the settings as a Markdown table: variable, default, meaning; with `current`, their values instead."""
    shown = current or Settings()
    heading = ("Setting", "Value" if current else "Default", "Meaning")
    rows = [
        (f"`{variable(each.name)}`", _printed(getattr(shown, each.name)), each.metadata["meaning"])
        for each in fields(Settings)
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heading, ("---",) * 3, *rows)) + "\n"


def _printed(value: object) -> str:
    match value:
        case bool():
            text = str(value).lower()
        case tuple():
            text = ",".join(value)
        case Path() if not value.is_absolute():
            text = f"./{value}"
        case None:
            text = ""
        case _:
            text = str(value)
    return f"`{text}`" if text else ""


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name.removeprefix(PREFIX).lower(), Settings.__slots__, n=1)
    return f" Did you mean {variable(near[0])}?" if near else ""


def _usable_cpus() -> int:
    # The affinity mask is what a container may use; not every system has one.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _rules(described: tuple[Field[Any], ...]) -> dict[str, Rule[Any]]:
    return {variable(each.name): each.metadata["rule"] for each in described}


_BY_VARIABLE: Final = {variable(each.name): each.name for each in fields(Settings)}
_SCHEMA: Final = Schema.from_dict(_rules(fields(Settings)), name="Environment")(unknown=EXCLUDE)
