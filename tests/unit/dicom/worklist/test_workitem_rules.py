"""The attribute rules of workitems, table by table, and every state transition (conformance §7.2, conformance §7.4)."""

from __future__ import annotations

from typing import Any

import pytest

from app.dicom.json.dataset import JsonDataset
from app.dicom.validation.attributes import tag_of, vr_of
from app.dicom.worklist import rule_tables as tables
from app.dicom.worklist import states
from app.dicom.worklist.attribute_rules import Need, Rules, check_attributes, rules
from app.errors import InvalidWorkitem, WorkitemConflict
from tests.support.workitems import CODE, COMPLETE, PERFORMED, code, requested, sequence, text, workitem

U, T, OTHER = "2.25.601", "2.25.699", "2.25.698"
NOW = 1_709_283_600.25  # 2024-03-01 09:00:00.25 UTC


def keywords(text: str) -> list[str]:
    return text.split()


def tag(keyword: str) -> str:
    found = tag_of(keyword)
    assert found, keyword
    return found


def printed(keyword: str) -> str:
    number = tag(keyword).lower()
    return f"'({number[:4]},{number[4:]})'"


def empty(keyword: str) -> dict[str, Any]:
    return {"vr": vr_of(tag(keyword))}


def refusal(dataset: JsonDataset) -> str:
    with pytest.raises(InvalidWorkitem) as refused:
        states.create(dataset, U, NOW)
    return str(refused.value)


# --- creation -----------------------------------------------------------------------------------------------------

WITH_VALUE = keywords(
    "ScheduledProcedureStepPriority ProcedureStepLabel ScheduledProcedureStepStartDateTime InputReadinessState"
)
PRESENT = keywords("""
    ScheduledProcessingParametersSequence ScheduledStationNameCodeSequence ScheduledStationClassCodeSequence
    ScheduledStationGeographicLocationCodeSequence ScheduledWorkitemCodeSequence CommentsOnTheScheduledProcedureStep
    InputInformationSequence PatientName IssuerOfPatientID IssuerOfPatientIDQualifiersSequence OtherPatientIDsSequence
    ReferencedRequestSequence
    PatientBirthDate PatientSex AdmissionID IssuerOfAdmissionIDSequence AdmittingDiagnosesDescription
    AdmittingDiagnosesCodeSequence
""")
OPTIONAL = keywords("""
    PatientID StudyInstanceUID ReplacedProcedureStepSequence ScheduledHumanPerformersSequence ExpectedCompletionDateTime
    ScheduledProcedureStepExpirationDateTime MedicalAlerts PregnancyStatus SpecialNeeds ReferencedPatientPhotoSequence
    SpecificCharacterSet PatientAge AdmittingDate
""")


def test_the_attributes_that_the_server_sets() -> None:
    dataset = states.create(workitem(), U, NOW)
    assert dataset["00080016"] == text("UI", "1.2.840.10008.5.1.4.34.6.1")
    assert dataset["00080018"] == text("UI", U)
    assert dataset["00404010"] == text("DT", "20240301090000.250000+0000")
    assert dataset["00741202"] == text("LO", "worklist")
    assert dataset["00741000"] == text("CS", "SCHEDULED")
    assert "00081195" not in dataset
    assert dataset["00100010"] == workitem()["00100010"]


def test_the_label_of_the_client_is_kept_and_its_state_is_not() -> None:
    dataset = states.create(workitem(T00741202=text("LO", "night"), T00741000=text("CS", "COMPLETED")), U, NOW)
    assert dataset["00741202"] == text("LO", "night")
    assert dataset["00741000"] == text("CS", "SCHEDULED")
    assert states.create(workitem(T00741202={"vr": "LO"}), U, NOW)["00741202"] == text("LO", "worklist")


@pytest.mark.parametrize("uid", [U, U + " "])
def test_the_dataset_may_have_the_uid_of_the_url(uid: str) -> None:
    assert states.create(workitem(T00080018=text("UI", uid)), U, NOW)["00080018"] == text("UI", U)


@pytest.mark.parametrize("uid", [["2.25.602"], [U, U], [None, U]])
def test_another_uid_is_refused(uid: list[str]) -> None:
    said = refusal(workitem(T00080018={"vr": "UI", "Value": uid}))
    assert said == "SOPInstanceUID in the payload does not match the workitem query parameter."


