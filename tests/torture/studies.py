"""What a client does with instances: stores, deletions, reads."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

from pydicom import dcmread

from tests.torture import bodies
from tests.torture.contested import ContestedStudy
from tests.torture.journal import ACKNOWLEDGED
from tests.torture.model import DeleteOutcome, KnownInstance, KnownStudy, Stored, StoreOutcome
from tests.torture.requests import MANY_FILES, ONE_FILE, RELATED, Requests, parts, related, value
from tests.torture.transport import Answer

PARTITIONS: Final = ("torture-a", "torture-b", "torture-c")
_STATUSES_OF_STORE: Final = (200, 202, 409)
_FAILED, _EXISTS = 272, 45070
NOT_FOUND: Final = 404


@dataclass(slots=True)
class StudyClient:
    """One client with studies of its own. No other client changes them, so it knows what they hold.

    `first_number` is the number of its first study. `pool` runs the requests that race with each other.
    """

    requests: Requests
    chance: random.Random
    pool: ThreadPoolExecutor
    first_number: int
    studies: list[KnownStudy] = field(default_factory=list)

    # --- stores ---

    def store_new(self) -> None:
        """Store a few instances, most often in one new or known study, sometimes in two."""
        chosen = [self._study()]
        if self.chance.random() < 0.2:
            chosen.append(self._add(KnownStudy(chosen[0].partition, self._uid(), self._next_number())))
        wanted = self.chance.choice((1, 2, 5, 12, 12, 30))
        instances = [self._new_instance(self.chance.choice(chosen)) for _ in range(wanted)]
        self._store(instances, chosen[0] if len(set(chosen)) == 1 else None)

    def store_again(self) -> None:
        """Store instances that may exist: the same bytes, or others, together with new ones."""
        study = self._known()
        if study is None:
            return
        again = self.chance.sample(study.instances, min(4, len(study.instances)))
        self._store([*again, *(self._new_instance(study) for _ in range(2))], study)

    def store_elsewhere(self) -> None:
        """Store instances with the UIDs of a study in another partition, with other bytes."""
        study = self._known()
        if study is None:
            return
        other = self.chance.choice([each for each in PARTITIONS if each != study.partition])
        if any(each.uid == study.uid and each.partition == other for each in self.studies):
            return
        twin = self._add(KnownStudy(other, study.uid, self._next_number()))
        for each in study.instances[:6]:
            twin.instances.append(KnownInstance(twin, each.series, each.uid))
        self._store(twin.instances, twin)

    def race(self) -> None:
        """Store one new instance several times at once, with other bytes each time."""
        study = self._study()
        instance = self._new_instance(study)
        sent = [bodies.make_body(instance, self.chance) for _ in range(self.chance.choice((2, 3, 4)))]
        answers = list(self.pool.map(lambda body: self._post(study, [body], study), sent))
        outcomes = [self._outcomes(study, each, [instance])[0] for each in answers]
        self._apply(instance, list(enumerate(outcomes)))

    def store_into(self, study: KnownStudy) -> None:
        """Store one new instance in a study."""
        self._store([self._new_instance(study)], study)

    def store_together(self) -> None:
        """Store different instances of one new study with several requests at once."""
        study = self._add(KnownStudy(self.chance.choice(PARTITIONS), self._uid(), self._next_number()))
        self._store_groups(study, 3)

    def create_partition(self, name: str) -> None:
        """Store into a new partition with several requests at once."""
        self._store_groups(self._add(KnownStudy(name, self._uid(), self._next_number())), 3)

    def _store_groups(self, study: KnownStudy, count: int) -> None:
        groups = [[self._new_instance(study) for _ in range(3)] for _ in range(count)]
        for each in study.instances:
            self._new_body(each)
        answers = self.pool.map(lambda group: self._post(study, [each.bodies[0] for each in group], study), groups)
        for group, answer in zip(groups, answers, strict=True):
            for instance, outcome in zip(group, self._outcomes(study, answer, group), strict=True):
                self._apply(instance, [(0, outcome)])

    def _store(self, instances: Sequence[KnownInstance], study: KnownStudy | None) -> None:
        sent = []
        for instance in instances:
            same = instance.bodies and self.chance.random() < 0.5
            number = self.chance.randrange(len(instance.bodies)) if same else self._new_body(instance)
            sent.append((instance, number))
        answer = self._post(instances[0].study, [each.bodies[number] for each, number in sent], study)
        outcomes = self._outcomes(instances[0].study, answer, instances)
        for (instance, number), outcome in zip(sent, outcomes, strict=True):
            self._apply(instance, [(number, outcome)])

    def _post(self, at: KnownStudy, sent: Sequence[bytes], study: KnownStudy | None) -> Answer:
        version = self.chance.choice(("v1", "v2"))
        target = f"/{version}/partitions/{at.partition}/studies" + (f"/{study.uid}" if study else "")
        return self.requests.send(
            "store", at.key, "POST", target, allowed=_STATUSES_OF_STORE, body=related(sent), headers=RELATED
        )

    def _outcomes(
        self, study: KnownStudy, answer: Answer, instances: Sequence[KnownInstance], *, beside_deletion: bool = False
    ) -> list[StoreOutcome]:
        """Return the outcome of each instance of a request. The instances have different UIDs.

        Without faults only a deletion lets a store fail with 272 (conformance §6.4).
        """
        if answer.status not in _STATUSES_OF_STORE:
            return [StoreOutcome.UNKNOWN] * len(instances)
        report = answer.json()
        stored = {value(each, "00081155") for each in report.get("00081199", {}).get("Value", ())}
        failed = {
            value(each, "00081155"): value(each, "00081197") for each in report.get("00081198", {}).get("Value", ())
        }
        asked = {each.uid for each in instances}
        if stored & failed.keys() or stored | failed.keys() != asked:
            self.requests.journal.violate("a store reports each instance once", study.key, str(report)[:500])
        may_fail = self.requests.faults or beside_deletion or isinstance(study, ContestedStudy)
        for reason in set(failed.values()) - {_EXISTS} - ({_FAILED} if may_fail else set()):
            self.requests.journal.violate("a store has an allowed reason", study.key, str(reason))
        known = {_EXISTS: StoreOutcome.EXISTS}
        return [
            StoreOutcome.STORED if each.uid in stored else known.get(failed.get(each.uid, 0), StoreOutcome.UNKNOWN)
            for each in instances
        ]

    def _apply(self, instance: KnownInstance, outcomes: list[tuple[int, StoreOutcome]]) -> None:
        journal = self.requests.journal
        journal.count(ACKNOWLEDGED, sum(outcome is StoreOutcome.STORED for _, outcome in outcomes))
        before = instance.states
        if not instance.stored(outcomes):
            journal.violate("a store is answered truthfully", instance.study.key, f"{instance.uid} {before} {outcomes}")

    # --- deletions ---

    def _targets(self, study: KnownStudy) -> list[tuple[str, Sequence[KnownInstance]]]:
        """Return the paths of the study, of a series and of an instance in it, each with the instances that it has."""
        chosen = self.chance.choice(study.instances)
        in_series = [each for each in study.instances if each.series == chosen.series]
        return [
            (study.path, study.instances),
            (f"{study.path}/series/{chosen.series}", in_series),
            (chosen.path, [chosen]),
        ]

    def delete(self) -> None:
        """Delete an instance, a series or a study."""
        study = self._known()
        if study is None:
            return
        targets = self._targets(study)
        target, gone = self.chance.choice((*targets, targets[-1]))  # half of the deletions are of an instance
        self._deleted(study, gone, self._delete(study, target))

    def delete_while_storing(self) -> None:
        """Delete a study, a series or an instance while new instances of the study are stored."""
        study = self._known()
        if study is None:
            return
        target, covered_now = self.chance.choice(self._targets(study))
        gone = list(covered_now)
        groups = [[self._new_instance(study) for _ in range(3)] for _ in range(2)]
        for each in (each for group in groups for each in group):
            self._new_body(each)
        deletion = self.pool.submit(self._delete, study, target)
        stores = [self.pool.submit(self._post, study, [each.bodies[0] for each in group], study) for group in groups]
        answer = deletion.result()
        found_before = any(each.must_exist for each in gone)
        for group, store in zip(groups, stores, strict=True):
            outcomes = self._outcomes(study, store.result(), group, beside_deletion=True)
            for instance, outcome in zip(group, outcomes, strict=True):
                self._apply(instance, [(0, outcome)])
                covered = target in (study.path, f"{study.path}/series/{instance.series}")
                if outcome is StoreOutcome.UNKNOWN or (covered and answer.status != NOT_FOUND):
                    instance.deleted(DeleteOutcome.UNKNOWN)
        if answer.status == NOT_FOUND and not found_before:
            for each in gone:
                each.deleted(DeleteOutcome.UNKNOWN)
        else:
            self._deleted(study, gone, answer, alone=False)

    def _delete(self, study: KnownStudy, target: str) -> Answer:
        return self.requests.send("delete", study.key, "DELETE", target, allowed=(204, 404))

    def _deleted(self, study: KnownStudy, gone: Sequence[KnownInstance], answer: Answer, *, alone: bool = True) -> None:
        outcome = {204: DeleteOutcome.DELETED, 404: DeleteOutcome.NOT_FOUND}.get(answer.status, DeleteOutcome.UNKNOWN)
        before = [each.states for each in gone]
        if outcome is DeleteOutcome.DELETED and alone and not any(each.may_exist for each in gone):
            self.requests.journal.violate(
                "a deletion is answered truthfully", study.key, "204 although nothing was there"
            )
        explained = [each.deleted(outcome) for each in gone]
        if not all(explained):
            self.requests.journal.violate("a deletion is answered truthfully", study.key, f"{outcome} {before}")
        if outcome is DeleteOutcome.DELETED:
            self.requests.journal.count("acknowledged deletions")

    # --- reads ---

    def read(self) -> None:
        """Read a study in one of several ways, and compare with the model."""
        study = self._known()
        if study is not None:
            self.chance.choice((self.read_instance, self.read_files, self.read_metadata, self.search))(study)

    def read_instance(self, study: KnownStudy) -> None:
        """Retrieve one instance."""
        instance = self.chance.choice(study.instances)
        answer = self.requests.send("retrieve", study.key, "GET", instance.path, allowed=(200, 404), headers=ONE_FILE)
        self._saw(instance, {instance.uid: answer.body} if answer.status == 200 else {}, answer)

    def read_files(self, study: KnownStudy) -> None:
        """Retrieve the files of a study."""
        answer = self.requests.send("retrieve", study.key, "GET", study.path, allowed=(200, 404), headers=MANY_FILES)
        if answer.status in (200, 404):
            files = {uid_in(each): each for each in (parts(answer) if answer.status == 200 else [])}
            for instance in study.instances:
                self._saw(instance, files, answer)

    def _saw(self, instance: KnownInstance, files: dict[str, bytes], answer: Answer) -> None:
        """Compare the content of an instance with the model. `files` has no content for an instance that was absent."""
        if answer.status not in (200, 404):
            return
        content = files.get(instance.uid)
        state: Stored | None = None
        if content is not None:
            state = bodies.state_of(instance, content)
            if state is None:
                self.requests.journal.violate("the bytes are those that were stored", instance.study.key, instance.uid)
                return
        before = instance.states
        if not instance.seen(state):
            self.requests.journal.violate(
                "a retrieve shows what is stored", instance.study.key, f"{instance.uid} is {state}, expected {before}"
            )

    def read_metadata(self, study: KnownStudy) -> None:
        """Retrieve the metadata of a study."""
        answer = self.requests.send("metadata", study.key, "GET", f"{study.path}/metadata", allowed=(200, 404))
        if answer.status in (200, 404):
            self._compare(study, answer.json() if answer.status == 200 else [], "metadata")

    def search(self, study: KnownStudy) -> None:
        """Search for the instances of a study. A study has fewer than 200, or the answer is not compared."""
        target = f"/v2/partitions/{study.partition}/instances?StudyInstanceUID={study.uid}&limit=200"
        answer = self.requests.send("search", study.key, "GET", target, allowed=(200, 204))
        if answer.status in (200, 204) and len(study.instances) < 200:
            self._compare(study, answer.json() if answer.status == 200 else [], "search")

    def _compare(self, study: KnownStudy, datasets: list[dict[str, object]], view: str) -> None:
        """Compare the instances of an answer with the model."""
        found = [value(each, "00080018") for each in datasets]
        known = {each.uid: each for each in study.instances}
        if len(set(found)) != len(found) or not set(found) <= known.keys():
            self.requests.journal.violate(f"{view} shows each instance once", study.key, str(found))
        for name, instance in known.items():
            before = instance.states
            if not (instance.seen_to_exist() if name in found else instance.seen(None)):
                self.requests.journal.violate(
                    f"{view} shows what is stored",
                    study.key,
                    f"{name} {'is' if name in found else 'is not'} there: {before}",
                )

    # --- choice of a study ---

    def _known(self) -> KnownStudy | None:
        """Return a study with instances on which nothing runs in the background."""
        found = [each for each in self.studies if each.instances and each.is_free]
        return self.chance.choice(found[-30:]) if found else None

    def _study(self) -> KnownStudy:
        known = self._known()
        if known and self.chance.random() < 0.6 and len(known.instances) < 150:
            return known
        return self._add(KnownStudy(self.chance.choice(PARTITIONS), self._uid(), self._next_number()))

    def _add(self, study: KnownStudy) -> KnownStudy:
        self.studies.append(study)
        return study

    def _next_number(self) -> int:
        return self.first_number + len(self.studies)

    def _new_body(self, instance: KnownInstance) -> int:
        """Make new bytes for an instance. Return their number."""
        return instance.bodies.index(bodies.make_body(instance, self.chance))

    def _uid(self) -> str:
        return f"2.25.{self.chance.getrandbits(120)}"

    def _new_instance(self, study: KnownStudy) -> KnownInstance:
        instance = study.new_instance(f"{study.uid}.{self.chance.randrange(1, 4)}", self._uid())
        study.instances.append(instance)
        return instance


def uid_in(content: bytes) -> str:
    """Return the SOP Instance UID of a file."""
    return str(dcmread(BytesIO(content), specific_tags=["SOPInstanceUID"], force=True).SOPInstanceUID)
