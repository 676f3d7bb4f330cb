"""Worklists against a model: a search returns the matches, newest first, and calls change the states like the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import bootstrap
from app.dicom.json.dataset import JsonDataset
from app.dicom.json.received import first_dataset
from app.dicom.query.parameters import Catalogue, parse_query
from app.dicom.validation.attributes import Level
from app.dicom.worklist.search_attributes import FILTERS, STATE
from app.errors import InvalidQuery, InvalidRequest, WorkitemRefused
from app.services import Services
from app.settings import Settings
from app.storage.table import keys
from app.storage.table.partitions import Partition
from app.web.request.json_body import document
from tests.support.workitems import COMPLETE, code, requested, sequence, state, text, workitem

Archive = tuple[bootstrap.Engine, Services]
PARTITIONS = count(100)
STATES = ("SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED")
T = ("2.25.11", "2.25.12")
"""Transaction UIDs."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    folder: Path = tmp_path_factory.mktemp("worklists")
    chosen = Settings(data_dir=folder, log_level="error")
    engine = bootstrap.build_engine(chosen)
    yield engine, bootstrap.build_services(chosen, engine)


def fresh() -> Partition:
    """A partition of which nothing is known; it need not be in the directory."""
    number = next(PARTITIONS)
    return Partition(key=number, name=f"p{number}", created="")


# --- searches -----------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["a", "ab", "abc", "B", "ba", "é", "a b", "a*", "b?"])
NAMES = st.sampled_from(["Ann^Bea", "ann^b", "Béa", "Bea Ann^Cy", "Cy^Ann", "Ångström^Ann", "山田^太郎"])
TIMES = st.sampled_from(
    ["2024", "20240301", "2024030109", "20240301090000.5", "20240302+0100", "20240301-0500", "2025"]
)
UIDS = st.sampled_from(["2.25.1", "2.25.2", "2.25.3"])


def codes(tag: str) -> st.SearchStrategy[JsonDataset]:
    return st.lists(WORDS.map(code), max_size=3).map(lambda items: {tag: sequence(*items)})


REQUESTS = st.lists(st.builds(requested, WORDS, WORDS), max_size=3).map(lambda items: {"0040A370": sequence(*items)})
SCHEDULED = st.tuples(
    NAMES.map(lambda value: {"00100010": {"vr": "PN", "Value": [{"Alphabetic": value}]}}),
    st.one_of(st.just({}), WORDS.map(lambda value: {"00100020": text("LO", value)})),
    TIMES.map(lambda value: {"00404005": text("DT", value)}),
    st.one_of(st.just({}), UIDS.map(lambda value: {"0020000D": text("UI", value)})),
    codes("00404025"),
    codes("00404026"),
    codes("00404027"),
    REQUESTS,
).map(lambda parts: {tag: element for part in parts for tag, element in part.items()})

TEXT_FILTERS = [
    *("PatientID", "ReferencedRequestSequence.AccessionNumber", "0040A370.00401001"),
    *("ScheduledStationNameCodeSequence.CodeValue", "00404026.00080100", "00404027.CodeValue"),
]
PATTERNS = st.one_of(WORDS, st.sampled_from(["a*", "*b", "?", "a?c", "*"]))
FILTERED = st.one_of(
    st.tuples(st.sampled_from(TEXT_FILTERS), PATTERNS),
    st.tuples(st.just("PatientName"), st.one_of(NAMES, st.sampled_from(["an", "b", "ann b", "c*", "bea*"]))),
    st.tuples(st.just("StudyInstanceUID"), st.lists(UIDS, min_size=1, max_size=2).map(",".join)),
    st.tuples(st.just("ProcedureStepState"), st.sampled_from(STATES)),
    st.tuples(
        st.just("ScheduledProcedureStepStartDateTime"),
        st.sampled_from(
            [
                *("2024", "20240301-", "-20240301", "20240301-2025", "2024030109-20240301090001", "2025-"),
                *("20240301-0500", "2024030123", "20240301-0500-", "-20240302+0100", "20240301+1400-20240301-1200"),
            ]
        ),
    ),
)
PAGES = st.fixed_dictionaries({"limit": st.sampled_from(["1", "2", "200"]), "offset": st.sampled_from(["0", "1", "3"])})
QUERIES = st.tuples(st.lists(FILTERED, max_size=3, unique_by=lambda each: each[0]), st.booleans(), PAGES)


