"""A byte of a multi-byte character that is a backslash separates no values, in any character set (PS3.3 C.12.1.1.2)."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

UIDS = {"study": "2.25.1", "series": "2.25.2", "instance": "2.25.3"}
PATH = "/studies/2.25.1/series/2.25.2/instances/2.25.3/metadata"

TEXTS = {
    "ISO_IR 100": ("Müller", "Müller".encode("latin-1")),
    "ISO_IR 101": ("Łódź", "Łódź".encode("iso8859-2")),
    "ISO_IR 109": ("Ħal", "Ħal".encode("iso8859-3")),
    "ISO_IR 110": ("Ķēde", "Ķēde".encode("iso8859-4")),
    "ISO_IR 144": ("Люкс", "Люкс".encode("iso8859-5")),
    "ISO_IR 127": ("قباني", "قباني".encode("iso8859-6")),
    "ISO_IR 126": ("Διον", "Διον".encode("iso8859-7")),
    "ISO_IR 138": ("שרון", "שרון".encode("iso8859-8")),
    "ISO_IR 148": ("Çelik", "Çelik".encode("iso8859-9")),
    "ISO_IR 203": ("Œuvre", "Œuvre".encode("iso8859-15")),
    "ISO_IR 13": ("ﾔﾏﾀﾞ", "ﾔﾏﾀﾞ".encode("shift_jis")),
    "ISO_IR 166": ("นามสกุล", "นามสกุล".encode("tis-620")),
    "ISO_IR 192": ("王小東", "王小東".encode()),
    "GB18030": ("淺乗", "淺乗".encode("gb18030")),
    "GBK": ("淺乗", "淺乗".encode("gbk")),
    "\\ISO 2022 IR 87": ("俓旭", b"\x1b$B" + b"\x30\x5c\x30\x30" + b"\x1b(B"),
    "\\ISO 2022 IR 159": ("", b"\x1b$(D" + b"\x30\x5c" + b"\x1b(B"),
    "\\ISO 2022 IR 149": ("김희중", b"\x1b$)C" + "김희중".encode("euc_kr")),
    "\\ISO 2022 IR 58": ("王小东", b"\x1b$)A" + "王小东".encode("gb2312")),
    "ISO 2022 IR 13\\ISO 2022 IR 87": ("", b"\x1b$B" + b"\x30\x5c\x5c\x30" + b"\x1b(J"),
}


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("declared", TEXTS)
def test_one_value_stays_one_value(client: FlaskClient, declared: str, version: str) -> None:
    text, raw = TEXTS[declared]
    clinic = PartitionClient(client, f"/{version}/partitions/clinic-a")
    file = make_instance(
        SpecificCharacterSet=declared.encode(), patient_id=raw, StudyDescription=raw, pixel=False, **UIDS
    )
    answer = clinic.store(file)
    assert answer.status_code == 200, answer.text
    assert "Warning" not in answer.headers
    (metadata,) = clinic.get(PATH).get_json(force=True)
    for tag in ("00100020", "00081030"):
        (value,) = metadata[tag]["Value"]
        assert "\\" not in value
        assert not text or declared.endswith("87") or value == text


def test_a_real_backslash_separates_values(client: FlaskClient) -> None:
    for version, status in (("v1", 409), ("v2", 200)):
        clinic = PartitionClient(client, f"/{version}/partitions/{version}")
        raw = "淺".encode("gb18030") + b"\\" + "乗".encode("gb18030")
        file = make_instance(SpecificCharacterSet=b"GB18030", patient_id=raw, pixel=False, **UIDS)
        answer = clinic.store(file)
        assert (answer.status_code, "Warning" in answer.headers) == (status, version == "v2")
