"""A damaged file is stored byte for byte, or refused with the rule named. The instance beside it is stored."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pydicom.data
import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from app import bootstrap, create_app
from app.dicom.encoding import limits
from app.settings import Settings
from tests.support.dicomweb import PartitionClient, comments, items, value
from tests.support.instances import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, ct, make_instance

GOOD = make_instance(study="2.25.1", series="2.25.2", instance="2.25.3")
AS_STORED = "application/dicom; transfer-syntax=*"
WORDS = [
    b"\xff" * 4,
    bytes(4),
    b"\xfe\xff\x00\xe0",
    b"\xfe\xff\x0d\xe0",
    b"\xfe\xff\xdd\xe0",
    b"UN\0\0",
    b"SQ\0\0",
    b"ob",
]


@cache
def files() -> list[bytes]:
    """Small files: those that come with pydicom, and a CT slice in each uncompressed transfer syntax."""
    root = Path(pydicom.data.__file__).parent
    small = [path for path in sorted(root.rglob("*.dcm")) if path.stat().st_size < 20_000]
    syntaxes = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE)
    return [path.read_bytes() for path in small] + [ct(rows=2, columns=2, transfer_syntax=each) for each in syntaxes]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    chosen = Settings(data_dir=tmp_path_factory.mktemp("archive"), log_level="error")
    bootstrap.initialise(chosen)
    return create_app(chosen, bootstrap.build_engine(chosen)).test_client()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file with some bytes inverted, overwritten, removed or added. Most damage is near the start."""
    data = bytearray(draw(st.sampled_from(files())))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, min(len(data), draw(st.sampled_from([300, 2000, 20_000]))) - 1))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == 1:
            word = draw(st.sampled_from(WORDS))
            data[at : at + len(word)] = word
        elif kind == 2 and len(data) > 10:
            del data[at : at + draw(st.integers(1, 8))]
        else:
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(data)


@pytest.mark.parametrize("large", [1 << 20, 100], ids=["limits as they are", "everything is large"])
@settings(max_examples=150)
@given(file=damaged(), version=st.sampled_from(["v1", "v2"]))
def test_a_damaged_file_costs_nothing_else(service: FlaskClient, large: int, file: bytes, version: str) -> None:
    clinic = PartitionClient(service, f"/{version}/partitions/damaged")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(limits, "LARGE", large)
        patched.setattr(limits, "MAX_VALUE", large)
        response = clinic.store(file, GOOD)
        assert response.status_code in (200, 202), response.text
        report = response.get_json(force=True)
        assert all(comments(each) for each in items(report, "00081198"))
        stored = items(report, "00081199")
        assert "2.25.3" in {value(each, "00081155") for each in stored}
        for each in stored:
            path = value(each, "00081190").partition("/damaged")[2]
            kept = clinic.get(path, AS_STORED).data
            assert kept in (GOOD, bytes(128) + file[128:]) or kept.endswith(file)
            assert clinic.get(f"{path}/metadata").status_code == 200
            assert clinic.get(f"{path}/frames/1", "application/octet-stream; transfer-syntax=*").status_code in (
                200,
                404,
            )
            assert clinic.get(path, "application/dicom; transfer-syntax=1.2.840.10008.1.2.1").status_code in (200, 406)
            assert clinic.delete(path).status_code == 204
