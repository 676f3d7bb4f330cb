"""The table of scenarios: what is measured, what it is compared with, and the required ratio."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from typing import Final

from tests.benchmarks import calls
from tests.benchmarks.calls import Call
from tests.benchmarks.corpus import (
    FRAME_BYTES,
    FRAMES,
    LONG_FRAMES,
    MODALITIES,
    SHARED,
    SHARED_DATES,
    SIDE,
    SLICES_PER_SERIES,
    Corpus,
    Image,
    batches,
    uid,
)


class Versus(Enum):
    """What the measured server is compared with."""

    PEER = "rate against the peer's"
    FEW = "p50 against the same server's with few studies"
    IDLE = "resident MB over idle"


@dataclass(frozen=True, slots=True)
class Bar:
    """The required figure and the desired figure. A rate must reach it, a growth or a memory must not exceed it."""

    required: float
    aim: float


@dataclass(frozen=True, slots=True)
class Batch:
    """The calls of each client, calls that prepare them and are not measured, and calls that check the result."""

    clients: Sequence[Sequence[Call]]
    afterwards: Sequence[Call] = ()
    before: Sequence[Call] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table. `plan` returns the batch of a lap: new images for a store, the same calls for a read.

    A scenario of memory runs `turns` times. `alone`: the peer does not run it.
    """

    name: str
    title: str
    plan: Callable[[Corpus, str], Batch]
    bar: Bar | None = None
    needs: tuple[str, ...] = ()
    stores: bool = False
    versus: Versus = Versus.PEER
    turns: int = 5
    alone: bool = False


def _store(requests: int, per_request: int, clients: int, source: str = "slices") -> Callable[[Corpus, str], Batch]:
    """Each client stores a new study of its own: `requests` times `per_request` images."""

    def plan(corpus: Corpus, turn: str) -> Batch:
        amount = requests * per_request
        images = [list(islice(_fresh(corpus, source, turn, client), amount)) for client in range(clients)]
        sent = [[calls.store(batch) for batch in batches(mine, per_request)] for mine in images]
        found = [calls.members(mine[0].study, len(mine), limit=200) for mine in images]
        return Batch(sent, [*found, calls.instance(images[-1][-1])])

    return plan


def _store_studies(requests: int, clients: int) -> Callable[[Corpus, str], Batch]:
    """Each client stores `requests` small instances, one per request. Each instance is a new study."""

    def plan(corpus: Corpus, turn: str) -> Batch:
        images = [
            [_new_study(corpus, turn, client * requests + number) for number in range(requests)]
            for client in range(clients)
        ]
        sent = [[calls.store([image]) for image in mine] for mine in images]
        last = [mine[-1] for mine in images]
        return Batch(sent, [*(calls.members(image.study, 1) for image in last), *map(calls.instance, last)])

    return plan


def _new_study(corpus: Corpus, turn: str, number: int) -> Image:
    names = (corpus.seed, "new study", turn, number)
    return corpus.scouts[number % len(corpus.scouts)].renamed(uid(*names), uid(*names, 0), uid(*names, 0, 0))


def _fresh(corpus: Corpus, source: str, turn: str, client: int) -> Iterator[Image]:
    """Yield images of the corpus with UIDs of this lap and client: one study with one series, without end."""
    originals: Sequence[Image] = getattr(corpus, source)
    names = (corpus.seed, "fresh", source, turn, client)
    number = 0
    while True:
        image = originals[(client * 50 + number) % len(originals)]
        yield image.renamed(uid(*names), uid(*names, 0), uid(*names, 0, number))
        number += 1


def _read(make: Callable[[Corpus], Sequence[Call]], clients: int = 1) -> Callable[[Corpus, str], Batch]:
    """The calls are distributed over the clients."""

    def plan(corpus: Corpus, turn: str) -> Batch:
        made = make(corpus)
        return Batch([made[client::clients] for client in range(clients)])

    return plan


def _instances(corpus: Corpus) -> list[Call]:
    return [calls.instance(image) for image in corpus.slices]


def _decoded_frames(corpus: Corpus, images: Sequence[Image]) -> list[Call]:
    return [calls.decoded_frame(image, corpus.pixels_of_slice(number)) for number, image in enumerate(images)]


def _long_film(corpus: Corpus, turn: str) -> Batch:
    image = corpus.long_film(turn)
    return Batch([[calls.decoded_file(image, LONG_FRAMES * FRAME_BYTES)]], before=[calls.store([image])])


