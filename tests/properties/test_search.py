"""After any history of stores and deletions, a search finds the objects that `Query.matches` accepts, newest first.

The model is plain Python. It holds the searchable values of each study, series and instance after the history
(conformance §3.10 "latest wins", conformance §6). The pages of the archive are so small that each branch of the planner
runs.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from app import bootstrap
from app.dicom.json.dataset import JsonElement
from app.dicom.query.parameters import Catalogue, parse_query
from app.dicom.validation.attributes import CORE, UNINDEXED, Level
from app.errors import NotFound
from app.services import Services
from app.services.policy import V2
from app.settings import Settings
from app.storage.records import posted_values
from app.storage.search import candidates, date_ranges, due_marks, page_builder, page_candidates, posting_lists, sources
from app.storage.table.partitions import Partition
from tests.support.instances import make_instance
from tests.support.selection import thorough

Uids = tuple[str, str, str]
Attributes = dict[str, JsonElement]

# --- what is stored ---------------------------------------------------------------------------------------------------

VALUES: dict[str, list[str | None]] = {
    "PatientID": ["P1", "p1", "P2", "P10", "Ä1", "P*"],
    "PatientName": [
        None,
        "Doe^Jane",
        "Doe^John^Q",
        "Dö^Jané",
        "Smith^Jane Ann",
        "Yamada^Tarou=山田^太郎",
        "=山田^花子",
        "홍^길동",
        "Doe" * 21 + "=" + "Jane" * 16 + "=" + "Doe^" + "ß" * 60,
    ],
    "StudyDate": [None, "20240115", "20240116", "20231231", "20230301", "20240229"],
    "PatientBirthDate": [None, "19700101", "20000229"],
    "AccessionNumber": [None, "A1", "A2", "a1"],
    "StudyDescription": [
        None,
        "CT CHEST",
        "ct chest with contrast",
        "CT\U0010ffff",
        "Straße \u03aa\u0301",
        "\U0001d49c" * 64,
    ],
    "ReferringPhysicianName": [None, "House^Gregory", "Doe^Jane"],
    "Modality": [None, "CT", "MR"],
    "ManufacturerModelName": [None, "Scanner 64", "Scanner 32"],
    "PerformedProcedureStepStartDate": [None, "20240115", "20240301"],
    "StudyTime": [None, "1015", "101500.0", "235959"],
    "StudyID": [None, "ID1", "id1 ", " ID2"],
    "PerformedProcedureStepStartTime": [None, "1015", "235959"],
    "SeriesNumber": [None, "1", "01", "2"],
    "RequestedProcedureID": [None, "RP1", "RP2"],
    "ScheduledProcedureStepID": [None, "SPS1"],
    "InstanceNumber": [None, "1", "02", "3"],
    "SOPClassUID": ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"],
}
"""Few values, so that they meet."""

STUDIES = [f"2.25.{i}" for i in range(1, 5)]
SERIES = {study: [f"{study}.{i}" for i in range(1, 3)] for study in STUDIES}
PLACES: list[Uids] = [(s, se, f"{se}.{i}") for s in STUDIES for se in SERIES[s] for i in range(1, 3)]


class Store(NamedTuple):
    """An instance is stored; duplicates are refused."""

    uids: Uids
    values: dict[str, str | None]


class Delete(NamedTuple):
    """A study, series or instance is deleted, if it is there."""

    uids: tuple[str, ...]


class BuildPages(NamedTuple):
    """The worker does one step of building pages of values."""


stores = st.builds(
    Store,
    st.sampled_from(PLACES),
    st.fixed_dictionaries({keyword: st.sampled_from(values) for keyword, values in VALUES.items()}),
)
deletions = st.builds(lambda uids, level: Delete(uids[:level]), st.sampled_from(PLACES), st.integers(1, 3))
Step = Store | Delete | BuildPages

building = st.builds(BuildPages)
histories = st.lists(st.one_of(stores, stores, stores, deletions, building, building), min_size=1, max_size=24)


# --- the model --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Node:
    """A study, series or instance: when it came to be, its attributes, what is in it."""

    created: int
    attributes: Attributes = field(default_factory=dict)
    own: Attributes = field(default_factory=dict)
    """Of an instance: the values without postings."""
    inside: dict[str, Node] = field(default_factory=dict)


class Model:
    """The archive in plain Python."""

    def __init__(self) -> None:
        self.root = Node(0)
        self.now = 0

    def store(self, each: Store) -> bool:
        """Store unless it is there; tell whether it was stored."""
        self.now += 1
        path = [self.root]
        for uid in each.uids:
            path.append(path[-1].inside.get(uid) or Node(self.now))
        if each.uids[2] in path[2].inside:
            return False
        for above, uid, node in zip(path, each.uids, path[1:], strict=False):
            above.inside[uid] = node
        for attribute in CORE.values():
            value = each.values.get(attribute.keyword)
            if value is not None:
                path[attribute.level].attributes[attribute.tag] = {
                    "vr": attribute.vr,
                    "Value": [_json(attribute.vr, value)],
                }
        path[3].own = {
            attribute.tag: {"vr": attribute.vr, "Value": [value]}
            for attribute in UNINDEXED.values()
            if (value := each.values.get(attribute.keyword.rpartition(".")[2])) is not None
        }
        return True

    def delete(self, each: Delete) -> bool:
        """Delete, and what is empty then; tell whether it was there."""
        path = [self.root]
        for uid in each.uids:
            if uid not in path[-1].inside:
                return False
            path.append(path[-1].inside[uid])
        for above, uid in reversed(list(zip(path, each.uids, strict=False))):
            del above.inside[uid]
            if above.inside:
                break
        return True

    def objects(
        self, level: Level, study: str | None, series: str | None
    ) -> Iterator[tuple[tuple[str, ...], Attributes]]:
        """Yield (UIDs, attributes with the parents') of the objects of a level, newest first."""
        found: list[tuple[int, tuple[str, ...], Attributes]] = []

        def walk(node: Node, uids: tuple[str, ...], attributes: Attributes) -> None:
            for uid, below in node.inside.items():
                path = (*uids, uid)
                tag = ("0020000D", "0020000E", "00080018")[len(uids)]
                known = attributes | below.attributes | {tag: {"vr": "UI", "Value": [uid]}}
                known |= newest_values(below, Level(len(path)))
                if len(path) == 1:
                    known["00080061"] = {"vr": "CS", "Value": modalities(below)}
                if len(path) == level:
                    found.append((below.created, path, known))
                else:
                    walk(below, path, known)

        walk(self.root, (), {})
        for _, path, attributes in sorted(found, key=lambda each: -each[0]):
            if study in (None, path[0]) and (series is None or path[1] == series):
                yield path, attributes

    def counts(self, uids: tuple[str, ...]) -> tuple[int, ...]:
        """(instances, series) of a study; (instances,) of a series."""
        node = self.root.inside[uids[0]]
        if len(uids) == 1:
            return sum(len(each.inside) for each in node.inside.values()), len(node.inside)
        return (len(node.inside[uids[1]].inside),)


def newest_values(node: Node, level: Level) -> Attributes:
    """Return the values without postings of a study, a series or an instance: those of its newest instance."""
    newest = node
    while newest.inside:
        newest = max(newest.inside.values(), key=newest_instance)
    return {tag: element for tag, element in newest.own.items() if UNINDEXED[tag].level is level}


def newest_instance(node: Node) -> int:
    """Return when the newest instance of a node came to be."""
    return max(map(newest_instance, node.inside.values())) if node.inside else node.created


def modalities(study: Node) -> list[str]:
    values = {
        each.attributes["00080060"]["Value"][0] for each in study.inside.values() if "00080060" in each.attributes
    }
    return sorted(values)


def _json(vr: str, value: str) -> Any:
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), value.split("="), strict=False)
    return {group: text for group, text in groups if text} if vr == "PN" else value


