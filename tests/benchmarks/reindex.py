"""Re-indexing: instances a second, and the store rate during a re-index.

python -m tests.benchmarks.reindex                      4,000 small instances, five laps
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from statistics import median
from typing import Final

import click
import requests

from tests.benchmarks.corpus import Corpus, Image, uid
from tests.integration.copies import served
from tests.support.instances import make_instance

BAR: Final = 0.7
"""The required share of the store rate while a re-index runs."""

IDLE_SECONDS: Final = 3.0
_BETWEEN_POLLS: Final = 0.25
TAGS: Final = [{"path": "PatientAge", "level": "Study"}, {"path": "AcquisitionNumber", "level": "Instance"}]
DICOM: Final = {"Content-Type": "application/dicom"}


class Archive:
    """A running archive with one partition."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v2"
        self._session = requests.Session()
        self._numbers = count()

    def fill(self, instances: int) -> None:
        """Store small instances, ten to a study, twenty to a request."""
        for start in range(0, instances, 20):
            made = (
                make_instance(study=uid("fill", n // 10), instance=uid("fill", n // 10, n), AcquisitionNumber=str(n))
                for n in range(start, start + 20)
            )
            body = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + each + b"\r\n" for each in made)
            headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
            self._answered("POST", "/partitions/bench/studies", data=body + b"--b--\r\n", headers=headers)

    def store_rate(self, image: Image, going_on: Callable[[], bool]) -> tuple[int, float]:
        """Store one slice after another while `going_on`. Return their number and the seconds."""
        started = time.perf_counter()
        stored = 0
        while going_on():
            fresh = image.renamed(uid("rate"), uid("rate", 1), uid("rate", next(self._numbers)))
            self._answered("POST", "/partitions/bench/studies", data=fresh.data, headers=DICOM)
            stored += 1
        return stored, time.perf_counter() - started

    def reindex(self) -> Callable[[], bool]:
        """Add the tags. Return a function that says whether the re-index still runs."""
        operation = self._answered("POST", "/extendedquerytags", json=TAGS).json()["href"]
        asked = time.perf_counter()

        def going_on() -> bool:
            nonlocal asked
            if time.perf_counter() < asked + _BETWEEN_POLLS:
                return True  # each poll costs the server time
            asked = time.perf_counter()
            return self._session.get(operation).status_code == 202

        return going_on

    def forget(self) -> None:
        for tag in TAGS:
            self._answered("DELETE", f"/extendedquerytags/{tag['path']}")

    def _answered(self, method: str, path: str, **request: object) -> requests.Response:
        response = self._session.request(method, self._url + path, **request)  # type: ignore[arg-type]
        assert response.status_code in (200, 202, 204), response.text
        return response


def _for(seconds: float) -> Callable[[], bool]:
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() < end


def _laps(archive: Archive, image: Image, instances: int, laps: int) -> Iterator[tuple[float, float]]:
    """Yield for each lap: instances re-indexed a second, and the store rate over the rate without a re-index."""
    for _ in range(laps):
        before, seconds = archive.store_rate(image, _for(IDLE_SECONDS))
        idle = before / seconds
        stored, seconds = archive.store_rate(image, archive.reindex())
        archive.forget()
        after, resting = archive.store_rate(image, _for(IDLE_SECONDS))
        yield instances / seconds, stored / seconds / ((idle + after / resting) / 2)


@click.command(help=__doc__)
@click.option("--instances", default=4000, show_default=True, help="Instances in the archive.")
@click.option("--laps", default=5, show_default=True)
def main(instances: int, laps: int) -> None:
    image = Corpus().slices[0]
    with (
        tempfile.TemporaryDirectory(prefix="reindex-") as folder,
        served({"BULKHEAD_DATA_DIR": folder, "BULKHEAD_LOG_LEVEL": "error"}) as copy,
    ):
        archive = Archive(copy.url)
        archive.fill(instances)
        rates, left = zip(*_laps(archive, image, instances, laps), strict=True)
    span = f"{min(rates):.0f} to {max(rates):.0f}"
    click.echo(f"re-index: {median(rates):.0f} instances/s ({span}), beside one store client")
    verdict = "PASS" if median(left) >= BAR else "MISS"
    span = f"{min(left):.2f} to {max(left):.2f}"
    click.echo(f"store rate during the re-index: {median(left):.2f}x ({span}) | at least {BAR} | {verdict}")


if __name__ == "__main__":
    main()
