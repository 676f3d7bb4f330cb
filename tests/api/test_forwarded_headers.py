"""Values of `X-Forwarded-*` reach generated URLs only in a valid form, also from a trusted proxy (conformance §1.1)."""

from __future__ import annotations

import pytest

from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient, items, value
from tests.support.instances import make_instance

pytestmark = pytest.mark.parametrize("settings", ["embedded"], indirect=True)

INVALID = [
    ("Prefix", ".evil.example"),
    ("Prefix", "evil"),
    ("Prefix", "@evil.example"),
    ("Prefix", ":80@evil.example"),
    ("Prefix", "//evil.example"),
    ("Prefix", "/x y"),
    ("Prefix", "/x\u00e9"),
    ("Prefix", "/x?y"),
    ("Prefix", "/x#y"),
    ("Prefix", "/x<y>"),
    ("Proto", "javascript"),
    ("Proto", "file"),
    ("Proto", "HTTPS"),
    ("Host", "evil.example/x"),
    ("Host", "user@evil.example"),
    ("Host", "a b"),
    ("Port", "abc"),
]


@pytest.mark.parametrize("name, text", INVALID)
def test_an_invalid_value_is_400_and_named(serve: Serve, name: str, text: str) -> None:
    caller = PartitionClient(serve(trusted_proxies=1))
    for path in ("/studies", "/nothing"):
        answer = caller.get(path, **{f"X-Forwarded-{name}": text})
        assert answer.status_code == 400, answer.text
        assert "is invalid." in answer.text


@pytest.mark.parametrize("prefix, root", [("/dicom", "/dicom"), ("/dicom/", "/dicom"), ("/a/b-c_d.e", "/a/b-c_d.e")])
def test_a_valid_prefix_is_in_the_links(serve: Serve, prefix: str, root: str) -> None:
    caller = PartitionClient(serve(trusted_proxies=1))
    headers = {"X-Forwarded-Prefix": prefix, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "pacs.example:8443"}
    answer = caller.store(make_instance(), **headers)
    (stored,) = items(answer.get_json(force=True), "00081199")
    assert value(stored, "00081190").startswith(f"https://pacs.example:8443{root}/v2/partitions/clinic-a/studies/")


def test_without_a_trusted_proxy_no_value_counts(serve: Serve) -> None:
    caller = PartitionClient(serve())
    for name, text in INVALID:
        assert caller.get("/studies/1/nothing", **{f"X-Forwarded-{name}": text}).status_code == 404