def plain(dataset: JsonDataset) -> JsonDataset:
    """What a query is matched on, by a way of its own: every value at the end of each path."""
    found: JsonDataset = {}
    for path, attribute in FILTERS.items():
        outer, _, inner = path.partition(".")
        holders = dataset.get(outer, {}).get("Value", []) if inner else [dataset]
        elements = [holder[inner or outer] for holder in holders if (inner or outer) in holder]
        values = [element["Value"][0] for element in elements if element.get("Value")]
        if values:
            found[path] = {"vr": attribute.vr, "Value": values}
    return found


@settings(max_examples=60)
@given(
    items=st.lists(st.tuples(SCHEDULED, st.sampled_from(STATES)), max_size=8),
    changes=st.lists(st.tuples(st.integers(0, 7), codes("00404025"), TIMES), max_size=3),
    queries=st.lists(QUERIES, min_size=1, max_size=6),
)
def test_a_search_is_the_newest_first_that_match(
    archive: Archive, items: list[tuple[JsonDataset, str]], changes: list[Any], queries: list[Any]
) -> None:
    partition, worklist = fresh(), archive[1].worklist
    for number, (different, wanted) in enumerate(items):
        worklist.add(partition, f"2.25.{number + 1}", workitem(T00100020=None) | different)
        bring(worklist, partition, f"2.25.{number + 1}", wanted)
    for number, stations, start in changes:
        change = {tag: each for tag, each in stations.items() if each["Value"]} | {"00404005": text("DT", start)}
        if number < len(items) and items[number][1] in STATES[:2]:
            worklist.update(partition, f"2.25.{number + 1}", T[0] if items[number][1] == "IN PROGRESS" else "", change)
    stored = [worklist.retrieve(partition, f"2.25.{number}") for number in range(len(items), 0, -1)]
    for filters, fuzzy, page in queries:
        parameters = [*filters, ("fuzzymatching", str(fuzzy)), *page.items(), ("includefield", "all")]
        try:
            query = parse_query(Level.INSTANCE, None, None, parameters, Catalogue(attributes=FILTERS, sequences=True))
        except InvalidQuery:
            continue
        matching = [uid(each) for each in stored if query.matches(plain(each))]
        expected = matching[query.offset :][: query.limit]
        found = worklist.search(partition, parameters)
        assert [uid(each) for each in map(loaded, found.documents)] == expected
        assert not found.unreadable
        assert [*expected, *following(worklist, partition, filters, fuzzy, found.next)] == matching[query.offset :]


def following(worklist: Any, partition: Partition, filters: Any, fuzzy: bool, cursor: str) -> list[str]:
    """Return the UIDs of all pages from a cursor on."""
    uids: list[str] = []
    while cursor:
        page = worklist.search(partition, [*filters, ("fuzzymatching", str(fuzzy)), ("limit", "2"), ("cursor", cursor)])
        uids += map(uid, map(loaded, page.documents))
        cursor = page.next
    return uids


def bring(worklist: Any, partition: Partition, workitem: str, wanted: str) -> None:
    """Bring a scheduled workitem to a state."""
    if wanted != "SCHEDULED":
        worklist.change_state(partition, workitem, state("IN PROGRESS", T[0]))
        worklist.update(partition, workitem, T[0], COMPLETE)
    if wanted in STATES[2:]:
        worklist.change_state(partition, workitem, state(wanted, T[0]))


def loaded(document: bytes) -> JsonDataset:
    dataset: JsonDataset = orjson.loads(document)
    return dataset


def uid(dataset: JsonDataset) -> str:
    return str(dataset["00080018"]["Value"][0])


# --- calls --------------------------------------------------------------------------------------------------------

CALLS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from([0, 1])),
    st.tuples(st.just("update"), st.sampled_from([0, 1]), st.sampled_from(["", *T])),
    st.tuples(st.just("state"), st.sampled_from([0, 1]), st.sampled_from(T), st.sampled_from(STATES[1:])),
    st.tuples(st.just("cancel"), st.sampled_from([0, 1])),
)


class Model:
    """One workitem as conformance §7.7 has it."""

    def __init__(self) -> None:
        self.state, self.lock = "", ""

    def expects(self, call: tuple[Any, ...]) -> bool:
        """Whether the call succeeds; it then has its effect."""
        name, _, *given = call
        if name == "add":
            new = not self.state
            self.state = self.state or "SCHEDULED"
            return new
        if name == "update":
            return (self.state, given[0]) == ("SCHEDULED", "") or (
                self.state == "IN PROGRESS" and given[0] == self.lock
            )
        if name == "cancel":
            succeeds = self.state == "SCHEDULED"
            self.state = "CANCELED" if succeeds else self.state
            return succeeds
        return self._moves(*given)

    def _moves(self, transaction: str, wanted: str) -> bool:
        if self.state == "SCHEDULED":
            if wanted == "IN PROGRESS":
                self.state, self.lock = wanted, transaction
            return wanted == "IN PROGRESS"
        if self.state and transaction == self.lock:
            if self.state == "IN PROGRESS" and wanted != "IN PROGRESS":
                self.state = wanted
                return True
            return wanted == self.state and wanted != "IN PROGRESS"  # with a warning
        return False


