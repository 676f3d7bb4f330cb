"""A campaign on one application in this process: requests until a number is reached, and what they found."""

from __future__ import annotations

import io
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Final

import structlog

from app import bootstrap, create_app, logs
from app.errors import StorageError
from app.services.audit.verification import verify
from app.settings import Settings
from app.web.routing import dispatch
from tests.fuzz import bodies
from tests.fuzz.grammar import PARTITIONS, FuzzedRequest, as_environment, as_header, fuzzed
from tests.fuzz.mutation import mutated_text
from tests.support.access import authenticated, bearer
from tests.support.dicomweb import related
from tests.support.faulty_engine import Faults
from tests.support.random_faults import Fault, RandomFaults

FAULTS: Final = {Fault.FAIL_BEFORE: 0.01, Fault.CONFLICT: 0.01, Fault.THROTTLE: 0.005}
"""How often a call to the data store fails, in the part of a campaign that has faults."""

CALLERS: Final[tuple[tuple[tuple[str, ...], tuple[Mapping[str, Any], ...]], ...]] = (
    (("globalAdmin",), ()),
    (("globalAdmin",), ()),
    (("globalReader",), ()),
    ((), ({"role": "editor", "partitions": ["clinic-*"]},)),
    ((), ({"role": "writer", "partitions": ["never-made"]},)),
    ((), ()),
)
"""Roles and grants of the callers. The first one may do everything."""

WARM_UP: Final = 0.3
"""The part of a campaign in which caches fill. The memory is compared with the one after it."""


MEMORY_GROWTH: Final = 64 << 20
"""Bytes by which the memory of a process may grow after the warm-up."""
REQUESTS_A_ROUND: Final = 25_000
"""Requests to one archive. The next round begins with a fresh archive, in a fresh process."""

WORK_EVERY: Final = 200
"""Requests between two rounds of background work."""


@dataclass(slots=True)
class Findings:
    """What a campaign found. `failures` has a request for each kind of failure."""

    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    warm_memory: int = 0
    """Resident memory after the warm-up and at the end, in bytes."""
    memory: int = 0

    def add(self, other: Findings) -> None:
        self.statuses.update(other.statuses)
        self.failures.update(other.failures)
        self.warm_memory, self.memory = max(self.warm_memory, other.warm_memory), max(self.memory, other.memory)


