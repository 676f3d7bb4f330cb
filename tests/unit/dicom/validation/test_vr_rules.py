"""Values and the messages for the rules of their VR that they break (PS3.5 §6.2, conformance §3.6)."""

from __future__ import annotations

import calendar

import pytest

from app.dicom.validation.vr_rules import is_date, vr_fault

GOOD = {
    "AE": ["STORE", "a b", "x" * 16],
    "AS": ["030Y", "000D", "012W", "999M"],
    "CS": ["ORIGINAL", "A_1 B", "X" * 16],
    "DA": ["20240115", "20240229", "19991231"],
    "DS": ["1", "-1.5", "+.5", "1.", "1e5", "1E-05", " 1 ", "1234567890123456"],
    "DT": [
        "2024", "202401", "20240115", "2024011510", "202401151015", "20240115101530", "20240115101560.123456",
        "20240115101530+0100", "20240115-1200", "2024+1400", "20240229",
    ],
    "IS": ["0", "-12", "+7", " 5 ", "2147483647", "-2147483648", "000000000012"],
    "LO": ["x" * 64, "é", "a\x1bb"],
    "LT": ["x" * 10240, "a\\b\r\n\t"],
    "PN": ["Doe^Jane", "A^B^C^D^E=F=G", "x" * 64 + "=" + "y" * 64, "a\x1bb", "="],
    "SH": ["x" * 16],
    "ST": ["x" * 1024, "a\\b\r\n"],
    "TM": ["10", "1015", "101530", "101560", "101530.1", "235959.123456"],
    "UC": ["x" * 100_000],
    "UI": ["1.2.3", "1.0.3", "1" * 64, "2.25.0"],
    "UR": ["http://x"],
    "UT": ["x" * 100_000],
}  # fmt: skip

NUL = "value contains invalid character"
BAD = [
    ("AE", "x" * 17, "value exceeds maximum length of 16 characters"),
    ("AE", "a\nb", "value contains invalid control character"),
    ("AS", "30Y", "value does not have pattern 000[DWMY]"),
    ("AS", "030y", "value does not have pattern 000[DWMY]"),
    ("CS", "X" * 17, "value exceeds maximum length of 16 characters"),
    (
        "CS",
        "lower",
        "value contains invalid character. Only uppercase character, digits, space and underscore alre allowed",
    ),
    ("DA", "2O240101", "one of the date values does not match the pattern YYYYMMDD"),
    ("DA", "2024.01.15", "one of the date values does not match the pattern YYYYMMDD"),
    ("DA", "20240101-20240102", "one of the date values does not match the pattern YYYYMMDD"),
    ("DA", "2024011\u0665", "one of the date values does not match the pattern YYYYMMDD"),
    ("DA", "20241301", "month component exceeds the value 12"),
    ("DA", "20240132", "day component exceeds the value 31"),
    ("DA", "20230229", "the date does not exist"),
    ("DA", "20240001", "the date does not exist"),
    ("DA", "00000101", "the date does not exist"),
    ("DS", "12345678901234567", "value exceeds maximum length of 16 characters"),
    ("DS", "1,5", "value is no decimal string"),
    ("DS", "1 5", "value is no decimal string"),
    ("DS", "nan", "value is no decimal string"),
    ("DT", "2024-0000", "negative UTC hours component with value -0000 is not allowed"),
    ("DT", "2024+01+02", "value does not match the UTC pattern &ZZXX"),
    ("DT", "2024-2025", "value does not match the UTC pattern &ZZXX"),
    ("DT", "2024+1500", "value does not match the UTC pattern &ZZXX"),
    ("DT", "202401151", "value does not mach pattern YYYY[MM[DD[HH[MM[SS[.F{1-6}]]]]]]"),
    ("DT", "20240115101561", "seconds component exceeds 60"),
    ("DT", "202401151060", "minutes component exceeds 59"),
    ("DT", "2024011524", "hours component exceeds 23"),
    ("DT", "20240132", "day component exceeds 31"),
    ("DT", "20240100", "day component cannot be 0"),
    ("DT", "202413", "month component exceeds 12"),
    ("DT", "202400", "month component cannot be 0"),
    ("DT", "20240230", "the date does not exist"),
    ("IS", "1.5", "value is not an integer string"),
    ("IS", "x", "value is not an integer string"),
    ("IS", "2147483648", "value too large to fit 32 bit integer"),
    ("IS", "9" * 5000, "value too large to fit 32 bit integer"),
    ("LO", "x" * 65, "value exceeds maximum length of 64 characters"),
    ("LO", "a\nb", "value contains invalid character"),
    ("LT", "x" * 10241, "value exceeds maximum length of 10240 characters"),
    ("PN", "a=b=c=d", "value contains too many groups"),
    ("PN", "x" * 65, "value exceeds maximum length of 64 characters"),
    ("PN", "a\rb", "value contains invalid control character"),
    ("PN", "a^b^c^d^e^f", "value contains too many components"),
    ("SH", "x" * 17, "value exceeds maximum length of 16 characters"),
    ("SH", "a\tb", "value contains invalid character"),
    ("ST", "x" * 1025, "value exceeds maximum length of 1024 characters"),
    ("TM", "10:15", "value does not mach pattern HH or HHMM or HHMMSS or HHMMSS.F{1-6}"),
    ("TM", "101530.1234567", "value does not mach pattern HH or HHMM or HHMMSS or HHMMSS.F{1-6}"),
    ("TM", "24", "hour component exceeds 23"),
    ("TM", "1060", "minutes component exceeds 59"),
    ("TM", "101561", "seconds component exceeds 60"),
    ("UI", "1" * 65, "value exceeds maximum length of 64 characters"),
    ("UI", "1.a", "value contains invalid characters other than '0'-'9' and '.'"),
    ("UI", "1.02", "components must not have leading zeros"),
    ("UI", "0.2", "components must not have leading zeros"),
    ("UI", "1..2", "a component can not be empty"),
    ("UI", "1.2.", "a component can not be empty"),
    *[(vr, "a\0b", NUL) for vr in ("LO", "LT", "SH", "ST", "UC", "UR", "UT")],
]


@pytest.mark.parametrize("vr, value", [(vr, value) for vr, values in GOOD.items() for value in ["", *values]])
def test_valid_values(vr: str, value: str) -> None:
    assert vr_fault(vr, value) is None


@pytest.mark.parametrize("vr, value, reason", BAD)
def test_invalid_values(vr: str, value: str, reason: str) -> None:
    shown = value if len(value) <= 256 else value[:256] + "…"
    assert vr_fault(vr, value) == f'Content "{shown}" does not validate VR {vr}: {reason}'


@pytest.mark.parametrize("vr", [vr for vr in GOOD if vr not in {"LO", "LT", "SH", "ST", "UC", "UR", "UT"}])
def test_a_nul_within_a_value_breaks_the_rules_of_every_text(vr: str) -> None:
    assert vr_fault(vr, GOOD[vr][0][:1] + "\0" + GOOD[vr][0][1:]) is not None


@pytest.mark.parametrize("year", [1900, 2000, 2023, 2024])
def test_the_pattern_of_dates_agrees_with_the_calendar(year: int) -> None:
    for month in range(14):
        for day in range(33):
            real = 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]
            text = f"{year}{month:02}{day:02}"
            assert is_date(text) == real
            assert (vr_fault("DA", text) is None) == real
            assert (vr_fault("DT", text) is None) == real