def test_the_transaction_uid_must_be_present_and_empty() -> None:
    assert refusal(workitem(T00081195=None)) == "The required tag '(0008,1195)' is missing."
    assert refusal(workitem(T00081195=text("UI", T))) == "The attribute with tag '(0008,1195)' must be empty."


@pytest.mark.parametrize("keyword", WITH_VALUE)
def test_attributes_that_need_a_value(keyword: str) -> None:
    assert refusal(workitem(**{"T" + tag(keyword): None})) == f"The required tag {printed(keyword)} is missing."
    without = workitem(**{"T" + tag(keyword): {**empty(keyword), "Value": [None]}})
    assert refusal(without) == f"The value for tag {printed(keyword)} is missing."


@pytest.mark.parametrize("keyword", PRESENT)
def test_attributes_that_may_be_empty(keyword: str) -> None:
    assert refusal(workitem(**{"T" + tag(keyword): None})) == f"The required tag {printed(keyword)} is missing."
    assert states.create(workitem(**{"T" + tag(keyword): empty(keyword)}), U, NOW)


@pytest.mark.parametrize("keyword", OPTIONAL)
def test_an_optional_attribute_must_not_be_empty(keyword: str) -> None:
    assert states.create(workitem(**{"T" + tag(keyword): None}), U, NOW)
    said = refusal(workitem(**{"T" + tag(keyword): empty(keyword)}))
    assert said == f"The attribute with tag {printed(keyword)} must not be empty."


def test_attributes_that_no_table_lists_may_be_empty() -> None:
    assert states.create(workitem(T00080060={"vr": "CS"}, T00091001={"vr": "UN"}), U, NOW)


@pytest.mark.parametrize(
    "keyword", ["ProcedureStepProgressInformationSequence", "UnifiedProcedureStepPerformedProcedureSequence"]
)
def test_progress_may_be_absent_or_empty(keyword: str) -> None:
    for given in (None, {"vr": "SQ"}, sequence({})):
        assert states.create(workitem(**{"T" + tag(keyword): given}), U, NOW)


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        *(("ProcedureStepProgressInformationSequence", inner) for inner in (
            "ProcedureStepProgress", "ProcedureStepProgressDescription", "ProcedureStepCommunicationsURISequence",
            "ProcedureStepCancellationDateTime", "ReasonForCancellation",
            "ProcedureStepDiscontinuationReasonCodeSequence", "ProcedureStepProgressParametersSequence",
        )),
        *(("UnifiedProcedureStepPerformedProcedureSequence", inner) for inner in (
            "ActualHumanPerformersSequence", "PerformedStationNameCodeSequence", "PerformedProcedureStepStartDateTime",
            "PerformedProcedureStepDescription", "CommentsOnThePerformedProcedureStep", "PerformedWorkitemCodeSequence",
            "PerformedProcessingParametersSequence", "PerformedProcedureStepEndDateTime", "OutputInformationSequence",
        )),
    ],
)  # fmt: skip
def test_a_new_workitem_has_no_performed_procedure(outer: str, inner: str) -> None:
    said = refusal(workitem(**{"T" + tag(outer): sequence({}, {tag(inner): empty(inner)})}))
    assert said == f"The attribute with tag {printed(inner)} cannot be present."


INPUT = {
    "0040E020": text("CS", "DICOM"),
    "00081199": sequence({"00081150": text("UI", "1.2"), "00081155": text("UI", "1.3")}),
}
CONTENT = {"0040A040": text("CS", "TEXT"), "0040A043": sequence(CODE)}
PERFORMER = {
    "00404009": sequence(CODE),
    "00404037": {"vr": "PN", "Value": [{"Alphabetic": "Doe"}]},
    "00404036": text("LO", "X"),
}

ITEMS = [
    ("ScheduledStationNameCodeSequence", CODE, ["CodeMeaning"]),
    ("ScheduledStationClassCodeSequence", CODE, ["CodeMeaning"]),
    ("ScheduledStationGeographicLocationCodeSequence", CODE, ["CodeMeaning"]),
    ("ScheduledWorkitemCodeSequence", CODE, ["CodeMeaning"]),
    ("AdmittingDiagnosesCodeSequence", CODE, ["CodeMeaning"]),
    ("ScheduledProcessingParametersSequence", CONTENT, ["ValueType", "ConceptNameCodeSequence"]),
    ("InputInformationSequence", INPUT, ["TypeOfInstances", "ReferencedSOPSequence"]),
    (
        "ScheduledHumanPerformersSequence",
        PERFORMER,
        ["HumanPerformerCodeSequence", "HumanPerformerName", "HumanPerformerOrganization"],
    ),
    (
        "ReferencedRequestSequence",
        requested("A1"),
        [
            *(
                "StudyInstanceUID",
                "AccessionNumber",
                "IssuerOfAccessionNumberSequence",
                "OrderPlacerIdentifierSequence",
            ),
            *("OrderFillerIdentifierSequence", "RequestedProcedureID", "RequestedProcedureDescription"),
            "RequestedProcedureCodeSequence",
        ],
    ),
]