class Campaign:
    """Requests from the grammar to a fresh archive in `folder`. A seed repeats the requests.

    With `faults`, calls to the data store fail at random: then an answer may be 503. With `callers`, the service
    authenticates, and the requests have credentials of several callers, some of them damaged.
    """

    def __init__(self, folder: Path, seed: int, *, faults: bool = False, callers: bool = False) -> None:
        self._random = Random(seed)
        self._seed = seed
        self._with_faults = faults
        self._trail = folder / "audit.log"
        access = authenticated(folder, auth=("jwt", "tokens")) if callers else {}
        self._credentials = [bearer(roles=roles, grants=grants) for roles, grants in CALLERS] if callers else []
        chosen = Settings(
            data_dir=folder / "data", log_level="error", decoding_processes=1, audit=str(self._trail), **access
        )
        engine = bootstrap.build_engine(chosen)
        drawn = Faults()
        application = create_app(chosen, drawn.wrap(engine))
        self._application = application.wsgi_app
        self._background = application.extensions[dispatch.SERVICES].background
        self._seed_archive()
        if faults:
            drawn.add(RandomFaults(seed, FAULTS).rule())

    def run(self, count: int, progress: Callable[[int], None] = lambda _: None) -> Findings:
        """Send `count` requests. Return what they found."""
        found = Findings()
        for number in range(count):
            request = self._with_credentials(fuzzed(self._random))
            self._check(request, number, found)
            if number % WORK_EVERY == 0:
                self._work(found)
                self._seed_archive()
            if number == int(count * WARM_UP):
                found.warm_memory = resident()
            if number % 500 == 499:
                progress(500)
        found.memory = resident()
        faults = verify([self._trail]).faults
        if faults:
            found.failures["the audit trail is damaged"] = f"seed {self._seed}: {faults[0]}"
        return found

    def _seed_archive(self) -> None:
        """Store the instances that most requests name. Some of the requests delete them."""
        body = related(*bodies.files()[-5:])
        for partition in PARTITIONS[:3]:
            self._call(
                FuzzedRequest(
                    method="POST",
                    path=f"/v2/partitions/{partition}/studies",
                    query="",
                    headers=(
                        ("Content-Type", 'multipart/related; type="application/dicom"; boundary=b1'),
                        *(self._credentials[0].items() if self._credentials else ()),
                    ),
                    body=body,
                )
            )

    def _with_credentials(self, request: FuzzedRequest) -> FuzzedRequest:
        """Return the request with the credentials of a caller, if the service wants them. Some are damaged."""
        if not self._credentials:
            return request
        value = self._random.choice(self._credentials)["Authorization"]
        if self._random.random() < 0.1:
            value = as_header(mutated_text(self._random, value))
        return replace(request, headers=(*request.headers, ("Authorization", value)))

    def _work(self, found: Findings) -> None:
        """Do a step of each kind of background work: the operations that requests started."""
        for step in self._background:
            try:
                step()
            except StorageError as error:
                if not self._with_faults:
                    found.failures.setdefault(f"background {error!r}", f"seed {self._seed}")
            except Exception as error:  # noqa: BLE001 - an error of the background work is what is looked for
                found.failures.setdefault(f"background {error!r}", f"seed {self._seed}")

    def _check(self, request: FuzzedRequest, number: int, found: Findings) -> None:
        started = time.monotonic()
        with structlog.testing.capture_logs() as lines:
            try:
                status = self._call(request)
            except Exception as error:  # noqa: BLE001 - an error outside of the application is what is looked for
                status, lines = 0, [{"error": [repr(error)], "traceback": ""}]
        found.statuses[status] += 1
        seconds = time.monotonic() - started
        if status >= 500 and not (status == 503 and self._with_faults):
            kind = next((f"{line.get('error')} {_place(str(line.get('traceback')))}" for line in lines), f"{status}")
        elif status == 0:
            kind = f"{lines[0]['error']}"
        elif seconds > 20:
            kind = f"{request.method} took {seconds:.0f} seconds"
        else:
            return
        found.failures.setdefault(f"{status} {kind}", f"seed {self._seed}, request {number}: {request!r}"[:4000])

    def _call(self, request: FuzzedRequest) -> int:
        """Return the status of the answer, after its whole body was read."""
        statuses: list[str] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            statuses.append(status)
            if any(re.search(r"[\r\n\0]", name + value) for name, value in headers):
                raise ValueError("a header of the answer has more than one line")
            return lambda _: None

        streams = {"wsgi.input": io.BytesIO(request.body), "wsgi.errors": sys.stderr, "wsgi.input_terminated": True}
        answer = self._application(as_environment(request, **streams), start_response)
        try:
            for _ in answer:
                pass
        except Exception:
            if not self._with_faults:
                raise
        finally:
            close = getattr(answer, "close", None)
            if close:
                close()
        return int(statuses[-1].split()[0])


def _place(traceback: str) -> str:
    """Return where an error was raised: the last file and line of its traceback."""
    places = re.findall(r'File "[^"]*?/(app/[^"]+|[^"/]+)", line (\d+)', traceback)
    return ":".join(places[-1]) if places else ""


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def run_round(seed: int, count: int, *, faults: bool, callers: bool) -> Findings:
    """Run one campaign in this process."""
    logs.configure("error", "json")
    with tempfile.TemporaryDirectory() as folder:
        found = Campaign(Path(folder), seed, faults=faults, callers=callers).run(count)
    growth = found.memory - found.warm_memory
    if growth > MEMORY_GROWTH:
        found.failures[f"seed {seed}: the memory grew by {growth >> 20} MiB"] = f"{count} requests"
    return found