# --- what is asked ----------------------------------------------------------------------------------------------------


class Search(NamedTuple):
    """A request."""

    level: Level
    study: str | None
    series: str | None
    parameters: list[tuple[str, str]]


UIDS_OF = {
    "StudyInstanceUID": STUDIES,
    "SeriesInstanceUID": [series for each in SERIES.values() for series in each],
    "SOPInstanceUID": [uids[2] for uids in PLACES],
}


def lists_of(values: list[str]) -> st.SearchStrategy[str]:
    """One value most often, or several with either sign between them."""
    several = st.lists(st.sampled_from(values), min_size=1, max_size=12)
    return st.one_of(st.sampled_from(values), st.builds(str.join, st.sampled_from(",\\"), several))


DATES = ["20221231", "20231231", "20240101", "20240115", "20240116", "20240131", "20240301", "20251231", "19700101"]
ranges = st.builds("{}-{}".format, st.sampled_from(sorted(DATES)[:3]), st.sampled_from(sorted(DATES)[3:]))
asked_dates = st.one_of(
    st.sampled_from(DATES), ranges, st.sampled_from(DATES).map("{}-".format), st.sampled_from(DATES).map("-{}".format)
)


def asked(keyword: str) -> st.SearchStrategy[str]:
    """Values to ask for: those stored, spelt otherwise, cut short, with wildcards."""
    if keyword in UIDS_OF:
        return lists_of([*UIDS_OF[keyword], "2.25.99"])
    if keyword.endswith("Date"):
        return asked_dates
    keyword = keyword.rpartition(".")[2]
    if keyword in ("StudyTime", "PerformedProcedureStepStartTime"):
        return st.sampled_from(["1015", "101500", "23-", "-12", "10-235958", "*", ""])
    if keyword in ("SOPClassUID", "InstanceNumber", "SeriesNumber"):
        return st.sampled_from([value for value in VALUES[keyword] if value] + ["*", ""])
    stored = [value for value in VALUES["Modality" if keyword == "ModalitiesInStudy" else keyword] if value]
    whole = st.sampled_from(stored)
    cut = st.builds(lambda value, at: f"{value[:at]}*", whole, st.integers(0, 6))
    end = st.builds(lambda value, at: f"*{value[at:]}", whole, st.integers(0, 6))
    within = st.builds(lambda value, at: f"*{value[at : at + 3]}*", whole, st.integers(0, 6))
    one = st.builds(lambda value, at: value[:at] + "?" + value[at + 1 :], whole, st.integers(0, 3))
    kinds: list[st.SearchStrategy[str]] = [
        whole,
        whole.map(str.swapcase),
        whole.map("{} ".format),
        cut,
        end,
        within,
        one,
        st.sampled_from(["*", "", " "]),
    ]
    if keyword.endswith("Name"):
        kinds += [whole.map("={}".format), cut.map("={}".format), within.map("=={}".format), one.map("*={}".format)]
        kinds += [whole.flatmap(beginnings), st.sampled_from([" ", "^"]).flatmap(lambda sign: joined(sign, whole))]
    if keyword.startswith("Modalit"):
        kinds.append(lists_of([*stored, "XA"]))
    return st.one_of(kinds)


