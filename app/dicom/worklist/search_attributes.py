"""The attributes that find a workitem, and those that a search returns by default (conformance §7.9, "Search")."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from typing import Any, Final

from app.dicom.encoding.uids import is_uid
from app.dicom.json.dataset import JsonDataset, JsonElement, person_name
from app.dicom.query.dataset_values import first_values
from app.dicom.query.moments import with_timezone
from app.dicom.validation.attributes import Attribute, Level, path_of, tag_of
from app.dicom.validation.vr_rules import vr_fault
from app.errors import IDENTIFIER_RULE, InvalidWorkitem

STATE: Final = "00741000"

MAX_VALUES: Final = 100
"""The number of values of one attribute within a sequence that find a workitem: those of the first items."""

_FILTERS: Final = """
    PatientName                                             PN
    PatientID                                               LO
    ReferencedRequestSequence.AccessionNumber               SH
    ReferencedRequestSequence.RequestedProcedureID          SH
    ScheduledProcedureStepStartDateTime                     DT
    ScheduledStationNameCodeSequence.CodeValue              SH
    ScheduledStationClassCodeSequence.CodeValue             SH
    ScheduledStationGeographicLocationCodeSequence.CodeValue SH
    ProcedureStepState                                      CS
    StudyInstanceUID                                        UI
"""

_RETURNED: Final = """
    SpecificCharacterSet SOPClassUID SOPInstanceUID ProcedureStepState ScheduledProcedureStepPriority ProcedureStepLabel
    WorklistLabel ScheduledProcessingParametersSequence ScheduledStationNameCodeSequence
    ScheduledStationClassCodeSequence ScheduledStationGeographicLocationCodeSequence ScheduledHumanPerformersSequence
    ScheduledProcedureStepStartDateTime ScheduledWorkitemCodeSequence InputReadinessState InputInformationSequence
    StudyInstanceUID PatientName PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence OtherPatientIDsSequence
    PatientBirthDate PatientSex AdmissionID IssuerOfAdmissionIDSequence AdmittingDiagnosesDescription
    AdmittingDiagnosesCodeSequence ReferencedRequestSequence MedicalAlerts PregnancyStatus SpecialNeeds
    ProcedureStepProgressInformationSequence
"""


def _filters() -> dict[str, Attribute]:
    found = (
        Attribute(tag=path_of(name) or "", keyword=name, vr=vr, level=Level.INSTANCE)
        for name, vr in map(str.split, _rows(_FILTERS))
    )
    return {each.tag: each for each in found}


def _rows(table: str) -> list[str]:
    return table.strip().splitlines()


FILTERS: Final[Mapping[str, Attribute]] = _filters()
"""Path -> attribute that a search may filter by. `0040A370.00080050` is in the items of a sequence.

Their level is instance, because a workitem is an instance of the UPS SOP class.
"""

RETURNED: Final = frozenset(tag for keyword in _RETURNED.split() if (tag := tag_of(keyword)))
"""Tags that a search returns by default."""


def search_values(dataset: JsonDataset) -> dict[str, JsonElement]:
    """Return the values by which searches find a workitem: path -> element with the first value.

    Of an attribute within a sequence, the element has the first value of each item. A DT without an offset gets the
    offset of the dataset, (0008,0201).
    """
    found = {path: _found(dataset, attribute) for path, attribute in FILTERS.items()}
    elements = {path: {"vr": FILTERS[path].vr, "Value": values} for path, values in found.items() if values}
    return {
        path: with_timezone(element, dataset) if element["vr"] == "DT" else element
        for path, element in elements.items()
    }


def check_values(dataset: JsonDataset) -> None:
    """Raise `InvalidWorkitem` for an invalid UID, date and time, or name: no search could find it."""
    for attribute in FILTERS.values():
        broken = _CHECKED.get(attribute.vr)
        if broken is None:
            continue
        for value in _found(dataset, attribute):
            text = person_name(value) if isinstance(value, dict) else value
            reason = broken(text.rstrip("= \0"))
            if reason:
                name, vr = attribute.keyword, attribute.vr
                raise InvalidWorkitem(f"Dicom element '{name}' failed validation for VR '{vr}': {reason}")


def _uid_fault(value: str) -> str | None:
    return None if is_uid(value) else IDENTIFIER_RULE


_CHECKED: Final[Mapping[str, Callable[[str], str | None]]] = {
    "UI": _uid_fault,
    "DT": partial(vr_fault, "DT"),
    "PN": partial(vr_fault, "PN"),
}


def _found(dataset: JsonDataset, attribute: Attribute) -> list[Any]:
    return list(islice(first_values(dataset, attribute.tag), MAX_VALUES))
