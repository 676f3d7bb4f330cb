"""A service with an OpenID provider: real processes, real sockets, the keys over HTTP (conformance §13.1)."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.integration.copies import Copy, bulkhead, served
from tests.support.access import SUBJECT
from tests.support.instances import make_instance
from tests.support.issuer import CLIENT, DISCOVERY, JWK_SET, Issuer, issuing

pytestmark = pytest.mark.integration

CLINIC = "/v2/partitions/clinic-a"
TAGS = "/v2/extendedquerytags"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as started:
        yield started


@pytest.fixture
def service(issuer: Issuer, tmp_path: Path) -> Iterator[Copy]:
    environment = {"BULKHEAD_DATA_DIR": str(tmp_path / "archive"), "BULKHEAD_LOG_LEVEL": "error"}
    # One server process: each has its own keys, and nobody knows which process answers a request.
    with served({**environment, **issuer.environment(), "BULKHEAD_WORKERS": "1"}) as copy:
        yield copy


def asked(copy: Copy, headers: dict[str, str]) -> list[int]:
    """Return the statuses of several requests, each on a connection of its own."""
    return [requests.get(copy.url + TAGS, headers={**headers, "Connection": "close"}).status_code for _ in range(5)]


def test_callers_of_a_provider_store_and_read(service: Copy, issuer: Issuer) -> None:
    writer = issuer.bearer(roles=[], bulkhead_grants=[{"role": "writer", "partitions": ["clinic-*"]}])
    file = make_instance(study="2.25.1")
    content = {"Content-Type": "application/dicom"}
    assert requests.post(f"{service.url}{CLINIC}/studies", data=file, headers=writer | content).status_code == 200
    elsewhere = requests.post(f"{service.url}/v2/partitions/other/studies", data=file, headers=writer | content)
    assert (elsewhere.status_code, elsewhere.text) == (403, "Authorization failed.")
    assert requests.get(f"{service.url}{CLINIC}/studies/2.25.1/metadata", headers=writer).status_code == 403
    read = requests.get(f"{service.url}{CLINIC}/studies/2.25.1/metadata", headers=issuer.bearer())
    assert (read.status_code, len(read.json())) == (200, 1)
    assert requests.get(f"{service.url}/health/live").status_code == 200


def test_who_is_refused(service: Copy, issuer: Issuer) -> None:
    now = int(time.time())
    for refused, text in (
        ({}, "The request has no credentials."),
        (issuer.bearer(aud="https://other.test"), "The credentials are invalid."),
        (issuer.bearer(iss="https://other.test"), "The credentials are invalid."),
        (issuer.bearer(exp=now - 100), "The credentials have expired."),
        (issuer.bearer(exp=None), "The credentials are invalid."),
    ):
        answer = requests.get(service.url + TAGS, headers=refused)
        assert (answer.status_code, answer.text) == (401, text)
        assert f'authorization_uri="{issuer.url}"' in answer.headers["WWW-Authenticate"]


def test_two_authorization_headers_are_refused(service: Copy, issuer: Issuer) -> None:
    valid = issuer.bearer()["Authorization"]
    assert asked(service, issuer.bearer()) == [200] * 5
    answer = requests.Session().send(twice(service.url + TAGS, valid))
    assert answer.status_code == 401


def twice(url: str, value: str) -> requests.PreparedRequest:
    """Return a GET with two headers. Names that differ in case stay apart in the client."""
    prepared = requests.Request("GET", url).prepare()
    prepared.headers = {"Authorization": value, "authorization": value, "Host": url.split("/")[2]}  # type: ignore[assignment]  # a plain dict keeps both
    return prepared


def test_an_expired_token_is_refused_though_it_was_accepted(service: Copy, issuer: Issuer) -> None:
    """The leeway is a minute. The caller is remembered when it ends, three seconds later."""
    headers = issuer.bearer(exp=int(time.time()) - 60 + 3)
    assert asked(service, headers) == [200] * 5
    time.sleep(3.1)
    assert asked(service, headers) == [401] * 5


def test_the_provider_changes_its_key(service: Copy, issuer: Issuer) -> None:
    """The service has just read the old key. It reads the new one when half a minute has passed."""
    old = issuer.bearer(subject="old")
    assert asked(service, issuer.bearer()) == [200] * 5
    issuer.rotate()
    headers = issuer.bearer(subject="new")
    assert set(asked(service, headers)) == {401}
    assert issuer.requests == [DISCOVERY, JWK_SET]
    time.sleep(30)
    assert asked(service, headers) == [200] * 5
    assert asked(service, old) == [401] * 5
    assert issuer.requests == [DISCOVERY, JWK_SET] * 2


def test_the_provider_is_down(service: Copy, issuer: Issuer) -> None:
    issuer.is_down = True
    headers = issuer.bearer(subject=SUBJECT)
    assert asked(service, headers) == [503] * 5
    issuer.is_down = False
    time.sleep(5)
    assert asked(service, headers) == [200] * 5
    issuer.stop()
    assert asked(service, issuer.bearer(subject="new")) == [200] * 5


def test_a_slow_provider_delays_nobody_who_needs_no_key(service: Copy, issuer: Issuer) -> None:
    assert asked(service, issuer.bearer()) == [200] * 5
    issuer.may_answer.clear()
    started = time.monotonic()
    assert asked(service, issuer.bearer(subject="other")) == [200] * 5
    assert requests.get(f"{service.url}/health/live").status_code == 200
    assert time.monotonic() - started < 10  # not the time of a download for each
    issuer.may_answer.set()


def test_a_person_signs_in_in_a_browser(issuer: Issuer, tmp_path: Path) -> None:
    """Two server processes share the key of the cookies: the table has it."""
    environment = {"BULKHEAD_DATA_DIR": str(tmp_path / "archive"), "BULKHEAD_LOG_LEVEL": "error"}
    client = {"BULKHEAD_OIDC_CLIENT_ID": CLIENT, "BULKHEAD_WORKERS": "2"}
    with served({**environment, **issuer.environment(), **client}) as copy:
        person = requests.Session()
        led = person.get(f"{copy.url}/ui/tags")
        assert led.url == f"{copy.url}/ui/sign-in?next=/ui/tags"
        page = person.get(f"{copy.url}/ui/sign-in/start?next=/ui/tags")
        assert (page.status_code, page.url) == (200, f"{copy.url}/ui/tags")
        for _ in range(10):
            assert person.get(copy.url + TAGS, headers={"Connection": "close"}).status_code == 200
        token = page.text.partition('name="form_token" value="')[2].partition('"')[0]
        own = {"Origin": copy.url}
        tags = [{"path": "PatientAge", "level": "Study"}]
        foreign = person.post(copy.url + TAGS, json=tags, headers={"Origin": "https://evil.test"})
        assert foreign.status_code == 403
        assert person.post(f"{copy.url}/ui/sign-out", data={"form_token": "x"}, headers=own).status_code == 403
        left = person.post(f"{copy.url}/ui/sign-out", data={"form_token": token}, headers=own)
        assert left.url == f"{copy.url}/ui/sign-in?signed-out"
        assert person.get(copy.url + TAGS).status_code == 401


def test_it_does_not_serve_everyone_on_all_addresses(tmp_path: Path) -> None:
    environment = {"BULKHEAD_HOST": "0.0.0.0", "BULKHEAD_PORT": "0", "BULKHEAD_DATA_DIR": str(tmp_path)}
    ended = subprocess.run(bulkhead("serve"), env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "BULKHEAD_AUTH=none with BULKHEAD_HOST=0.0.0.0" in ended.stderr
    assert "BULKHEAD_ALLOW_ANONYMOUS=true" in ended.stderr
