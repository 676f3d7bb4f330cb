"""Conditions for the VRs of extended query tags, and unusual parameters (conformance §5.2, conformance §5.5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dicom.query.matching import Between, Condition, OneOf, Period, Wildcard
from app.dicom.query.parameters import Catalogue, parse_query
from app.dicom.validation.attributes import CORE, Attribute, Level
from app.errors import InvalidRequest

VRS = ["AE", "AS", "CS", "DA", "DT", "FD", "FL", "IS", "LO", "PN", "SH", "SL", "SS", "TM", "UI", "UL", "US"]
TAGS = {vr: f"0019{number:04X}" for number, vr in enumerate(VRS)}
CATALOGUE = Catalogue(
    attributes={**CORE, **{tag: Attribute(tag=tag, keyword=tag, vr=vr, level=Level.STUDY) for vr, tag in TAGS.items()}},
    disabled=frozenset({"00191000"}),
)


def condition(vr: str, value: str, fuzzy: str = "false") -> Condition:
    parameters = [(TAGS[vr], value), ("fuzzymatching", fuzzy)]
    (found,) = parse_query(Level.STUDY, None, None, parameters, CATALOGUE).filters
    return found.condition


def refusal(vr: str, value: str) -> str:
    with pytest.raises(InvalidRequest) as refused:
        condition(vr, value)
    return str(refused.value)


def one(*values: str) -> OneOf:
    return OneOf(frozenset(values))


def at(moment: str) -> Period:
    return Period(moment, moment)


@pytest.mark.parametrize(
    ("vr", "value", "found"),
    [
        # a partial time or moment is the start of its period
        ("TM", "10", one("100000.000000")),
        ("TM", "1015", one("101500.000000")),
        ("TM", "101530", one("101530.000000")),
        ("TM", "101530.25", one("101530.250000")),
        ("TM", "10-11", Between("100000.000000", "110000.000000")),
        ("TM", "-1130", Between("", "113000.000000")),
        ("TM", "235959.999999-", Between("235959.999999", "")),
        ("DT", "2024", at("20240101000000.000000")),
        ("DT", "202402", at("20240201000000.000000")),
        ("DT", "20240229", at("20240229000000.000000")),
        ("DT", "2024022910", at("20240229100000.000000")),
        ("DT", "202402291015", at("20240229101500.000000")),
        ("DT", "20240229101530.5", at("20240229101530.500000")),
        ("DT", "20240229101530+0100", at("20240229091530.000000")),
        ("DT", "20240229101530.5-0100", at("20240229111530.500000")),
        # a range of moments ends with the end of its second period
        ("DT", "2023-2024", Period("20230101000000.000000", "20241231235960.999999")),
        ("DT", "2023-0500-2024+0100", Period("20230101050000.000000", "20241231225960.999999")),
        ("DT", "2023-", Period("20230101000000.000000", "")),
        ("DT", "-20240229101530-0500", Period("", "20240229151530.999999")),
        ("DA", "20240229-20240229", Between("20240229", "20240229")),
        ("IS", "0003", one("3")),
        ("SS", "-3", one("-3")),
        ("FD", "1e3", one("1000")),
        ("FL", "0.5", one("0.5")),
        ("UI", "1.2,1.3\\1.4", one("1.2", "1.3", "1.4")),
        ("AE", "STORE*", Wildcard("store*")),
        ("CS", "M?", Wildcard("m?")),
        ("CS", "CT,mr\\US", one("ct", "mr", "us")),
        ("CS", "CT,MR,US,XA,DX,CR,", one("ct", "mr", "us", "xa", "dx", "cr")),
        ("SH", "*" + "x" * 16 + "*", Wildcard("*" + "x" * 16 + "*")),
        ("SH", "a,b", one("a,b")),
        ("LO", "a\\b", one("a\\b")),
        ("LO", "x" * 64, one("x" * 64)),
        ("LO", "ä" * 64, one("ä" * 64)),
    ],
)
def test_the_condition_for_a_value(vr: str, value: str, found: Condition) -> None:
    assert condition(vr, value) == found


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("TM", "1"),
        ("TM", "24"),
        ("TM", "1060"),
        ("TM", "10:15"),
        ("TM", "10.5"),
        ("TM", "101530."),
        ("TM", "101530.1234567"),
        ("TM", "-"),
        ("TM", "11-10"),
        ("DT", "202"),
        ("DT", "20241"),
        ("DT", "20240230"),
        ("DT", "20240229101530+1500"),
        ("DT", "20240229101530.5-0000"),
        ("DT", "2024-0500-2023-0500"),
        ("DT", "2024.5"),
        ("DT", "0000"),
        ("DA", "2024011\uff15"),
        ("DA", "20240115 20240116"),
        ("IS", "three"),
        ("IS", "1_000"),
        ("US", "nan"),
        ("FD", "inf"),
        ("FD", "1e999"),
        ("FL", "1,5"),
        ("UI", "1.2,"),
        ("UI", ",1.2"),
        ("UI", "1.2\\x"),
        ("LO", "x" * 65),
        ("SH", "x" * 17),
        ("SH", "*" + "x" * 17),
        ("CS", "CT," + "x" * 17),
        ("AS", "0030Y"),
    ],
)
def test_the_message_for_an_invalid_value_names_the_attribute(vr: str, value: str) -> None:
    assert TAGS[vr] in refusal(vr, value)


@pytest.mark.parametrize(
    ("vr", "value", "text"),
    [
        (
            "TM",
            "x",
            "Invalid query: specified Time value 'x' is invalid for attribute '{}'. "
            "Time should be valid and formatted as HHmmss.FFFFFF where only HH is mandatory.",
        ),
        (
            "DT",
            "x",
            "Invalid query: specified DateTime value 'x' is invalid for attribute '{}'. "
            "DateTime should be valid and formatted as yyyyMMddHHmmss.FFFFFF where only yyyy is mandatory.",
        ),
    ],
)
def test_the_messages_have_the_format(vr: str, value: str, text: str) -> None:
    assert refusal(vr, value) == text.format(TAGS[vr])


def test_a_query_by_a_disabled_tag_is_refused() -> None:
    catalogue = Catalogue(
        attributes={"00191000": Attribute(tag="00191000", keyword="00191000", vr="LO", level=Level.STUDY)},
        disabled=frozenset({"00191000"}),
    )
    with pytest.raises(InvalidRequest, match=r"^Query is disabled on specified attribute '00191000'\.$"):
        parse_query(Level.STUDY, None, None, [("00191000", "x")], catalogue)


def test_a_tag_filters_at_its_level_and_below() -> None:
    study = Attribute(tag="00191000", keyword="00191000", vr="LO", level=Level.STUDY)
    instance = Attribute(tag="00191001", keyword="00191001", vr="LO", level=Level.INSTANCE)
    catalogue = Catalogue(attributes={each.tag: each for each in (study, instance)})
    assert parse_query(Level.INSTANCE, None, None, [("00191000", "x"), ("00191001", "x")], catalogue).filters
    for level, url, tag in ((Level.STUDY, None, "00191001"), (Level.INSTANCE, "1.2", "00191000")):
        with pytest.raises(InvalidRequest, match="is not queryable"):
            parse_query(level, url, None, [(tag, "x")], catalogue)


NAMES = st.one_of(
    st.sampled_from([*(each.keyword for each in CORE.values()), *TAGS.values(), "limit", "offset", "includefield"]),
    st.sampled_from(["fuzzymatching", "PixelData", "RequestAttributesSequence", "A.B", "00091001", ""]),
    st.text(max_size=10),
)


@given(
    st.sampled_from(Level),
    st.lists(st.tuples(NAMES, st.one_of(st.text(max_size=30), st.text("0123456789-.*?\\,", max_size=20))), max_size=4),
)
def test_any_parameters_are_a_query_or_are_refused(level: Level, parameters: list[tuple[str, str]]) -> None:
    try:
        query = parse_query(level, None, None, parameters, CATALOGUE)
    except InvalidRequest as refused:
        assert str(refused)
    else:
        assert query.matches({}) is (not query.filters)