def beginnings(name: str) -> st.SearchStrategy[str]:
    """Each of some consecutive words of a name, cut short: what a fuzzy search is asked."""
    words = [word for word in re.split("[ ^=]", name) if word]
    span = st.tuples(st.integers(0, len(words) - 1), st.integers(1, 2), st.integers(1, 5))
    return span.map(lambda drawn: " ".join(word[: drawn[2]] for word in words[drawn[0] :][: drawn[1]]))


def joined(sign: str, names: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(names.map(lambda name: re.split("[ ^=]", name)[0]), min_size=2, max_size=2).map(sign.join)


@st.composite
def searches(draw: st.DrawFn) -> Search:
    level = draw(st.sampled_from(Level))
    depth = draw(st.integers(0, level - 1))
    place = draw(st.sampled_from(PLACES))
    study, series = (place[0] if depth else None), (place[1] if depth > 1 else None)
    attributes = [*CORE.values(), *UNINDEXED.values()]
    open_ = [each for each in attributes if depth < each.level <= level or each.tag == "0020000D"]
    keywords = draw(st.lists(st.sampled_from([each.keyword for each in open_]), max_size=4, unique=True))
    parameters = [(keyword, draw(asked(keyword))) for keyword in keywords]
    if draw(st.booleans()):
        parameters.append(("fuzzymatching", "true"))
    return Search(level, study, series, parameters)


# --- the archives -----------------------------------------------------------------------------------------------------


class Archive(NamedTuple):
    """An engine, and a fresh partition for each history."""

    services: Services
    names: Iterator[int]

    def partition(self) -> Partition:
        return self.services.partitions.resolve(f"clinic-{next(self.names)}", create=True)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "_FIRST_CHUNK", 2)
    monkeypatch.setattr(posting_lists, "LARGEST_CHUNK", 3)
    monkeypatch.setattr(posting_lists, "_SMALLEST_CHUNK", 2)
    monkeypatch.setattr(posting_lists, "_FEW", 1)
    monkeypatch.setattr(date_ranges, "_SMALLEST_CHUNK", 1)
    monkeypatch.setattr(sources, "_INTERSECTED", 2)
    monkeypatch.setattr(candidates, "_MAX_SCANNED", 5)
    monkeypatch.setattr(posted_values, "MAX_VALUES", 2)
    monkeypatch.setattr(page_builder, "PAGE_STUDIES", 2)
    monkeypatch.setattr(due_marks, "ENOUGH_MARKS", 1)
    monkeypatch.setattr(page_builder, "_MARKS", 2)
    monkeypatch.setattr(due_marks, "_LOOK_SECONDS", 0)
    monkeypatch.setattr(page_candidates, "_LARGEST_GROUP", 1)


def opened(chosen: Settings) -> Archive:
    bootstrap.initialise(chosen)
    return Archive(bootstrap.build_services(chosen, bootstrap.build_engine(chosen)), itertools.count())


@pytest.fixture
def embedded(tmp_path: Path) -> Archive:
    return opened(Settings(data_dir=tmp_path, log_level="error"))


@pytest.fixture
def dynamodb(aws: None) -> Archive:
    return opened(Settings(engine="aws", table="archive", bucket="archive", log_level="error"))


def page_building(services: Services) -> Callable[[], bool]:
    """Return the step of the worker that builds pages of values."""
    (step,) = (step for step in services.background if step.__name__ == "build_pages")
    return step


