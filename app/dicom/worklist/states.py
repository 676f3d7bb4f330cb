"""The states of a workitem, the transitions between them, and their effects on its dataset.

States and codes are those of PS3.4 CC.1.1, Table CC.1.1-2 (UPS state transitions), messages those of conformance §7.2.
The functions take a dataset and return a new one. The performer who claims a workitem sets its Transaction UID, the
lock. It is not part of the dataset.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from app.dicom.encoding.uids import PADDING, clean_uid
from app.dicom.json.dataset import JsonDataset, JsonElement, has_value, items
from app.dicom.worklist.attribute_rules import Rules, check_attributes
from app.dicom.worklist.rule_tables import CANCELED as CANCELED_RULES
from app.dicom.worklist.rule_tables import COMPLETED as COMPLETED_RULES
from app.dicom.worklist.rule_tables import CREATE, STATE_CHANGE, UPDATE
from app.dicom.worklist.search_attributes import check_values
from app.errors import InvalidWorkitem, WorkitemConflict

SCHEDULED: Final = "SCHEDULED"
IN_PROGRESS: Final = "IN PROGRESS"
COMPLETED: Final = "COMPLETED"
CANCELED: Final = "CANCELED"
STATES: Final = (SCHEDULED, IN_PROGRESS, COMPLETED, CANCELED)

SOP_CLASS: Final = "1.2.840.10008.5.1.4.34.6.1"
LABEL: Final = "worklist"

INCONSISTENT: Final = "The submitted request is inconsistent with the current state of the Workitem."
IMPOSSIBLE: Final = "The workitem instance can not transition to '{state}' state: {code}."
ALREADY_CANCELED: Final = "The UPS is already in the requested state of CANCELED."
BUSY: Final = "The workitem instance is currently being updated. Please try again later."
ALREADY_FINAL: Final = "The workitem instance is already in the final state '{state}'. {code}."
WAS_CANCELED: Final = "The workitem instance has been cancelled."
NOT_CLAIMED: Final = "The target URI did not reference a claimed Workitem."
NOT_SCHEDULED: Final = "Invalid TransactionUID for the specified Workitem Instance UID."
OTHER_UID: Final = "SOPInstanceUID in the payload does not match the workitem query parameter."

OK: Final = ""
TRANSITIONS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    # from         SCHEDULED IN PROGRESS COMPLETED CANCELED
    IN_PROGRESS: (OK, "C302", "C300", "C300"),
    COMPLETED: ("C301", OK, "B306", "C300"),
    CANCELED: ("C301", OK, "C300", "B304"),
}
"""Requested state -> for each current state, the code of the answer: C is an error, B a warning without a change."""

WRONG_LOCK: Final = "C301"
CANCEL_REQUESTS: Final[Mapping[str, str]] = {IN_PROGRESS: "C312", COMPLETED: "C311"}
"""Current state -> code of the error for a request for cancellation."""

_FINAL: Final[Mapping[str, Rules]] = {COMPLETED: COMPLETED_RULES, CANCELED: CANCELED_RULES, IN_PROGRESS: ()}

_CLASS_UID, _INSTANCE_UID, _TRANSACTION = "00080016", "00080018", "00081195"
_STATE, _WORKLIST_LABEL, _MODIFIED = "00741000", "00741202", "00404010"
_PROGRESS, _PERFORMED = "00741002", "00741216"
_CANCELED_AT, _REASON, _REASON_CODES = "00404052", "00741238", "0074100E"
_CONTACTS, _CONTACT_URI, _CONTACT_NAME = "00741008", "0074100A", "0074100C"


def state_of(dataset: JsonDataset) -> str:
    """Return the Procedure Step State. Every stored workitem has one."""
    return str(dataset[_STATE]["Value"][0])


# --- create, update -----------------------------------------------------------------------------------------------


def instance_uid(given: JsonDataset) -> str:
    """Return the SOP Instance UID, "" if the dataset has none or several."""
    return _single(given, _INSTANCE_UID)


def create(given: JsonDataset, workitem: str, now: float) -> JsonDataset:
    """Return the dataset that is stored for a new workitem, in state SCHEDULED.

    `now` is in seconds since 1970. Raises `InvalidWorkitem`.
    """
    if has_value(given.get(_INSTANCE_UID)) and instance_uid(given).rstrip(PADDING) != workitem:
        raise InvalidWorkitem(OTHER_UID)
    label = given.get(_WORKLIST_LABEL)
    dataset = given | {
        _CLASS_UID: _element("UI", SOP_CLASS),
        _INSTANCE_UID: _element("UI", workitem),
        _MODIFIED: _moment(now),
        _WORKLIST_LABEL: label if label and has_value(label) else _element("LO", LABEL),
        _STATE: _element("CS", SCHEDULED),
    }
    check_attributes(CREATE, dataset)
    check_values(dataset)
    del dataset[_TRANSACTION]
    return dataset


def update(dataset: JsonDataset, change: JsonDataset, *, lock: str, transaction: str, now: float) -> JsonDataset:
    """Return the dataset with the attributes of `change`, which replace those of the same tags.

    `lock` is the Transaction UID of the workitem, `transaction` that of the caller. Both are "" if there is none.
    Raises `InvalidWorkitem` and `WorkitemConflict`.
    """
    check_attributes(UPDATE, change)
    check_values(change)
    match state_of(dataset):
        case "SCHEDULED" if transaction:
            raise InvalidWorkitem(NOT_SCHEDULED)
        case "IN PROGRESS" if transaction != lock:
            raise InvalidWorkitem(NOT_CLAIMED)
        case "COMPLETED":
            raise InvalidWorkitem(f"{INCONSISTENT} The UPS is already COMPLETED.")
        case "CANCELED":
            raise WorkitemConflict(f"{INCONSISTENT} {ALREADY_CANCELED}")
    return dataset | change | {_MODIFIED: _moment(now)}


# --- state --------------------------------------------------------------------------------------------------------


class StateChange(NamedTuple):
    """The requested state and the Transaction UID of the caller."""

    state: str
    transaction: str


def read_state_change(given: JsonDataset) -> StateChange:
    """Read the body of a request for a state change. Raises `InvalidWorkitem`, `InvalidIdentifier`."""
    check_attributes(STATE_CHANGE, given)
    state = _single(given, _STATE)
    if state not in TRANSITIONS:
        raise InvalidWorkitem(f"ProcedureStepState must be one of {', '.join(TRANSITIONS)}.")
    return StateChange(state, clean_uid(_single(given, _TRANSACTION), "TransactionUID"))


def change_state(dataset: JsonDataset, change: StateChange, *, lock: str) -> JsonDataset | str:
    """Return the dataset in the requested state, or a warning if it is in that state already.

    `lock` is as in `update`. Raises `InvalidWorkitem` if there is no transition from the current state, if the lock is
    another, or if the dataset lacks attributes of the final state.
    """
    current = state_of(dataset)
    code = TRANSITIONS[change.state][STATES.index(current)]
    if current != SCHEDULED and change.transaction != lock:
        code = WRONG_LOCK
    if code.startswith("B"):
        return ALREADY_FINAL.format(state=current, code=code)
    if code:
        raise InvalidWorkitem(IMPOSSIBLE.format(state=change.state, code=code))
    after = dataset | {_STATE: _element("CS", change.state)}
    check_attributes(_FINAL[change.state], after)
    return after


def cancel(dataset: JsonDataset, request: JsonDataset, now: float) -> JsonDataset:
    """Return the dataset in state CANCELED, with time, reason and contact of the request (PS3.4 CC.2.2).

    Raises `WorkitemConflict` in every state but SCHEDULED.
    """
    current = state_of(dataset)
    if current == CANCELED:
        raise WorkitemConflict(ALREADY_CANCELED)
    if current in CANCEL_REQUESTS:
        raise WorkitemConflict(IMPOSSIBLE.format(state="Canceled", code=CANCEL_REQUESTS[current]))
    contact = {tag: request.get(tag, {"vr": vr}) for tag, vr in ((_CONTACT_URI, "UR"), (_CONTACT_NAME, "LO"))}
    known = items(dataset, _PROGRESS)
    progress = (known[0] if known else {}) | {
        _CANCELED_AT: _moment(now),
        _REASON: request.get(_REASON, {"vr": "LT"}),
        _REASON_CODES: request.get(_REASON_CODES, {"vr": "SQ"}),
        _CONTACTS: _sequence(contact),
    }
    performed = {_PERFORMED: request[_PERFORMED]} if _PERFORMED in request else {}
    return dataset | performed | {_STATE: _element("CS", CANCELED), _PROGRESS: _sequence(progress)}


def _single(dataset: JsonDataset, tag: str) -> str:
    """Return the value of an element that has exactly one value, else ""."""
    values = dataset.get(tag, {}).get("Value", ())
    return str(values[0] or "") if len(values) == 1 else ""


def _moment(now: float) -> JsonElement:
    return _element("DT", datetime.fromtimestamp(now, UTC).strftime("%Y%m%d%H%M%S.%f+0000"))


def _element(vr: str, value: str) -> JsonElement:
    return {"vr": vr, "Value": [value]}


def _sequence(item: JsonDataset) -> JsonElement:
    return {"vr": "SQ", "Value": [item]}