@settings(max_examples=80)
@given(calls=st.lists(CALLS, max_size=25))
def test_calls_move_workitems_between_states_like_the_model(archive: Archive, calls: list[tuple[Any, ...]]) -> None:
    engine, services = archive
    partition, models = fresh(), [Model(), Model()]
    for call in calls:
        succeeds = models[call[1]].expects(call)
        assert done(services.worklist, partition, call) is succeeds, call
        consistent(engine, services, partition, models)


def done(worklist: Any, partition: Partition, call: tuple[Any, ...]) -> bool:
    """Make a call; whether it succeeded."""
    name, number, *given = call
    uid = f"2.25.{number}"
    try:
        match name:
            case "add":
                worklist.add(partition, uid, workitem())
                worklist.update(partition, uid, "", COMPLETE)  # so that either end is open
            case "update":
                worklist.update(partition, uid, given[0], {"00741204": text("LO", "x")})
            case "state":
                worklist.change_state(partition, uid, state(given[1], given[0]))
            case "cancel":
                worklist.request_cancellation(partition, uid, {})
    except WorkitemRefused:
        return False
    return True


def consistent(engine: bootstrap.Engine, services: Services, partition: Partition, models: list[Model]) -> None:
    """What is stored, what is searched and the posting lists of the states are what the model says."""
    known = {f"2.25.{number}": model for number, model in enumerate(models) if model.state}
    entries = engine.table.query(keys.values(partition.key, "workitem", STATE))
    filed = sorted((item.fields["workitem"], item.key.sk.split("\t")[0]) for item in entries)
    assert filed == [(uid, model.state.lower()) for uid, model in sorted(known.items())]
    for name, model in known.items():
        assert services.worklist.retrieve(partition, name)[STATE] == text("CS", model.state)
    for each in STATES:
        found = services.worklist.search(partition, [("ProcedureStepState", each)])
        assert {uid(loaded(row)) for row in found.documents} == {n for n, m in known.items() if m.state == each}


# --- hostile bodies -----------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), WORDS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["vr", "Value", "Alphabetic", "InlineBinary", "x"]), inner, max_size=3),
    ),
    max_leaves=12,
)
ELEMENTS = st.one_of(
    JSON,
    st.builds(
        lambda vr, values: {"vr": vr, "Value": values},
        st.sampled_from(["LO", "PN", "SQ", "UI", "DT", "CS", "SH", "US", "DS", "UN"]),
        st.lists(JSON, max_size=3),
    ),
)
TAGS = st.sampled_from(
    [
        *workitem(),
        *COMPLETE,
        *(path.partition(".")[0] for path in FILTERS),
        "00741202",
        "00080018",
        "00741000",
        "00091001",
    ]
)
BODIES = st.dictionaries(TAGS, ELEMENTS, max_size=4)


@settings(max_examples=150)
@given(body=BODIES, calls=st.lists(st.sampled_from(["add", "update", "state", "cancel"]), min_size=1, max_size=3))
def test_no_body_is_too_odd_to_be_answered(archive: Archive, body: dict[str, Any], calls: list[str]) -> None:
    """Every body is taken, or refused by name; what was taken can be read and found."""
    partition, worklist = fresh(), archive[1].worklist
    worklist.add(partition, "2.25.1", workitem())
    for call in calls:
        try:
            given = first_dataset(document(json.dumps([workitem() | body if call == "add" else body]).encode()))
            match call:
                case "add":
                    worklist.add(partition, "2.25.2", given)
                case "update":
                    worklist.update(partition, "2.25.1", "", given)
                case "state":
                    worklist.change_state(partition, "2.25.1", given)
                case "cancel":
                    worklist.request_cancellation(partition, "2.25.1", given)
        except (InvalidRequest, WorkitemRefused):
            continue
    found = worklist.search(partition, [("includefield", "all")])
    rows = [loaded(row) for row in found.documents]
    assert rows == [worklist.retrieve(partition, uid(row)) for row in rows]
    assert "2.25.1" in [uid(row) for row in rows]
