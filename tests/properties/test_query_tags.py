"""Stores, re-index and search agree with `Query.matches`, in whatever order tags are added and deleted.

The model keeps the values of each stored instance. For a search, the value of a ready tag is that of the newest
instance with a valid value (conformance §8.6). The order of stores, deletions and re-index steps makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement

from app import bootstrap
from app.dicom.json.dataset import JsonAttributes
from app.dicom.query.parameters import parse_query
from app.dicom.validation.attributes import Level, keyword_of
from app.errors import NotFound, OperationActive, QueryTagExists
from app.services import Services
from app.services.access.caller import ANONYMOUS
from app.services.policy import V1, V2, Policy
from app.services.tags import tasks
from app.services.tags.rules import TagRequest
from app.settings import Settings
from app.storage.table.partitions import Partition
from tests.support.instances import make_instance

Uids = tuple[str, str, str]


class TaggedAttribute(NamedTuple):
    """An attribute: its VR, some valid values, and an invalid one."""

    vr: str
    valid: list[Any]
    invalid: Any = None
    creator: str = ""


ATTRIBUTES: dict[str, TaggedAttribute] = {
    "00101010": TaggedAttribute("AS", ["030Y", "031Y", "030M"], "3Y"),
    "00081070": TaggedAttribute(
        "PN", ["Doe^Jane", "Dö^Jané Ann", "Smith^Jane", "Yamada^Tarou=山田^太郎"], "a^b^c^d^e^f"
    ),
    "00200013": TaggedAttribute("IS", [1, 7, 10, -3], "1x"),
    "00080022": TaggedAttribute("DA", ["20240115", "20240116", "20231231"], "20241301"),
    "00080032": TaggedAttribute("TM", ["00", "000000", "101500.5", "1015"], "2500"),
    "0008002A": TaggedAttribute("DT", ["2024", "20240115101500.000000+0200", "202401151015", "20240115-0500"], "2024x"),
    "0072007E": TaggedAttribute("SS", [-7, 0, 7]),
    "00720074": TaggedAttribute("FD", [2.5, -0.125, 3.0]),
    "00180015": TaggedAttribute("CS", ["KNEE", "HEAD"], "x" * 17),
    "12051003": TaggedAttribute("LO", ["x", "Y", "x y"], creator="ACME 1.0"),
}

VERSIONS: dict[str, Policy] = {"v1": V1, "v2": V2}

STUDIES = ["2.25.1", "2.25.2"]
INSTANCES: list[Uids] = [(s, f"{s}.{j}", f"{s}.{j}.{k}") for s in STUDIES for j in (1, 2) for k in (1, 2, 3)]

# --- events -----------------------------------------------------------------------------------------------------------


class Store(NamedTuple):
    """An instance is stored with one version of the API. `owner` is the creator of its private block."""

    uids: Uids
    values: dict[str, Any]
    version: str
    owner: str


class Delete(NamedTuple):
    """A study is deleted, if it exists."""

    study: str


class Add(NamedTuple):
    """Tags are added, unless one of them exists or a re-index is running."""

    levels: dict[str, Level]


class Remove(NamedTuple):
    """A tag is deleted, if it exists."""

    path: str


class Work(NamedTuple):
    """The worker runs a number of steps."""

    steps: int


Event = Store | Delete | Add | Remove | Work


def values(paths: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Return values of some of these attributes. Some of them are invalid."""
    choices = {
        path: st.sampled_from(
            [
                *ATTRIBUTES[path].valid,
                *ATTRIBUTES[path].valid,
                *([ATTRIBUTES[path].invalid] if ATTRIBUTES[path].invalid else []),
            ]
        )
        for path in paths
    }
    return st.fixed_dictionaries({paths[0]: choices[paths[0]]}, optional={each: choices[each] for each in paths[1:]})


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Event], list[Event]]:
    """Return the events before and after all tags are ready. They are about few attributes, so that they interact."""
    paths = draw(st.lists(st.sampled_from(sorted(ATTRIBUTES)), min_size=1, max_size=3, unique=True))
    owners = st.sampled_from(["ACME 1.0", "ACME 1.0", "OTHER"])
    stores = st.builds(Store, st.sampled_from(INSTANCES), values(paths), st.sampled_from(["v1", "v2"]), owners)
    some = st.sampled_from(paths)
    additions = st.builds(Add, st.dictionaries(some, st.sampled_from(Level), min_size=1))
    removals = st.builds(Remove, some)
    pauses = st.builds(Work, st.integers(1, 4))
    events = st.one_of(
        stores, stores, stores, stores, additions, pauses, st.builds(Delete, st.sampled_from(STUDIES)), removals
    )
    first = [*draw(st.lists(stores, max_size=8)), *draw(st.lists(events, min_size=2, max_size=16))]
    return [*first, draw(additions)], draw(st.lists(events, max_size=4))


