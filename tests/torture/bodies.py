"""The instances that the campaign stores: small files whose searchable values follow from the number of the study."""

from __future__ import annotations

import random
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom import dcmread

from tests.support.instances import make_instance
from tests.torture.model import KnownInstance, Stored, patient_id

PREAMBLE: Final = 128
DATES: Final = ("20240101", "20240102", "20240103", "20240104")
BODY_PARTS: Final = ("HEAD", "CHEST", "KNEE")


@dataclass(frozen=True, slots=True)
class QueryTag:
    """An extended query tag of the campaign. `value` is that of a study, a series or an instance, by its number."""

    keyword: str
    level: str

    def value(self, number: int) -> str:
        """Return the value of the attribute in the instances of the study with this number."""
        if self.keyword == "PatientAge":
            return f"{number % 90:03d}Y"
        return BODY_PARTS[number % len(BODY_PARTS)] if self.keyword == "BodyPartExamined" else str(number % 7)


QUERY_TAGS: Final = (
    QueryTag("PatientAge", "Study"),
    QueryTag("BodyPartExamined", "Series"),
    QueryTag("AcquisitionNumber", "Instance"),
)


def study_date(number: int) -> str:
    """Return the Study Date of a study."""
    return DATES[number % len(DATES)]


def make_body(instance: KnownInstance, chance: random.Random) -> bytes:
    """Return new bytes for an instance, with random pixels. Add them to its bodies."""
    number = instance.study.number
    made = make_instance(
        study=instance.study.uid,
        series=instance.series,
        instance=instance.uid,
        patient_id=instance.study.patient_id,
        patient_name=f"Torture^{number}",
        study_date=study_date(number),
        pixel=chance.randbytes(32),
        **{tag.keyword: tag.value(number) for tag in QUERY_TAGS},
    )
    instance.bodies.append(made)
    return made


def state_of(instance: KnownInstance, content: bytes) -> Stored | None:
    """Return the state in which the instance has this content, None if it never had it."""
    for number, body in enumerate(instance.bodies):
        if content[PREAMBLE:] == body[PREAMBLE:]:
            return Stored(number)
    found = dcmread(BytesIO(content), force=True)
    update = int(str(found.PatientID).partition("-U")[2] or 0)
    if not update or found.PatientID != patient_id(instance.study.number, update):
        return None
    for number, body in enumerate(instance.bodies):
        sent = dcmread(BytesIO(body), force=True)
        sent.PatientID = found.PatientID
        if sent == found:
            return Stored(number, update)
    return None


def current_patient_id(instance: KnownInstance) -> str:
    """Return the Patient ID of an instance whose state is certain."""
    (state,) = instance.states
    if state and state.update:
        return patient_id(instance.study.number, state.update)
    body = BytesIO(instance.bodies[state.body if state else 0])
    return str(dcmread(body, specific_tags=["PatientID"], force=True).PatientID)
