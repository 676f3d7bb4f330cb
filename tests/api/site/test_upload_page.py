"""The page that uploads files (conformance §15.4). The script itself runs in tests/integration/test_site.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.services.access.rights import Action
from tests.conftest import Serve
from tests.support.callers import ADMIN, authenticate, calling, embedded, granted
from tests.support.dicomweb import PartitionClient
from tests.support.instances import make_instance


def test_the_page_names_where_the_script_stores(serve: Serve) -> None:
    client = serve(max_part_bytes=2_000_000)
    PartitionClient(client).stored(make_instance(pixel=False))
    text = client.get("/ui/partitions/Clinic-A/upload", headers={"Host": "pacs.test"}).text
    assert 'data-store="/v2/partitions/clinic-a/studies"' in text
    assert 'data-limit="2000000"' in text
    assert "upload.js" in text
    assert "Uploads need JavaScript." in text


def test_without_partitions_the_paths_name_none(serve: Serve) -> None:
    client = serve(enable_data_partitions=False)
    text = client.get("/ui/upload").text
    assert 'data-store="/v2/studies"' in text
    assert 'href="/ui/studies"' in text


@pytest.mark.parametrize(("caller", "status"), [("reader", 403), ("elsewhere", 400), ("writer", 200)])
def test_whoever_may_write_sees_the_page(tmp_path: Path, caller: str, status: int) -> None:
    app = embedded(tmp_path)
    rights = {
        "reader": granted(Action.READ, to="clinic-a"),
        "elsewhere": granted(Action.READ, Action.WRITE, to="clinic-b"),
        "writer": granted(Action.WRITE, to="clinic-a"),
    }
    authenticate(app, rights)
    PartitionClient(calling(app, ADMIN)).stored(make_instance(pixel=False))
    answer = calling(app, caller).get("/ui/partitions/clinic-a/upload")
    assert answer.status_code == status
