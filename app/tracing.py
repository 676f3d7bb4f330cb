"""Spans for OpenTelemetry: requests, calls to table and blob store, steps of operations.

Spans need `pip install bulkhead[otel]` and `BULKHEAD_TRACES=true`. Without them, a function here does nothing. The
variables `OTEL_*` say where spans are sent and how many; the SDK reads them. A span has the template of a path, a
status, an operation: never a value of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span, Tracer

P = ParamSpec("P")
R = TypeVar("R")

_PARENT: Final = "traceparent"
"""The header of W3C Trace Context, and its value as a stored text."""

_tracers: Final[list[Tracer]] = []
"""The tracer of this process. Empty: spans are off."""


def start(processor: SpanProcessor | None = None) -> None:
    """Make spans from now on. `processor` gets them; by default they are sent in the background by OTLP over HTTP.

    Call this after a fork, because the sending has a thread. The settings have checked that the extra is installed.
    """
    if _tracers and processor is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over the name here.
    resource = Resource.create({SERVICE_NAME: "bulkhead"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
    _tracers[:] = [provider.get_tracer("bulkhead")]


def stop() -> None:
    """Make no spans from now on."""
    _tracers.clear()


class RequestSpan:
    """The span of a request. Spans that begin in its thread before `end` are below it."""

    def __init__(self, tracer: Tracer, method: str, parent: str) -> None:
        from opentelemetry import context, trace

        self._span: Span = tracer.start_span(method, context=_context_of(parent), kind=trace.SpanKind.SERVER)
        self._token = context.attach(trace.set_span_in_context(self._span))
        self.trace_id: Final = f"{self._span.get_span_context().trace_id:032x}"

    def end(self, method: str, route: str, status: int) -> None:
        """End the span. `route` is the template of the path."""
        from opentelemetry import context, trace

        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(
            {"http.request.method": method, "http.route": route, "http.response.status_code": status}
        )
        if status >= 500:
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()
        context.detach(self._token)


def request_span(method: str, parent: str) -> RequestSpan | None:
    """Return the span of a request, below the span in its header `traceparent`. None while spans are off."""
    return RequestSpan(_tracers[0], method, parent) if _tracers else None


def traced(call: Callable[P, R], name: str) -> Callable[P, R]:
    """Return the function with a span around each call, the same function while spans are off.

    A call outside of every span has none: an idle worker reads the table all the time.
    """
    if not _tracers:
        return call
    from opentelemetry import trace

    def within_span(*args: P.args, **kwargs: P.kwargs) -> R:
        if not trace.get_current_span().get_span_context().is_valid:
            return call(*args, **kwargs)
        with span(name):
            return call(*args, **kwargs)

    return within_span


@contextmanager
def span(name: str, parent: str = "", **attributes: str) -> Iterator[None]:
    """Make a span around the block. An error marks it with the class of the error, never with its text.

    `parent` is a text of `current_parent`. Without one, the span is below that of the caller.
    """
    if not _tracers:
        yield
        return
    from opentelemetry import trace

    with _tracers[0].start_as_current_span(
        name,
        context=_context_of(parent) if parent else None,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield
        except Exception as error:
            current.set_status(trace.StatusCode.ERROR)
            current.set_attribute("error.type", type(error).__qualname__)
            raise


def current_parent() -> str:
    """Return the current span as a text that can be stored, empty while spans are off."""
    if not _tracers:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(_PARENT, "")


def _context_of(parent: str) -> Any:
    """Return the context of a `traceparent`, an empty one for other text."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({_PARENT: parent}, Context())