@pytest.mark.parametrize(("outer", "item", "needed"), ITEMS, ids=[each[0] for each in ITEMS])
def test_attributes_that_items_need(outer: str, item: JsonDataset, needed: list[str]) -> None:
    place = "T" + tag(outer)
    assert states.create(workitem(**{place: sequence(item)}), U, NOW)
    for keyword in needed:
        lacking = {name: element for name, element in item.items() if name != tag(keyword)}
        said = refusal(workitem(**{place: sequence(item, lacking)}))
        assert said == f"The required tag {printed(keyword)} is missing."


def test_the_rules_apply_to_every_item() -> None:
    nested = {**INPUT, "00081199": sequence({"00081150": text("UI", "1.2"), "00081155": {"vr": "UI"}})}
    assert refusal(workitem(T00404021=sequence(nested))) == "The value for tag '(0008,1155)' is missing."
    request = {**requested("A1"), "00321064": sequence({"00080100": text("SH", "X")})}
    assert refusal(workitem(T0040A370=sequence(request))) == "The required tag '(0008,0104)' is missing."


@pytest.mark.parametrize(
    ("keyword", "element"),
    [
        ("StudyInstanceUID", text("UI", "abc")),
        ("ScheduledProcedureStepStartDateTime", text("DT", "tomorrow")),
        ("PatientName", {"vr": "PN", "Value": [{"Alphabetic": "x" * 65}]}),
    ],
)
def test_an_invalid_value_that_no_search_could_find_is_refused(keyword: str, element: JsonDataset) -> None:
    said = refusal(workitem(**{"T" + tag(keyword): element}))
    assert said.startswith(f"Dicom element '{keyword}' failed validation for VR '{element['vr']}'")


def test_every_keyword_is_in_a_table_once() -> None:
    for table in (tables.CREATE, tables.UPDATE, tables.COMPLETED, tables.CANCELED):
        listed = [rule.tag for rule in table]
        assert len(listed) == len(set(listed))


# --- updates ------------------------------------------------------------------------------------------------------

FORBIDDEN = keywords("""
    TransactionUID SOPClassUID SOPInstanceUID PatientName PatientID IssuerOfPatientID
    IssuerOfPatientIDQualifiersSequence PatientBirthDate PatientSex AdmissionID IssuerOfAdmissionIDSequence
    AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence ReferencedRequestSequence
    ReplacedProcedureStepSequence ProcedureStepState
""")


def stored(state: str = "SCHEDULED", **different: JsonDataset | None) -> JsonDataset:
    return states.create(workitem(**different), U, NOW) | {"00741000": text("CS", state)}


@pytest.mark.parametrize("keyword", FORBIDDEN)
def test_an_update_must_not_change_patient_and_request(keyword: str) -> None:
    with pytest.raises(InvalidWorkitem) as refused:
        states.update(stored(), {tag(keyword): empty(keyword)}, lock="", transaction="", now=NOW)
    assert str(refused.value) == f"The attribute with tag {printed(keyword)} cannot be present."


@pytest.mark.parametrize(
    "keyword", [*WITH_VALUE, *OPTIONAL[1:2], *OPTIONAL[3:], "WorklistLabel", "InputInformationSequence"]
)
def test_an_update_must_not_empty_an_attribute(keyword: str) -> None:
    with pytest.raises(InvalidWorkitem) as refused:
        states.update(stored(), {tag(keyword): empty(keyword)}, lock="", transaction="", now=NOW)
    assert str(refused.value) == f"The attribute with tag {printed(keyword)} must not be empty."


