"""Values of VR DT: their moments in UTC, and the ranges that a query states (PS3.5 §6.2, PS3.4 §C.2.2.2.5.3)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.query.canonical import canonical, compared
from app.dicom.query.filter_values import condition
from app.dicom.query.matching import Period
from app.dicom.query.moments import Bounds, bounds_of, end_in_utc, in_utc, wall_time, with_timezone
from app.dicom.validation.attributes import Attribute, Level

ACQUISITION = Attribute(tag="0008002A", keyword="AcquisitionDateTime", vr="DT", level=Level.INSTANCE)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2024", "20240101000000.000000"),
        ("20240301120000", "20240301120000.000000"),
        ("20240301120000.5", "20240301120000.500000"),
        ("20240301120000+0000", "20240301120000.000000"),
        ("20240301120000-0500", "20240301170000.000000"),
        ("20240301120000.25+0530", "20240301063000.250000"),
        ("20240301+0100", "20240229230000.000000"),
        ("2024-0500", "20240101050000.000000"),
        ("202403-1200", "20240301120000.000000"),
        ("20240101+1400", "20231231100000.000000"),
        ("20161231235960-0100", "20170101005960.000000"),  # a leap second stays one
        ("00010101+1400", "00010101000000.000000"),
        ("9999123123-1200", "99991231235960.999999"),
    ],
)
def test_the_moment_of_a_value(value: str, moment: str) -> None:
    assert in_utc(value) == compared("DT", value) == moment


@pytest.mark.parametrize("value", ["20240301+1401", "20240301-1201", "20240301-0000", "20240301+0160", "20240230+0100"])
def test_an_invalid_offset_is_ignored(value: str) -> None:
    assert in_utc(value) == wall_time(value)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2024", "20241231235960.999999"),
        ("202402", "20240229235960.999999"),
        ("20240301", "20240301235960.999999"),
        ("2024030112", "20240301125960.999999"),
        ("202403011230", "20240301123060.999999"),
        ("20240301123015", "20240301123015.999999"),
        ("20240301123015.5", "20240301123015.500000"),
        ("20240301-0500", "20240302045960.999999"),
        ("2024+0100", "20241231225960.999999"),
        ("9999-1200", "99991231235960.999999"),
    ],
)
def test_the_last_moment_of_a_period(value: str, moment: str) -> None:
    assert end_in_utc(value) == moment


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2024", "2024"),
        ("2024-0500", "2024-0500"),
        ("20240301120000-0500", "20240301120000-0500"),
        ("20240301120000 0530", "20240301120000+0530"),
        ("2023-2024", Bounds("2023", "2024")),
        ("2023 - 2024", Bounds("2023", "2024")),
        ("2023 -0500", Bounds("2023", "0500")),
        ("2023-", Bounds("2023", "")),
        ("-2024", Bounds("", "2024")),
        ("2023-0500-", Bounds("2023-0500", "")),
        ("-2023-0500", Bounds("", "2023-0500")),
        ("2023-0500-2024", Bounds("2023-0500", "2024")),
        ("2023-2024-0500", Bounds("2023", "2024-0500")),
        ("2023-0500-2024-0600", Bounds("2023-0500", "2024-0600")),
        ("2023 0500-2024 0600", Bounds("2023+0500", "2024+0600")),
        ("20240301-0500-20240302+0100", Bounds("20240301-0500", "20240302+0100")),
        ("0900-1000-1100", Bounds("0900-1000", "1100")),
        ("2024+1401", None),
        ("2024 2025", None),
        ("2024-0500-2025-2026", None),
        ("-", None),
        ("", None),
        ("tomorrow", None),
    ],
)
def test_a_hyphen_belongs_to_an_offset_or_to_a_range(text: str, found: str | Bounds | None) -> None:
    assert bounds_of(text) == found


@pytest.mark.parametrize(
    ("value", "timezone", "after"),
    [
        ("20240301", "+0100", "20240301+0100"),
        ("20240301 ", "-0500 ", "20240301-0500"),
        ("20240301\0", "-0500\0", "20240301-0500"),
        ("20240301-0800", "+0100", "20240301-0800"),
        ("20240301", "+9900", "20240301"),
        ("20240301", "-0000", "20240301"),
        ("20240301", "CET", "20240301"),
        ("tomorrow", "+0100", "tomorrow"),
    ],
)
def test_a_value_takes_the_offset_of_its_dataset(value: str, timezone: str, after: str) -> None:
    element = {"vr": "DT", "Value": [value]}
    assert with_timezone(element, {"00080201": {"vr": "SH", "Value": [timezone]}}) == {"vr": "DT", "Value": [after]}
    assert with_timezone(element, {}) == with_timezone(element, {"00080201": {"vr": "SH"}}) == element


def test_the_index_files_the_wall_time_as_release_0_1_0_did() -> None:
    """So a search finds the values with an offset in an older archive, and a deletion removes their postings."""
    for offset in ("", "-0500", "+0530"):
        assert canonical("DT", f"20240301120000{offset}") == "20240301120000.000000"


# --- the index and `Query.matches` agree -----------------------------------------------------------------------------

OFFSETS = ["", "+0000", "+0100", "+0530", "+1400", "-0030", "-0500", "-1200"]
AROUND = st.datetimes(datetime(2024, 2, 28), datetime(2024, 3, 2))
VALUES = st.builds(
    lambda moment, length, offset: moment.strftime("%Y%m%d%H%M%S.%f")[:length] + offset,
    AROUND,
    st.sampled_from([4, 6, 8, 10, 12, 14, 16, 21]),
    st.sampled_from(OFFSETS),
)
QUERIES = st.one_of(VALUES, VALUES.map("{}-".format), VALUES.map("-{}".format))


@given(VALUES, QUERIES)
def test_the_range_that_a_search_reads_has_every_match(value: str, query: str) -> None:
    wanted = condition(ACQUISITION, "x", query, fuzzy=False)
    assert isinstance(wanted, Period)
    low, high = wanted.indexed
    if wanted.matches(compared("DT", value)):
        assert low <= canonical("DT", value) and (not high or canonical("DT", value) <= high)


@given(AROUND, st.sampled_from(OFFSETS[1:]), st.sampled_from(OFFSETS[1:]))
def test_a_moment_is_the_same_in_every_time_zone(moment: datetime, one: str, other: str) -> None:
    def written(offset: str) -> str:
        span = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
        local = moment + (span if offset[0] == "+" else -span)
        return local.strftime("%Y%m%d%H%M%S.%f") + offset

    assert in_utc(written(one)) == in_utc(written(other)) == moment.strftime("%Y%m%d%H%M%S.%f")
