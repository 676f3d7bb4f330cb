"""Settings of the health checks, of the metrics, the traces and the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from marshmallow.fields import Boolean, String
from marshmallow.validate import OneOf

from app.settings.declaration import FilePath, Names, SettingsGroup, setting


@dataclass(frozen=True, kw_only=True)
class MonitoringSettings(SettingsGroup):
    """The health checks that are made, the metrics and traces, and the level and the form of the log."""

    health_exclude: tuple[str, ...] = setting((), Names(), "Health checks to leave out, separated by commas.")
    metrics: bool = setting(True, Boolean(), "Answer `/metrics` with numbers for Prometheus.")
    metrics_dir: Path | None = setting(  # noqa: RUF009 - a field
        None,
        FilePath(),
        "Folder in which the processes of one server keep the numbers of `/metrics`. Default: a new one at each start.",
    )
    traces: bool = setting(
        False,
        Boolean(),
        "Send spans to an OpenTelemetry collector, as the variables `OTEL_*` say. Needs `pip install bulkhead[otel]`.",
    )
    log_level: str = setting(
        "info", String(validate=OneOf(("debug", "info", "warning", "error"))), "The lowest level that is logged."
    )
    log_format: str = setting(
        "json",
        String(validate=OneOf(("json", "console"))),
        "Form of a log line. `json`: one JSON object. `console`: text for people.",
    )

    def contradictions(self) -> Iterator[str]:
        if self.traces and not all(find_spec(each) for each in ("opentelemetry", "opentelemetry.sdk")):
            yield "BULKHEAD_TRACES=true: This needs the packages of `pip install bulkhead[otel]`."