def test_performed_items_need_output_information() -> None:
    with pytest.raises(InvalidWorkitem, match=r"The required tag '\(0040,4033\)' is missing\."):
        states.update(
            stored("IN PROGRESS"),
            {"00741216": sequence({"00404028": sequence(CODE)})},
            lock=T,
            transaction=T,
            now=NOW,
        )
    after = states.update(stored("IN PROGRESS"), PERFORMED, lock=T, transaction=T, now=NOW)
    assert after["00741216"] == PERFORMED["00741216"]


def test_an_update_replaces_whole_attributes() -> None:
    before = stored(T00404025=sequence(code("A"), code("B")))
    change = {"00404025": sequence(code("C")), "00380500": text("LO", "x")}
    after = states.update(before, change, lock="", transaction="", now=NOW + 1)
    assert after == before | change | {"00404010": text("DT", "20240301090001.250000+0000")}


INCONSISTENT = "The submitted request is inconsistent with the current state of the Workitem."


@pytest.mark.parametrize(
    ("state", "lock", "transaction", "error", "said"),
    [
        ("SCHEDULED", "", T, InvalidWorkitem, "Invalid TransactionUID for the specified Workitem Instance UID."),
        ("IN PROGRESS", T, "", InvalidWorkitem, "The target URI did not reference a claimed Workitem."),
        ("IN PROGRESS", T, OTHER, InvalidWorkitem, "The target URI did not reference a claimed Workitem."),
        ("COMPLETED", T, T, InvalidWorkitem, f"{INCONSISTENT} The UPS is already COMPLETED."),
        ("CANCELED", T, T, WorkitemConflict,
         f"{INCONSISTENT} The UPS is already in the requested state of CANCELED."),
    ],
)  # fmt: skip
def test_the_states_and_locks_that_refuse_an_update(
    state: str, lock: str, transaction: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as refused:
        states.update(stored(state), {"00741204": text("LO", "x")}, lock=lock, transaction=transaction, now=NOW)
    assert str(refused.value) == said


# --- the transition matrix ----------------------------------------------------------------------------------------

MATRIX = {
    "IN PROGRESS": {"SCHEDULED": "ok", "IN PROGRESS": "C302", "COMPLETED": "C300", "CANCELED": "C300"},
    "COMPLETED": {"SCHEDULED": "C301", "IN PROGRESS": "ok", "COMPLETED": "B306", "CANCELED": "C300"},
    "CANCELED": {"SCHEDULED": "C301", "IN PROGRESS": "ok", "COMPLETED": "C300", "CANCELED": "B304"},
}
"""Requested -> current -> outcome, as conformance §7.7 prints it; the caller holds the lock."""

CELLS = [(asked, current, code) for asked, row in MATRIX.items() for current, code in row.items()]


@pytest.mark.parametrize("holds", ["own", "other", "none"])
@pytest.mark.parametrize(("asked", "current", "code"), CELLS)
def test_every_transition(asked: str, current: str, code: str, holds: str) -> None:
    dataset = stored(current) | COMPLETE
    lock = "" if current == "SCHEDULED" else {"own": T, "other": OTHER, "none": ""}[holds]
    if current != "SCHEDULED" and holds != "own":
        code = "C301"
    change = states.StateChange(asked, T)
    if code == "ok":
        assert states.change_state(dataset, change, lock=lock) == dataset | {"00741000": text("CS", asked)}
    elif code.startswith("B"):
        said = states.change_state(dataset, change, lock=lock)
        assert said == f"The workitem instance is already in the final state '{asked}'. {code}."
    else:
        with pytest.raises(InvalidWorkitem) as refused:
            states.change_state(dataset, change, lock=lock)
        assert str(refused.value) == f"The workitem instance can not transition to '{asked}' state: {code}."


def without(dataset: JsonDataset, outer: str, inner: str) -> JsonDataset:
    (item,) = dataset[outer]["Value"]
    return {**dataset, outer: sequence({name: each for name, each in item.items() if name != inner})}


@pytest.mark.parametrize(
    ("asked", "outer", "needed"),
    [
        ("COMPLETED", "UnifiedProcedureStepPerformedProcedureSequence",
         ["PerformedStationNameCodeSequence", "PerformedProcedureStepStartDateTime", "PerformedWorkitemCodeSequence",
          "PerformedProcedureStepEndDateTime", "OutputInformationSequence"]),
        ("CANCELED", "ProcedureStepProgressInformationSequence",
         ["ProcedureStepCancellationDateTime", "ProcedureStepDiscontinuationReasonCodeSequence"]),
    ],
)  # fmt: skip
def test_attributes_that_a_final_state_needs(asked: str, outer: str, needed: list[str]) -> None:
    dataset = stored("IN PROGRESS") | COMPLETE
    change = states.StateChange(asked, T)
    for keyword in needed:
        with pytest.raises(InvalidWorkitem, match="is missing") as refused:
            states.change_state(without(dataset, tag(outer), tag(keyword)), change, lock=T)
        assert printed(keyword) in str(refused.value)
    lacking = {name: each for name, each in dataset.items() if name != tag(outer)}
    with pytest.raises(InvalidWorkitem) as refused:
        states.change_state(lacking, change, lock=T)
    assert str(refused.value) == f"The required tag {printed(outer)} is missing."


@pytest.mark.parametrize("asked", ["COMPLETED", "CANCELED"])
@pytest.mark.parametrize(
    "keyword", ["ScheduledProcedureStepPriority", "ScheduledProcedureStepStartDateTime", "InputReadinessState"]
)
def test_attributes_that_both_final_states_need(asked: str, keyword: str) -> None:
    dataset = stored("IN PROGRESS") | COMPLETE
    del dataset[tag(keyword)]
    with pytest.raises(InvalidWorkitem, match="is missing"):
        states.change_state(dataset, states.StateChange(asked, T), lock=T)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"00741000": text("CS", "COMPLETED")},
        {"00081195": text("UI", T)},
        {"00741000": {"vr": "CS"}, "00081195": text("UI", T)},
        {"00741000": text("CS", "SCHEDULED"), "00081195": text("UI", T)},
        {"00741000": text("CS", "in progress"), "00081195": text("UI", T)},
        {"00741000": text("CS", "COMPLETED", "CANCELED"), "00081195": text("UI", T)},
    ],
)
def test_an_invalid_state_change_is_refused(given: JsonDataset) -> None:
    with pytest.raises(InvalidWorkitem):
        states.read_state_change(given)


