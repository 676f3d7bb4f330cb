"""Forms of Range that clients send, on a file (RFC 9110 §14.1.2, conformance §4.4)."""

from __future__ import annotations

import pytest

from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance

PATH = "/studies/2.25.1/series/2.25.2/instances/2.25.3"
AS_STORED = "application/dicom; transfer-syntax=*"
FILE = make_instance(study="2.25.1", series="2.25.2", instance="2.25.3")
SIZE = len(FILE)
HUGE = "9" * 40


@pytest.mark.parametrize("settings", ["embedded"], indirect=True)
@pytest.mark.parametrize(
    "header, status, content",
    [
        ("bytes=0-9", 206, FILE[:10]),
        ("BYTES = 0 - 9", 206, FILE[:10]),
        ("bytes=-10", 206, FILE[-10:]),
        ("bytes=10-", 206, FILE[10:]),
        (f"bytes=-{SIZE * 2}", 206, FILE),
        (f"bytes=0-{HUGE}", 206, FILE),
        (f"bytes=-{HUGE}", 206, FILE),
        (f"bytes={SIZE - 1}-{SIZE - 1}", 206, FILE[-1:]),
        (f"bytes={SIZE}-", 416, None),
        (f"bytes={HUGE}-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=5-2", 200, FILE),
        ("bytes=0-1,4-5", 200, FILE),
        ("items=0-1", 200, FILE),
        ("bytes=a-b", 200, FILE),
        ("bytes=-", 200, FILE),
        ("", 200, FILE),
    ],
)
def test_a_form_of_range(clinic: PartitionClient, header: str, status: int, content: bytes | None) -> None:
    clinic.stored(FILE)
    answer = clinic.get(PATH, AS_STORED, Range=header)
    assert answer.status_code == status
    assert answer.headers["Accept-Ranges"] == "bytes"
    if content is None:
        assert answer.headers["Content-Range"] == f"bytes */{SIZE}"
    else:
        assert answer.data == content