def _first_image(corpus: Corpus) -> list[Call]:
    """The requests of OHIF 3 until the first image of a study of 400 is shown. Together they count as one."""
    images = corpus.slices
    study, all_series = images[0].study, batches(images, SLICES_PER_SERIES)
    requests = [
        calls.search(f"StudyInstanceUID={study}&includefield=00081030,00080060", [study]),
        calls.series_of(study, len(all_series)),
        *map(calls.series_metadata, all_series),
    ]
    return [*(replace(request, units=0) for request in requests), calls.frame(images[0], 1)]


def _pictures(
    clients: int = 1, side: int = SIDE, query: str = "?quality=90", source: str = "slices"
) -> Callable[[Corpus, str], Batch]:
    """Render CT slices. 90 is the default quality of the peer.

    A thumbnail is a small picture here, because not every server has the resource of that name.
    """

    def requests(corpus: Corpus) -> list[Call]:
        images: Sequence[Image] = getattr(corpus, source)
        return [calls.rendered(image, 1, side, query) for image in images[:100]]

    return _read(requests, clients)


def _patients(corpus: Corpus) -> list[Call]:
    return [calls.search(f"PatientID={s.patient_id}", [s.study]) for s in corpus.studies[SHARED:300:9]]


def _months(corpus: Corpus) -> list[Call]:
    """One month each: about 17 of the 3,000 studies."""
    months = [f"{year}{month:02d}" for year in range(2011, 2024) for month in (3, 10)]
    return [_dates(corpus, f"{month}01", f"{month}31") for month in months]


def _dates(corpus: Corpus, first: str, last: str) -> Call:
    found = [study.study for study in corpus.studies if first <= study.study_date <= last]
    return calls.search(f"StudyDate={first}-{last}", found)


def _modalities(corpus: Corpus) -> list[Call]:
    """The studies of one modality in one month: about 3 of the 3,000 studies."""
    return [_studies_of(corpus, f"{year}03", MODALITIES[year % len(MODALITIES)]) for year in range(2011, 2024)]


def _studies_of(corpus: Corpus, month: str, modality: str) -> Call:
    found = [each.study for each in corpus.studies if each.study_date[:6] == month and each.modality == modality]
    return calls.search(f"StudyDate={month}01-{month}31&ModalitiesInStudy={modality}", found)


def _names(corpus: Corpus) -> list[Call]:
    """Five letters of a family name: about 20 of the 3,000 studies."""
    found: dict[str, list[str]] = {}
    for study in corpus.studies:
        found.setdefault(study.patient_name[:5], []).append(study.study)
    return [calls.search_name(prefix, studies) for prefix, studies in sorted(found.items())[::5]]


def _growth(name: str, title: str, plan: Callable[[Corpus, str], Batch], stores: bool = False) -> Scenario:
    return Scenario(name, title, plan, Bar(1.2, 1.05), ("small",), stores, Versus.FEW)