# --- the model --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class StoredInstance:
    """A stored instance: the values in its metadata, and its number in the order of stores."""

    number: int
    uids: Uids
    values: dict[str, Any]
    owner: str

    def valid(self, path: str) -> Any:
        attribute = ATTRIBUTES[path]
        value = self.values.get(path)
        of_other_creator = bool(attribute.creator) and attribute.creator != self.owner
        return None if value == attribute.invalid or of_other_creator else value


@dataclass(slots=True)
class Model:
    """The archive in plain Python."""

    instances: dict[Uids, StoredInstance] = field(default_factory=dict)
    tags: dict[str, Level] = field(default_factory=dict)
    created: dict[tuple[str, ...], int] = field(default_factory=dict)
    now: int = 0
    enabled: set[int] = field(default_factory=set)
    """Numbers of the tags that the test enabled after they were ready."""

    def store(self, each: Store) -> bool:
        """Store, unless the instance exists or a tag refuses it. Return whether it was stored."""
        self.now += 1
        invalid = [path for path, value in each.values.items() if value == ATTRIBUTES[path].invalid]
        if each.uids in self.instances or (each.version == "v1" and any(path in self.tags for path in invalid)):
            return False
        dropped = invalid if each.version == "v2" else []
        kept = {path: value for path, value in each.values.items() if path not in dropped}
        self.instances[each.uids] = StoredInstance(self.now, each.uids, kept, each.owner)
        for length in (1, 2, 3):
            self.created.setdefault(each.uids[:length], self.now)
        return True

    def delete(self, study: str) -> bool:
        """Delete a study. Return whether it existed."""
        deleted = [uids for uids in self.instances if uids[0] == study]
        for uids in deleted:
            del self.instances[uids]
        self.created = {uids: number for uids, number in self.created.items() if uids[0] != study}
        return bool(deleted)

    def errors(self, path: str) -> int:
        """Return how many instances cannot be indexed under a tag."""
        return sum(
            path in each.values and each.values[path] == ATTRIBUTES[path].invalid for each in self.instances.values()
        )

    def objects(self, level: Level) -> Iterator[tuple[tuple[str, ...], JsonAttributes]]:
        """Yield (UIDs, attributes of the tags) of the objects of a level, newest first."""
        paths = sorted({uids[:level] for uids in self.instances}, key=lambda uids: -self.created[uids])
        for uids in paths:
            yield uids, {path: self._element(path, uids[:of]) for path, of in self.tags.items() if of <= level}

    def _element(self, path: str, uids: tuple[str, ...]) -> dict[str, Any]:
        newest_first = sorted(self.instances.values(), key=lambda each: -each.number)
        inside = (each for each in newest_first if each.uids[: len(uids)] == uids)
        value = next((value for each in inside if (value := each.valid(path)) is not None), None)
        if ATTRIBUTES[path].vr == "PN" and value:
            value = dict(zip(("Alphabetic", "Ideographic"), value.split("="), strict=False))
        return {"vr": ATTRIBUTES[path].vr, **({} if value is None else {"Value": [value]})}


# --- filter values ----------------------------------------------------------------------------------------------------


def filter_values(path: str) -> list[str]:
    """Return values to search for: stored values, others of the VR, ranges, words and wildcards."""
    attribute = ATTRIBUTES[path]
    stored = [str(value) for value in attribute.valid]
    match attribute.vr:
        case "DA":
            return [*stored, "20240101-20240115", "20240116-", "-20231231"]
        case "TM":
            return ["00", "0000-09", "101500.5", "1015-101501", "-000000"]
        case "DT":
            moments = ["2024", "20240115101500", "20240115101500+0200", "20240115081500", "20240115-0500"]
            return [
                *moments,
                "20240101000000-2025",
                "-2024",
                "-20240115-0500",
                "20240115+0200-20240115+0200",
                "2024-0500-",
            ]
        case "PN":
            return [*stored, "do jan", "ann", "DOE*", "yamada^tarou", "jane smith"]
        case "IS" | "SS" | "FD":
            return [*stored, "007", "3", "2.50"]
    return [*stored, "kn*", "x?y", "X"]


