"""Character sets whose term is misspelt, or declared in a form that the standard forbids (PS3.3 C.12.1.1.2)."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

UIDS = {"study": "2.25.1", "series": "2.25.2", "instance": "2.25.3"}
PATH = "/studies/2.25.1/series/2.25.2/instances/2.25.3/metadata"
CHINESE = "淺乗"  # the second byte of 乗 is a backslash in GBK and GB18030

DECLARED = {
    **dict.fromkeys((b"GB18030", b"gb18030", b"GB 18030", b"GB-18030", b"\\GB18030"), "gb18030"),
    **dict.fromkeys((b"GBK", b"gbk", b"\\GBK", b"ISO 2022 IR 6\\GBK"), "gbk"),
    **dict.fromkeys(
        (b"UTF-8", b"utf8", b"UTF_8", b"ISO 2022 IR 192", b"ISO-IR 192", b"iso_ir_192", b"\\ISO_IR 192"), "utf-8"
    ),
}


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("declared", DECLARED)
def test_a_misspelt_term_is_read_as_it_is_meant(client: FlaskClient, declared: bytes, version: str) -> None:
    clinic = PartitionClient(client, f"/{version}/partitions/clinic-a")
    raw = CHINESE.encode(DECLARED[declared])
    names = b"Wang^" + raw + b"=" + raw
    file = make_instance(SpecificCharacterSet=declared, patient_name=names, StudyDescription=raw, pixel=False, **UIDS)
    clinic.stored(file)
    (metadata,) = clinic.get(PATH).get_json(force=True)
    assert metadata["00081030"]["Value"] == [CHINESE]
    assert metadata["00100010"]["Value"] == [{"Alphabetic": f"Wang^{CHINESE}", "Ideographic": CHINESE}]
    assert clinic.get(f"/studies?StudyDescription={quote(CHINESE)}").get_json(force=True)[0]["0020000D"]["Value"] == [
        "2.25.1"
    ]


@pytest.mark.parametrize(
    "declared, escape, codec, text",
    [
        (b"\\ISO 2022 IR 100", b"\x1b-A", "latin-1", "Jérôme"),
        (b"ISO 2022 IR 100", b"\x1b-A", "latin-1", "Jérôme"),
        (b"ISO 2022 IR 6\\ISO 2022 IR 100\\ISO 2022 IR 144", b"\x1b-A", "latin-1", "Jérôme"),
        (b"ISO 2022 IR 100\\ISO 2022 IR 144", b"\x1b-L", "iso8859-5", "Люкс"),
        (b"\\ISO 2022 IR 101", b"\x1b-B", "iso8859-2", "Łódź"),
        (b"\\ISO 2022 IR 203", b"\x1b-b", "iso8859-15", "Œuvre"),
    ],
)
def test_an_escape_sequence_is_no_part_of_the_text(
    clinic: PartitionClient, declared: bytes, escape: bytes, codec: str, text: str
) -> None:
    raw = escape + text.encode(codec)
    clinic.stored(make_instance(SpecificCharacterSet=declared, StudyDescription=raw, pixel=False, **UIDS))
    (metadata,) = clinic.get(PATH).get_json(force=True)
    assert metadata["00081030"]["Value"] == [text]


@pytest.mark.parametrize(
    "declared, codec, text",
    [
        (b"ISO-8859-1", "latin-1", "é"),
        (b"ISO 8859-5", "iso8859-5", "Люкс"),
        (b"iso8859-7", "iso8859-7", "Διον"),
        (b"GB2312", "gb2312", "王小东"),
    ],
)
def test_names_of_other_standards(clinic: PartitionClient, declared: bytes, codec: str, text: str) -> None:
    raw = text.encode(codec)
    clinic.stored(make_instance(SpecificCharacterSet=declared, StudyDescription=raw, pixel=False, **UIDS))
    (metadata,) = clinic.get(PATH).get_json(force=True)
    assert metadata["00081030"]["Value"] == [text]


def test_an_unknown_term_means_latin_1(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(SpecificCharacterSet=b"EBCDIC", StudyDescription=b"J\xe9r", pixel=False, **UIDS))
    assert clinic.get(PATH).get_json(force=True)[0]["00081030"]["Value"] == ["Jér"]