# --- cancellation -------------------------------------------------------------------------------------------------


def test_a_cancellation_stores_time_reason_and_contact() -> None:
    request = {
        "00741238": text("LT", "Patient left"),
        "0074100A": text("UR", "tel:1"),
        "0074100C": text("LO", "Desk"),
        "0074100E": sequence(CODE),
        "00741216": PERFORMED["00741216"],
    }
    before = stored()
    after = states.cancel(before, request, NOW)
    progress = {
        "00404052": text("DT", "20240301090000.250000+0000"),
        "00741238": text("LT", "Patient left"),
        "0074100E": sequence(CODE),
        "00741008": sequence({"0074100A": text("UR", "tel:1"), "0074100C": text("LO", "Desk")}),
    }
    expected = {"00741000": text("CS", "CANCELED"), "00741002": sequence(progress), "00741216": PERFORMED["00741216"]}
    assert after == before | expected


def test_a_cancellation_without_reason_and_contact() -> None:
    (progress,) = states.cancel(stored(), {}, NOW)["00741002"]["Value"]
    assert progress["00741238"] == {"vr": "LT"}
    assert progress["00741008"] == sequence({"0074100A": {"vr": "UR"}, "0074100C": {"vr": "LO"}})


def test_a_cancellation_keeps_the_earlier_progress() -> None:
    before = stored() | {"00741002": sequence({"00741004": text("DS", "10")})}
    (progress,) = states.cancel(before, {}, NOW)["00741002"]["Value"]
    assert progress["00741004"] == text("DS", "10")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("IN PROGRESS", "The workitem instance can not transition to 'Canceled' state: C312."),
        ("COMPLETED", "The workitem instance can not transition to 'Canceled' state: C311."),
        ("CANCELED", "The UPS is already in the requested state of CANCELED."),
    ],
)
def test_states_that_refuse_a_cancellation(state: str, said: str) -> None:
    with pytest.raises(WorkitemConflict) as refused:
        states.cancel(stored(state), {}, NOW)
    assert str(refused.value) == said


def test_every_requirement_has_messages() -> None:
    for need in Need:
        table: Rules = rules(need, "PatientID")
        for dataset in ({}, {"00100020": {"vr": "LO"}}, {"00100020": text("LO", "P9")}):
            try:
                check_attributes(table, dataset)
            except InvalidWorkitem as error:
                assert "(0010,0020)" in str(error)