# --- the archive ------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "BATCH", 3)
    monkeypatch.setattr(tasks, "DELETIONS", 5)


def part10_of(each: Store) -> bytes:
    named = {keyword_of(path): value for path, value in each.values.items() if not ATTRIBUTES[path].creator}
    private = [
        DataElement(int(path, 16), "LO", value) for path, value in each.values.items() if ATTRIBUTES[path].creator
    ]
    overrides: dict[str, Any] = {"InstanceNumber": None, "SpecificCharacterSet": "ISO_IR 192", **named}
    if isinstance(overrides["InstanceNumber"], int):
        overrides["InstanceNumber"] = str(overrides["InstanceNumber"])
    study, series, instance = each.uids
    block = [DataElement(0x12050010, "LO", each.owner), *private]
    return make_instance(study=study, series=series, instance=instance, pixel=False, extra=block, **overrides)


def work(services: Services, steps: int = 1000) -> None:
    for _ in range(steps):
        found = [step() for step in services.background]
        if not any(found):
            return


def apply(services: Services, partition: Partition, model: Model, event: Event) -> None:
    """Apply an event to the archive and to the model. Assert that both have the same result."""
    tags = services.query_tags
    match event:
        case Store():
            report = services.store(partition, [BytesIO(part10_of(event))], None, VERSIONS[event.version])
            assert bool(report.stored) == model.store(event), report
        case Delete(study):
            try:
                services.delete(partition, study)
            except NotFound:
                assert not model.delete(study)
            else:
                assert model.delete(study)
        case Add(levels):
            requested = [
                TagRequest(path=path, level=level, vr=ATTRIBUTES[path].vr or "", creator=ATTRIBUTES[path].creator or "")
                for path, level in levels.items()
            ]
            try:
                tags.add(ANONYMOUS, requested)
            except QueryTagExists:
                assert levels.keys() & model.tags.keys()
            except OperationActive:
                return
            else:
                assert not levels.keys() & model.tags.keys()
                model.tags |= levels
        case Remove(path):
            if path in model.tags:
                tags.delete(path)
                del model.tags[path]
        case Work(steps):
            work(services, steps)


def check(services: Services, partition: Partition, model: Model) -> None:
    """Assert that searches by each tag find what the model says."""
    listed = {each.tag.path: each for each in services.query_tags.page(ANONYMOUS, offset=0, limit=200)}
    assert {path: each.tag.level for path, each in listed.items()} == model.tags
    for path, each in listed.items():
        assert each.tag.status == "ready"
        assert each.errors == model.errors(path)
        if each.errors and each.tag.number not in model.enabled:
            assert each.tag.query_status == "disabled"
        services.query_tags.patch(ANONYMOUS, path, "enabled")
        model.enabled.add(each.tag.number)
    catalogue = services.query_tags._tags.read().catalogue
    for path, of in model.tags.items():
        for level in (level for level in Level if level >= of):
            objects = list(model.objects(level))
            for value in filter_values(path):
                for fuzzy in ("true", "false") if ATTRIBUTES[path].vr == "PN" else ("false",):
                    parameters = [(path, value), ("fuzzymatching", fuzzy)]
                    query = parse_query(level, None, None, parameters, catalogue)
                    keyed = [(uids, _keyed(attributes, catalogue)) for uids, attributes in objects]
                    expected = [uids for uids, attributes in keyed if query.matches(attributes)]
                    report = services.search(partition, level.word, None, None, parameters, V2, _link)
                    assert [_uids(orjson.loads(document)) for document in report.documents] == expected, (
                        path,
                        of,
                        level,
                        value,
                    )
                    assert report.erroneous == ((path,) if model.errors(path) else ())


def _keyed(attributes: JsonAttributes, catalogue: Any) -> JsonAttributes:
    return {catalogue.attributes[path].key: element for path, element in attributes.items()}


def _link(*uids: str | None) -> str:
    return "/".join(filter(None, uids))


def _uids(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(row["00081190"]["Value"][0]).split("/"))


@settings(max_examples=60)
@given(history=histories())
def test_search_agrees_with_the_model(history: tuple[list[Event], list[Event]]) -> None:
    with TemporaryDirectory() as folder:
        chosen = Settings(data_dir=Path(folder), log_level="error")
        services, model = bootstrap.build_services(chosen, bootstrap.build_engine(chosen)), Model()
        partition = services.partitions.resolve("clinic", create=True)
        for events in history:
            for event in events:
                apply(services, partition, model, event)
            work(services)
            check(services, partition, model)
