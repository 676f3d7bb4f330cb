"""What the service counts about itself, for Prometheus. `app/docs/operations.md` lists every metric.

`kinds` has counters, gauges and histograms, `cells` the memory that holds their values, `folder` the files that the
processes of one server share, `exposition` the text that is scraped. May import errors only, and every part of `app`
may import it.

No label holds a partition, a UID or text of a request: a label must not show what a caller may not see.
"""

from __future__ import annotations

from typing import Final

from app.metrics.kinds import Counter, Gauge, Histogram

SHORT_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for calls to a table or a blob store."""

LONG_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Bounds for requests. A large study takes minutes on a slow network."""

# --- requests -----------------------------------------------------------------------------------------------------

REQUESTS: Final = Counter(
    "bulkhead_http_requests_total", "Requests that were answered.", ("method", "route", "version", "status")
)
REQUEST_SECONDS: Final = Histogram(
    "bulkhead_http_request_duration_seconds",
    "Time from the first step of a request to the last byte of its answer.",
    ("route",),
    bounds=LONG_SECONDS,
)
REQUESTS_IN_FLIGHT: Final = Gauge("bulkhead_http_requests_in_flight", "Requests that are being answered.")
REQUESTS_WAITING: Final = Gauge("bulkhead_http_requests_waiting", "Requests that wait for a work slot.")
RECEIVED_BYTES: Final = Counter("bulkhead_http_received_bytes_total", "Bytes of request bodies that were read.")
SENT_BYTES: Final = Counter("bulkhead_http_sent_bytes_total", "Bytes of answer bodies.")
REFUSALS: Final = Counter(
    "bulkhead_http_refusals_total", "Requests that were answered with an error, by the class of the error.", ("reason",)
)

# --- table, blobs and caches --------------------------------------------------------------------------------------

TABLE_SECONDS: Final = Histogram(
    "bulkhead_table_call_duration_seconds",
    "Time of calls to the table. A query counts up to its first item.",
    ("operation", "outcome"),
    bounds=SHORT_SECONDS,
)
BLOB_SECONDS: Final = Histogram(
    "bulkhead_blob_call_duration_seconds",
    "Time of calls to the blob store. A read counts up to the open stream.",
    ("operation", "outcome"),
    bounds=SHORT_SECONDS,
)
RETRIES: Final = Counter(
    "bulkhead_store_retries_total",
    "Calls to a store that the service repeated, by the class of the error: conflicts and throttling.",
    ("reason",),
)
AWS_FAILED_ATTEMPTS: Final = Counter(
    "bulkhead_aws_failed_attempts_total",
    "Attempts of calls to AWS that failed, also those that were repeated with success.",
    ("service", "reason"),
)
CACHE_LOOKUPS: Final = Counter("bulkhead_cache_lookups_total", "Lookups in the caches of values.", ("cache", "outcome"))

# --- decoding and background work ---------------------------------------------------------------------------------

FRAMES_WAITING: Final = Gauge("bulkhead_decoder_frames_waiting", "Frames that wait for a decoding process.")
FRAMES_DECODING: Final = Gauge("bulkhead_decoder_frames_decoding", "Frames that decoding processes work on.")
STEPS: Final = Counter(
    "bulkhead_background_steps_total", "Steps of the worker that did something, or failed.", ("step", "outcome")
)

# --- computed by the process that is scraped ----------------------------------------------------------------------

PROCESSES: Final = Gauge("bulkhead_processes", "Processes whose numbers are in this answer.")
OLDEST_DUE_SECONDS: Final = Gauge(
    "bulkhead_oldest_due_record_age_seconds", "How long the oldest due record waits for the worker.", ("kind",)
)
FEED_LAG: Final = Gauge("bulkhead_change_feed_lag_entries", "Commits whose entries are not in the change feed yet.")
