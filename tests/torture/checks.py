"""Checks over HTTP after a run: each view of the archive shows what the clients were told.

The servers run without faults then, so every answer has to be right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.torture import bodies
from tests.torture.background import BackgroundClient, Started
from tests.torture.consumers import Entry, FeedConsumer, entry_of
from tests.torture.contested import ContestedStudy
from tests.torture.engines import EngineUnderTest
from tests.torture.journal import Journal
from tests.torture.model import ABSENT, KnownInstance, KnownStudy, Stored, patient_id
from tests.torture.query_tags import QueryTagClient
from tests.torture.requests import CHECK, MANY_FILES, ONE_FILE, Requests, parts, value
from tests.torture.studies import PARTITIONS, uid_in

KEPT: Final = "what is acknowledged is there"
ONE_ENTRY: Final = "the feed has one entry for each change"
_ALL_INSTANCES: Final = 200


@dataclass(slots=True)
class Checks:
    """Compares the archive with the model. After `check_studies` the states of all instances are certain."""

    requests: Requests
    studies: Sequence[KnownStudy]

    @property
    def journal(self) -> Journal:
        return self.requests.journal

    @property
    def _present(self) -> dict[tuple[str, str], set[str]]:
        return {study.key: {each.uid for each in study.instances if each.states != {ABSENT}} for study in self.studies}

    # --- studies ---

    def check_studies(self) -> None:
        """Check files, metadata, search results and counts of each study."""
        for study in self.studies:
            present = self._check_files(study)
            self._check_metadata(study, present)
            self._check_search(study, present)
        for study in self.studies[:: max(1, len(self.studies) // 100)]:
            for instance in study.instances:
                self._check_one_file(instance)

    def _check_files(self, study: KnownStudy) -> set[str]:
        """Check the files. From now on each instance of the study has one state. Return the UIDs that exist."""
        answer = self._get(study, study.path, (200, 404), MANY_FILES)
        files = {uid_in(each): each for each in (parts(answer) if answer.status == 200 else [])}
        known = {each.uid: each for each in study.instances}
        if not files.keys() <= known.keys():
            self.journal.violate("what was refused is absent", study.key, f"{sorted(files.keys() - known.keys())}")
        for name, instance in known.items():
            content = files.get(name)
            state: Stored | None = bodies.state_of(instance, content) if content is not None else ABSENT
            if content is not None and state is ABSENT:
                self.journal.violate("a file is byte for byte what was stored", study.key, name)
                instance.states = {Stored(0)}
            elif not instance.seen(state):
                self.journal.violate(
                    "what is acknowledged is there", study.key, f"{name} is {state}: {instance.events}"
                )
                instance.states = {state}
        return {name for name, instance in known.items() if instance.states != {ABSENT}}

    def _check_one_file(self, instance: KnownInstance) -> None:
        answer = self._get(instance.study, instance.path, (200, 404), ONE_FILE)
        (state,) = instance.states
        found = bodies.state_of(instance, answer.body) if answer.status == 200 else ABSENT
        if found != state:
            self.journal.violate("all views agree", instance.study.key, f"file of {instance.uid}: {found}, not {state}")
        original = self._get(instance.study, instance.path, (200, 404), ONE_FILE | {"msdicom-request-original": "true"})
        if state and original.body[bodies.PREAMBLE :] != instance.bodies[state.body][bodies.PREAMBLE :]:
            self.journal.violate("the original version stays", instance.study.key, instance.uid)

    def _check_metadata(self, study: KnownStudy, present: set[str]) -> None:
        answer = self._get(study, study.path + "/metadata", (200, 404))
        found = answer.json() if answer.status == 200 else []
        self._agree(study, "metadata", sorted(value(each, "00080018") for each in found), sorted(present))
        known = {each.uid: each for each in study.instances}
        for each in found:
            wanted = bodies.current_patient_id(known[value(each, "00080018")])
            self._agree(study, "Patient ID in metadata", value(each, "00100020"), wanted)

    def _check_search(self, study: KnownStudy, present: set[str]) -> None:
        base = f"/v2/partitions/{study.partition}"
        found = self._all(study, f"{base}/instances?StudyInstanceUID={study.uid}")
        self._agree(study, "search", sorted(value(each, "00080018") for each in found), sorted(present))
        series: defaultdict[str, set[str]] = defaultdict(set)
        for each in study.instances:
            if each.uid in present:
                series[each.series].add(each.uid)
        found = self._all(
            study, f"{base}/series?StudyInstanceUID={study.uid}&includefield=NumberOfSeriesRelatedInstances"
        )
        counts = {value(each, "0020000E"): value(each, "00201209") for each in found}
        self._agree(study, "counts of series", counts, {name: len(members) for name, members in series.items()})
        fields = "includefield=NumberOfStudyRelatedInstances,NumberOfStudyRelatedSeries"
        found = self._all(study, f"{base}/studies?StudyInstanceUID={study.uid}&{fields}")
        numbers = [(value(each, "00201208"), value(each, "00201206")) for each in found]
        self._agree(study, "counts of study", numbers, [(len(present), len(series))] if present else [])
        if study.instances and present:
            one = next(each for each in study.instances if each.uid in present)
            found = self._all(study, f"{base}/instances?SOPInstanceUID={one.uid}")
            mine = [each for each in found if value(each, "0020000D") == study.uid]
            self._agree(study, "search by SOP Instance UID", len(mine), 1)

    # --- searches over partitions ---

    def check_partitions(self) -> None:
        """Check that each partition has its own studies and no others, in searches by date and by patient."""
        present = self._present
        for partition in PARTITIONS:
            own = [each for each in self.studies if each.partition == partition]
            expected = {each.uid for each in own if present[each.key]}
            base = f"/v2/partitions/{partition}/studies"
            found = [value(each, "0020000D") for each in self._all(partition, base)]
            self._agree(partition, "studies of the partition", sorted(found), sorted(expected))
            for date in bodies.DATES:
                dated = {each.uid for each in own if each.uid in expected and bodies.study_date(each.number) == date}
                found = [value(each, "0020000D") for each in self._all(partition, f"{base}?StudyDate={date}")]
                self._agree(partition, f"search by date {date}", sorted(found), sorted(dated))
            for study in own[:: max(1, len(own) // 100)]:
                self._check_patient(study, base, present[study.key])

    def _check_patient(self, study: KnownStudy, base: str, present: set[str]) -> None:
        """Search by the Patient ID of a study. It has that of its newest instance."""
        patients = {bodies.current_patient_id(each) for each in study.instances if each.uid in present}
        if isinstance(study, ContestedStudy):  # the index may have the value of an instance that was deleted
            patients = {patient_id(study.number, update) for update in (0, *study.updates)}
        found = [
            value(each, "0020000D") for patient in patients for each in self._all(study, f"{base}?PatientID={patient}")
        ]
        self._agree(study, "search by Patient ID", found, [study.uid] if present else [])

    def check_query_tags(self, tags: QueryTagClient) -> int:
        """Check the searches by each extended query tag that is ready. Return the number of tags."""
        present = self._present
        ready = [keyword for keyword, status in tags.statuses().items() if status == "ready"]
        for tag in (each for each in bodies.QUERY_TAGS if each.keyword in ready):
            for partition in PARTITIONS:
                own = [each for each in self.studies if each.partition == partition and present[each.key]]
                for wanted in sorted({tag.value(each.number) for each in own})[:8]:
                    target = f"/v2/partitions/{partition}/studies?{tag.keyword}={wanted}"
                    if tag.level != "Study":
                        target = target.replace("/studies?", "/series?" if tag.level == "Series" else "/instances?")
                    found = {value(each, "0020000D") for each in self._all(partition, target)}
                    expected = {each.uid for each in own if tag.value(each.number) == wanted}
                    self._agree(partition, f"search by {tag.keyword}={wanted}", sorted(found), sorted(expected))
        return len(ready)

    # --- change feed ---

    def check_feed(self, consumers: Iterable[FeedConsumer]) -> None:
        """Check the feed against the model, both orders against each other, and the pages of the consumers."""
        by_sequence = self._feed_by_sequence()
        by_time = self._feed_by_time()
        self._agree("feed", "the feed by time", sorted(by_time), sorted(by_sequence))
        order = [(each[-1], each[0]) for each in by_time]
        self._agree("feed", "the order of the feed by time", order, sorted(order))
        self._check_entries(by_sequence)
        for consumer in consumers:
            for page in consumer.pages:
                consumer.check(page)
            seen = consumer.entries()
            name = type(consumer).__name__
            self._agree("feed", f"{name} sees each entry once", len(seen), len(set(seen)))
            if name == "SequenceConsumer":
                self._agree("feed", f"{name} sees every entry in order", seen, by_sequence[: len(seen)])
            elif consumer.pages:
                ended = consumer.ended  # type: ignore[attr-defined]
                self._agree(
                    "feed", f"{name} sees every entry in order", seen, [each for each in by_time if each[-1] < ended]
                )

    def _check_entries(self, entries: Sequence[Entry]) -> None:
        actions: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for _, *uids, action, _ in entries:
            actions[tuple(uids)].append(action[:1].upper())
        for study in self.studies:
            for each in study.instances:
                found = actions.pop((study.partition, study.uid, each.series, each.uid), [])
                exists = each.states != {ABSENT}
                if not each.explains(found) or (found.count("C") - found.count("D") == 1) != exists:
                    self.journal.violate(
                        ONE_ENTRY,
                        study.key,
                        f"{each.uid}: {found}, expected {each.events}, exists: {exists}",
                    )
        for unknown, found in actions.items():
            self.journal.violate("the feed has only what happened", unknown, str(found))

    def _feed_by_sequence(self) -> list[Entry]:
        latest = self.requests.send("feed latest", "feed", "GET", "/v1/changefeed/latest", allowed=(200, 204))
        last = latest.json()["sequence"] if latest.status == 200 else 0
        found: list[Entry] = []
        for offset in range(0, last, 100):
            answer = self._get("feed", f"/v1/changefeed?offset={offset}&limit=100&includemetadata=false", (200,))
            found += map(entry_of, answer.json())
        return found

    def _feed_by_time(self) -> list[Entry]:
        found: list[Entry] = []
        while True:
            target = f"/v2/changefeed?offset={len(found)}&limit=200&includemetadata=false"
            page = self._get("feed", target, (200,)).json()
            found += map(entry_of, page)
            if len(page) < 200:
                return found

    # --- exports ---

    def check_exports(self, clients: Iterable[BackgroundClient], under_test: EngineUnderTest) -> None:
        """Check that each export that succeeded wrote the files which exist, or counted them as skipped."""
        for client in clients:
            for started, results, _ in client.exported:
                files = under_test.exported(started.prefix)
                self._agree(started.studies[0], "number of exported files", len(files), results["exported"])
                self._check_exported(started, files)

    def _check_exported(self, started: Started, files: dict[str, bytes]) -> None:
        known = {each.uid: each for study in started.studies for each in study.instances}
        for name, content in files.items():
            instance = known.get(name.rpartition("/")[2].removesuffix(".dcm"))
            if instance is None or bodies.state_of(instance, content) is None:
                self.journal.violate("an export writes what is stored", started.studies[0].key, name)

    # --- requests ---

    def _agree(self, subject: Any, what: str, found: Any, expected: Any) -> None:
        if found != expected:
            key = subject.key if isinstance(subject, KnownStudy) else subject
            if isinstance(found, list) and isinstance(expected, list) and len(expected) > 8:
                missing = [each for each in expected if each not in set(found)]
                surplus = [each for each in found if each not in set(expected)]
                self.journal.violate("all views agree", key, f"{what}: missing {missing[:5]}, surplus {surplus[:5]}")
            else:
                self.journal.violate("all views agree", key, f"{what}: {found}, expected {expected}")

    def _get(self, subject: Any, target: str, allowed: tuple[int, ...], headers: dict[str, str] | None = None) -> Any:
        key = subject.key if isinstance(subject, KnownStudy) else subject
        return self.requests.send(CHECK, key, "GET", target, allowed=allowed, headers=headers)

    def _all(self, subject: Any, target: str) -> list[dict[str, Any]]:
        """Return all results of a search, page by page."""
        found: list[dict[str, Any]] = []
        separator = "&" if "?" in target else "?"
        while True:
            answer = self._get(subject, f"{target}{separator}limit=200&offset={len(found)}", (200, 204))
            page = answer.json() if answer.status == 200 else []
            found += page
            if len(page) < _ALL_INSTANCES:
                return found