SCENARIOS: Final = (
    Scenario("store", "store CT, 1 per request", _store(40, 1, 1), Bar(1.3, 2), stores=True),
    Scenario("store-8", "store CT, 1 per request, 8 clients", _store(10, 1, 8), Bar(1.3, 2), stores=True),
    Scenario("store-20", "store CT, 20 per request", _store(4, 20, 1), Bar(2.2, 3), stores=True),
    Scenario("store-20-8", "store CT, 20 per request, 8 clients", _store(2, 20, 8), Bar(1.8, 3), stores=True),
    Scenario("store-studies", "store new studies of 10 KB", _store_studies(60, 1), Bar(1.2, 2), stores=True),
    Scenario(
        "store-studies-8", "store new studies of 10 KB, 8 clients", _store_studies(15, 8), Bar(1.2, 2), stores=True
    ),
    Scenario(
        "store-radiograph", "store a radiograph of 10 MB", _store(5, 1, 1, "radiographs"), Bar(1.5, 2.5), stores=True
    ),
    Scenario("store-film", "store the multi-frame of 157 MB", _store(1, 1, 1, "films"), Bar(3, 4), stores=True),
    Scenario("instance", "retrieve an instance", _read(_instances), Bar(2, 4), ("slices",)),
    Scenario("instance-8", "retrieve an instance, 8 clients", _read(_instances, 8), Bar(2, 4), ("slices",)),
    Scenario(
        "radiograph",
        "retrieve a radiograph of 10 MB",
        _read(lambda corpus: [calls.instance(image) for image in corpus.radiographs]),
        needs=("radiographs",),
    ),
    Scenario(
        "series",
        "retrieve a series of 200",
        _read(lambda corpus: [calls.series(series) for series in batches(corpus.slices, SLICES_PER_SERIES)]),
        Bar(1.0, 1.5),
        ("slices",),
    ),
    Scenario(
        "frame",
        "one frame of a CT",
        _read(lambda corpus: [calls.frame(image, 1) for image in corpus.slices[::8]]),
        Bar(2, 4),
        ("slices",),
    ),
    Scenario(
        "frame-150",
        "frame 150 of the multi-frame",
        _read(lambda corpus: [calls.frame(corpus.film, 150, FRAMES)]),
        Bar(100, 400),
        ("films",),
    ),
    Scenario("rendered", "rendered JPEG of a CT", _pictures(), Bar(2, 4), ("slices",)),
    Scenario("rendered-8", "rendered JPEG of a CT, 8 clients", _pictures(8), Bar(2, 4), ("slices",)),
    Scenario(
        "rendered-jpeg-2000",
        "rendered JPEG of a JPEG 2000 CT",
        _pictures(source="slices_in_jpeg_2000"),
        needs=("slices_in_jpeg_2000",),
        alone=True,  # it answers 400 "Parameter out of range"
    ),
    Scenario(
        "rendered-150",
        "rendered frame 150 of the multi-frame",
        _read(lambda corpus: [calls.rendered(corpus.film, 150, SIDE, "?quality=90")]),
        Bar(50, 300),
        ("films",),
    ),
    Scenario(
        "thumbnail",
        "picture of a CT in 256 by 256",
        _pictures(1, 256, "?viewport=256,256&quality=90"),
        Bar(2, 5),
        ("slices",),
    ),
    Scenario("first-image", "first image of a study of 400", _read(_first_image), Bar(3, 6), ("slices",)),
    Scenario(
        "frame-jpeg-2000",
        "JPEG 2000 frame -> Explicit VR LE",
        _read(lambda corpus: _decoded_frames(corpus, corpus.slices_in_jpeg_2000)),
        needs=("slices_in_jpeg_2000",),
        alone=True,  # Orthanc needs a plugin for JPEG 2000, with which it crashes (orthanc-gdcm 1.5, Debian 12)
    ),
    Scenario(
        "frame-rle",
        "RLE frame -> Explicit VR LE",
        _read(lambda corpus: _decoded_frames(corpus, corpus.slices_in_rle)),
        Bar(1.5, 3),
        ("slices_in_rle",),
    ),
    Scenario(
        "study-metadata",
        "study metadata, 400 instances",
        _read(lambda corpus: [calls.study_metadata(corpus.slices)]),
        Bar(20, 60),
        ("slices",),
    ),
    Scenario(
        "study-metadata-8",
        "study metadata, 400 instances, 8 clients",
        _read(lambda corpus: [calls.study_metadata(corpus.slices)] * 8, 8),
        Bar(10, 20),
        ("slices",),
    ),
    Scenario(
        "instance-metadata",
        "metadata of one instance",
        _read(lambda corpus: [calls.instance_metadata(image) for image in corpus.slices[::8]]),
        Bar(1.5, 4),
        ("slices",),
    ),
    Scenario("search-patient", "search by PatientID", _read(_patients), Bar(3, 6), ("small",)),
    Scenario("search-dates", "search by date range", _read(_months), Bar(5, 15), ("small",)),
    Scenario(
        "search-modality-dates", "search by modality and date range", _read(_modalities), Bar(8, 15), needs=("small",)
    ),
    Scenario("search-name", "search by name prefix", _read(_names), Bar(5, 15), ("small",)),
    Scenario(
        "search-all", "search without a filter, 100 rows", _read(lambda _: [calls.newest(100)]), Bar(10, 30), ("small",)
    ),
    Scenario(
        "search-instances",
        "search the instances of a study, 100 rows",
        _read(lambda corpus: [calls.members(corpus.slices[0].study, 100)]),
        Bar(10, 40),
        ("slices", "small"),
    ),
    _growth("growth-store", "store CT, 3,000 studies against 300", _store(20, 1, 1), stores=True),
    _growth("growth-patient", "search by PatientID, 3,000 against 300", _read(_patients)),
    _growth(
        "growth-dates",
        "search by date range, 3,000 against 300",
        _read(lambda corpus: [_dates(corpus, *SHARED_DATES)]),
    ),
    _growth("growth-all", "search without a filter, 3,000 against 300", _read(lambda _: [calls.newest(100)])),
    Scenario(
        "memory",
        "store the multi-frame of 157 MB",
        _store(1, 1, 1, "films"),
        Bar(100, 40),
        versus=Versus.IDLE,
        stores=True,
    ),
    Scenario(
        "memory-jpeg-2000",
        "JPEG 2000 multi-frame of 1 GB -> Explicit VR LE",
        _long_film,
        Bar(150, 80),
        versus=Versus.IDLE,
        turns=1,
        alone=True,  # it does not begin to answer within the timeout
    ),
)