def put(services: Services, partition: Partition, model: Model, history: list[Step]) -> None:
    """Do what the history says in both; they agree on what each step came to."""
    build_pages = page_building(services)
    while build_pages():  # what earlier histories left in other partitions
        pass
    for each in history:
        if isinstance(each, BuildPages):
            build_pages()
            continue
        if isinstance(each, Delete):
            try:
                services.delete(partition, *each.uids)
            except NotFound:
                assert not model.delete(each)
            else:
                assert model.delete(each)
            continue
        study, series, instance = each.uids
        values: dict[str, Any] = {"patient_id": None, "patient_name": None, "modality": None, "study_date": None}
        values |= {"SeriesNumber": None, "InstanceNumber": None} | each.values
        request = Dataset()
        for keyword in ("RequestedProcedureID", "ScheduledProcedureStepID"):
            if (identifier := values.pop(keyword)) is not None:
                setattr(request, keyword, identifier)
        body = make_instance(
            study=study,
            series=series,
            instance=instance,
            pixel=False,
            RequestAttributesSequence=request,
            **values,
            SpecificCharacterSet="ISO_IR 192",
        )
        report = services.store(partition, [BytesIO(body)], None, V2)
        assert bool(report.stored) == model.store(each), report


def check(archive: Archive, history: list[Step], asked: list[Search], offset: int, limit: int, *, paged: bool) -> None:
    """Compare searches with the model after a history. If `paged`, pages of values have all studies before."""
    services, partition, model = archive.services, archive.partition(), Model()
    put(services, partition, model, history)
    while paged and page_building(services)():
        pass
    for level, study, series, parameters in asked:
        query = parse_query(level, study, series, parameters, Catalogue())
        matching = [each for each in model.objects(level, study, series) if query.matches(each[1])]
        expected = matching[offset : offset + limit]
        counted = ["00201208", "00201206"] if level is Level.STUDY else ["00201209"] if level is Level.SERIES else []
        known = [each.tag for each in CORE.values() if each.level <= level and each.keyword != "ModalitiesInStudy"]
        page = [("limit", str(limit)), ("offset", str(offset)), ("includefield", ",".join([*counted, *known]))]
        report = services.search(
            partition, level.word, study, series, parameters + page, V2, lambda *uids: "/".join(map(str, uids))
        )
        found = [orjson.loads(document) for document in report.documents]
        assert report.count == len(found)
        assert bool(report.next) == (len(matching) > offset + limit)
        if offset == 0:
            assert _by_cursor(services, partition, Search(level, study, series, parameters), limit) == [
                uids for uids, _ in matching
            ]
        assert [_uids(row) for row in found] == [uids for uids, _ in expected]
        for row, (uids, attributes) in zip(found, expected, strict=True):
            assert {tag: row[tag] for tag in known if tag in row} == {
                tag: attributes[tag] for tag in known if tag in attributes
            }
            if counted:
                assert tuple(row[tag]["Value"][0] for tag in counted) == model.counts(uids)
            if level is Level.STUDY and "00080061" in query.tags():
                assert row.get("00080061", {}).get("Value", []) == modalities_of(attributes)


def _by_cursor(services: Services, partition: Partition, asked: Search, limit: int) -> list[tuple[str, ...]]:
    """Return all matches, read page by page."""
    level, study, series, parameters = asked
    found: list[tuple[str, ...]] = []
    position: list[tuple[str, str]] = []
    while True:
        page = [*parameters, ("limit", str(limit)), *position]
        report = services.search(partition, level.word, study, series, page, V2, lambda *uids: "/".join(map(str, uids)))
        found += [_uids(orjson.loads(document)) for document in report.documents]
        if not report.next:
            return found
        position = [("cursor", report.next)]


def modalities_of(attributes: Attributes) -> list[str]:
    found: list[str] = attributes["00080061"]["Value"]
    return list(dict.fromkeys(found))


def _uids(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(row["00081190"]["Value"][0]).split("/"))


QUESTIONS = given(
    history=histories,
    asked=st.lists(searches(), min_size=8, max_size=16),
    offset=st.integers(0, 6),
    limit=st.integers(1, 8),
    paged=st.booleans(),
)


@settings(max_examples=60)
@QUESTIONS
def test_a_search_finds_what_matches(
    embedded: Archive, history: list[Step], asked: list[Search], offset: int, limit: int, paged: bool
) -> None:
    check(embedded, history, asked, offset, limit, paged=paged)


@thorough
@settings(max_examples=6)
@QUESTIONS
def test_a_search_on_dynamodb_finds_what_matches(
    dynamodb: Archive, history: list[Step], asked: list[Search], offset: int, limit: int, paged: bool
) -> None:
    check(dynamodb, history, asked, offset, limit, paged=paged)
