"""Canonical values, conditions and `Query.matches` (conformance §5.4)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.dicom.query.canonical import canonical, canonical_values, words
from app.dicom.query.matching import Between, Filter, OneOf, Query, Wildcard, Words
from app.dicom.validation.attributes import Attribute, Level


def attribute(vr: str) -> Attribute:
    return Attribute(tag="00190010", keyword="00190010", vr=vr, level=Level.STUDY)


@pytest.mark.parametrize(
    ("vr", "value", "other"),
    [
        ("LO", "abc", "ABC "),
        ("LO", "abc", "abc\0"),
        ("LO", "abc", "abc \0 "),
        ("LO", "Straße", "STRASSE"),
        ("LO", "Zoë", "Zoe\u0308"),
        ("LO", "\u0390", "\u03aa\u0301"),  # folding takes apart what composing had put together
        ("LO", "abc", "abc\n"),
        ("SH", "ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("PN", "Doe^Jane", "doe^jane^^^ "),
        ("PN", {"Alphabetic": "Zoë^É"}, "ZOE^E"),
        ("PN", {"Alphabetic": "A", "Phonetic": "C"}, "A==C"),
        ("PN", {"Alphabetic": "A^B^^", "Ideographic": "C^^"}, "a^b=c"),
        ("IS", "0003", 3),
        ("IS", "+3", "3"),
        ("IS", " 3 ", 3),
        ("US", 3, "3.0"),
        ("FD", 0.5, "5e-1"),
        ("FD", -0.0, "0"),
        ("FD", 1e22, "1e22"),
        ("FD", 1e22, "10000000000000000000000"),
        ("FL", ".5", "0.5"),
        ("FL", 0.10000000149011612, "0.1"),
        ("SL", -7, "-07"),
        ("TM", "10", "100000.000000"),
        ("TM", "1015", "101500"),
        ("TM", "101500.5", "101500.500000"),
        ("DT", "2024", "20240101000000"),
        ("DT", "202403", "20240301"),
        ("DT", "20240115101500.1+0100", "20240115101500.1-0500"),  # the index files the wall time
    ],
)
def test_equal_values_have_one_canonical_form(vr: str, value: Any, other: Any) -> None:
    assert canonical(vr, value) == canonical(vr, other) != ""


@pytest.mark.parametrize(
    ("vr", "value", "other"),
    [
        ("LO", "Zoë", "Zoe"),
        ("LO", " abc", "abc"),
        ("LO", "a b", "a  b"),
        ("PN", "Doe^Jane", "Doe^^Jane"),
        ("IS", "3", "30"),
        ("FD", 0.5, 0.25),
        ("FD", 0.10000000149011612, "0.1"),
        ("TM", "10", "1001"),
        ("DT", "2024", "202402"),
        ("US", 2**53, 2**53 + 1),
    ],
)
def test_different_values_have_different_forms(vr: str, value: Any, other: Any) -> None:
    assert canonical(vr, value) != canonical(vr, other)


@pytest.mark.parametrize(
    "value", ["", "x", "1_000", "\uff11\uff12", "nan", "inf", "-inf", "Infinity", "1e999", "0x10", "1,5", None, {}, []]
)
def test_text_that_is_not_a_number_has_no_canonical_form(value: Any) -> None:
    assert canonical("IS", value) == ""


def test_numbers_beyond_the_limits_have_no_canonical_form() -> None:
    assert canonical("IS", "9" * 64) == "9" * 64
    assert canonical("IS", "9" * 65) == canonical("IS", 10**400) == ""
    assert canonical("FL", "1e39") == canonical("FD", "1e309") == ""


@pytest.mark.parametrize("vr", ["LO", "PN", "DT", "TM", "DA", "UI"])
@given(st.text())
@example("a\U0010ffffb")
def test_canonical_values_have_no_character_with_a_meaning_in_keys(vr: str, value: str) -> None:
    assert not any(ord(c) < 32 or c in "\x7f\U0010ffff" for c in canonical(vr, value))


@pytest.mark.parametrize("vr", ["LO", "PN"])
@given(st.text())
def test_the_canonical_form_of_a_canonical_text_is_the_same(vr: str, value: str) -> None:
    once = canonical(vr, value)
    assert canonical(vr, once).rstrip(" ^=") == once.rstrip(" ^=")


@pytest.mark.parametrize(
    ("vr", "element", "found"),
    [
        ("LO", None, ()),
        ("LO", {"vr": "LO"}, ()),
        ("LO", {"vr": "LO", "Value": []}, ()),
        ("LO", {"vr": "LO", "Value": [None, "b"]}, ()),
        ("LO", {"vr": "LO", "Value": ["A", "B"]}, ("a",)),
        ("LO", {"vr": "LO", "Value": ["  "]}, ()),
        ("PN", {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]}, ("a^b",)),
        ("PN", {"vr": "PN", "Value": [{"Alphabetic": "A", "Ideographic": "B"}]}, ("a=b", "a", "b")),
        ("PN", {"vr": "PN", "Value": [{"Ideographic": "B"}]}, ("=b", "b")),
        ("PN", {"vr": "PN", "Value": [{}]}, ()),
    ],
)
def test_the_values_that_find_an_element(vr: str, element: Any, found: tuple[str, ...]) -> None:
    assert canonical_values(attribute(vr), element) == found


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("*", "", True),
        ("a*", "abc", True),
        ("a*", "ba", False),
        ("*c", "abc", True),
        ("a*c", "ac", True),
        ("a*c", "abcb", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("?", "é", True),
        ("a.c", "abc", False),
        ("a[b]*", "a[b]c", True),
        ("*a*a", "aba", True),
        ("*ab*ab*", "abxab", True),
        ("*ab*ab*", "abab", True),
        ("*ab*ba*", "aba", False),
        ("*a?", "aab", True),
        ("*a?c", "aabc", True),
    ],
)
def test_wildcards(pattern: str, value: str, fits: bool) -> None:
    assert Wildcard(pattern).matches(value) is fits


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_wildcards_match_like_a_simple_definition(pattern: str, value: str) -> None:
    def fits(p: str, v: str) -> bool:
        if not p:
            return not v
        if p[0] == "*":
            return any(fits(p[1:], v[i:]) for i in range(len(v) + 1))
        return bool(v) and p[0] in ("?", v[0]) and fits(p[1:], v[1:])

    assert Wildcard(pattern).matches(value) is fits(pattern, value)


def test_a_wildcard_that_does_not_match_ends_soon() -> None:
    """A matcher that tries every way to fail never ends here: there are 2**50."""
    assert not Wildcard("*a" * 30 + "*b").matches("a" * 64)


@pytest.mark.parametrize(
    ("asked", "name", "fits"),
    [
        ("smi", "smith^ann", True),
        ("ann", "smith^ann", True),
        ("smith ann", "smith^ann mary", True),
        ("ann smith", "smith^ann", False),
        ("smith mary", "smith^ann^mary", False),
        ("a a", "ab^ac", True),
        ("smithson", "smith", False),
        ("a b c", "a^b", False),
    ],
)
def test_fuzzy_matching_of_words(asked: str, name: str, fits: bool) -> None:
    assert Words(tuple(words(asked))).matches(name) is fits


@pytest.mark.parametrize(
    ("low", "high", "value", "fits"),
    [
        ("b", "d", "b", True),
        ("b", "d", "d", True),
        ("b", "d", "a", False),
        ("b", "d", "da", False),
        ("b", "", "z", True),
        ("", "d", "a", True),
        ("", "d", "e", False),
    ],
)
def test_ranges(low: str, high: str, value: str, fits: bool) -> None:
    assert Between(low, high).matches(value) is fits


def test_a_query_matches_if_all_filters_match() -> None:
    one = Filter(attribute=attribute("LO"), condition=OneOf(frozenset(("a",))), name="x")
    other = Filter(
        attribute=Attribute(tag="00190011", keyword="00190011", vr="LO", level=Level.STUDY),
        condition=Wildcard("b*"),
        name="y",
    )
    query = Query(level=Level.STUDY, filters=(one, other))
    element = {"vr": "LO", "Value": ["A"]}
    assert not query.matches({"00190010": element})
    assert not query.matches({"00190010": element, "00190011": element})
    assert query.matches({"00190010": element, "00190011": {"vr": "LO", "Value": ["bc"]}})
    assert Query(level=Level.STUDY).matches({})
