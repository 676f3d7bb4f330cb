"""The sign-in with a token in headless Chromium: pages, pictures, viewer and sign-out (conformance §15.2, §15.3)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.copies import bulkhead, served
from tests.integration.site_studies import STUDIES, files
from tests.integration.viewer import FOLDER, PACKAGES, SCREENSHOTS, browser, store

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is missing (Debian: nodejs)"),
    pytest.mark.skipif(browser() is None, reason="Chromium is missing (Debian: chromium)"),
]

SCRIPT: Final = Path(__file__).with_name("sign_in.js")
NAME: Final = "maria.magdalena.radiographer@radiology.north-hospital.example"
"""The signed-in name. It is long, so that the header has little room for the navigation."""
SEEN: Final = "radiology"
CLOSED: Final = ("/", f"/ui/partitions/{SEEN}/studies", "/ui/feed", f"/viewer/{SEEN}")


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> dict[str, Any]:
    """What a browser found whose person may read one partition of three."""
    root = pytestconfig.rootpath
    if not (root / PACKAGES / "axe-core").is_dir():
        pytest.fail("axe-core is missing: run `make integration`, which installs it with npm.", pytrace=False)
    (root / SCREENSHOTS).mkdir(parents=True, exist_ok=True)
    environment = {
        "BULKHEAD_DATA_DIR": str(tmp_path_factory.mktemp("sign-in") / "archive"),
        "BULKHEAD_VIEWER_DIR": str(root / FOLDER),
        "BULKHEAD_LOG_LEVEL": "error",
        "BULKHEAD_AUDIT": "off",
    }
    with served(environment) as copy:
        for number, study in enumerate(STUDIES, start=1):
            store(f"{copy.url}/v2/partitions/{study.partition}", files(study, f"1.2.3.{number}"))
    created = subprocess.run(
        bulkhead("token", "create", "--name", NAME, "--role", "reader", "--partition", SEEN),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    token = created.stdout.strip()
    has_viewer = (root / FOLDER / "files.json").is_file()
    with served({**environment, "BULKHEAD_AUTH": "tokens"}) as copy:
        order = {
            "browser": browser(),
            "url": copy.url,
            "wrong": f"{token[:-4]}AAAA",
            "token": token,
            "viewer": f"/viewer/viewer/{SEEN}?StudyInstanceUIDs=1.2.3.3" if has_viewer else None,
            "closed": CLOSED,
            "folder": str(root / SCREENSHOTS),
        }
        ended = subprocess.run(
            ["node", str(SCRIPT)],
            input=json.dumps(order).encode(),
            env={**os.environ, "NODE_PATH": str(root / PACKAGES)},
            capture_output=True,
            timeout=180,
        )
    assert ended.returncode == 0, ended.stderr.decode()
    found: dict[str, Any] = json.loads(ended.stdout)
    return {**found, "has viewer": has_viewer}


def test_the_front_page_leads_to_a_sign_in_that_serves_everybody(visit: dict[str, Any]) -> None:
    assert visit["led"] == "/ui/sign-in"
    assert visit["looks"] == {name: {"violations": [], "overflow": 0} for name in ("light", "dark", "narrow")}


def test_a_wrong_token_shows_a_message(visit: dict[str, Any]) -> None:
    assert visit["refused"]["path"] == "/ui/sign-in"
    assert visit["refused"]["message"] == "The credentials are invalid."


def test_the_front_page_has_the_partition_of_the_token_alone_with_its_pictures(visit: dict[str, Any]) -> None:
    own = [study for study in STUDIES if study.partition == SEEN]
    assert visit["front"]["path"] == "/"
    assert visit["front"]["partitions"] == [SEEN]
    assert len(visit["front"]["pictures"]) == len(own)
    assert all(width > 0 for width in visit["front"]["pictures"])


def test_a_long_name_cuts_off_no_entry_of_the_navigation(visit: dict[str, Any]) -> None:
    looks = {f"{scheme}-{width}" for scheme in ("light", "dark") for width in (375, 768, 1100, 1280)}
    assert visit["navigation"] == {look: {"cut": [], "overflow": 0} for look in looks}


def test_the_viewer_draws_an_image_with_the_session(visit: dict[str, Any]) -> None:
    if not visit["has viewer"]:
        pytest.fail("OHIF is missing: run `make integration`, which installs it with npm.", pytrace=False)
    assert visit["viewer"] and visit["viewer"] > 1000


def test_the_sign_out_closes_the_pages(visit: dict[str, Any]) -> None:
    assert visit["left"] == "/ui/sign-in?signed-out"
    assert visit["notice"] == "You are signed out."
    assert [path.partition("?")[0] for path in visit["closed"]] == ["/ui/sign-in"] * len(CLOSED)
    assert visit["api"] == 401


def test_the_console_has_no_error_but_the_refused_sign_in(visit: dict[str, Any]) -> None:
    assert len(visit["errors"]) <= 1
    assert all("401" in text for text in visit["errors"])
