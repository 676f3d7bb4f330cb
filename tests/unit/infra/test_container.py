"""The container's files agree with each other, with the template and with the settings. No image is built here."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from cfnlint.decode.cfn_yaml import load

from app.errors import ConfigurationError
from app.settings import Settings

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "infra" / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "infra" / "compose.yaml").read_text())
IGNORED = (ROOT / ".dockerignore").read_text().split()


def instructions(stage: int) -> list[tuple[str, str]]:
    """Return the instructions of a stage, continuation lines joined, comments dropped."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    stages = joined.split("FROM ")[1:]
    lines = ("FROM " + stages[stage]).strip().splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines if line]


FINAL = instructions(-1)


def arguments_of(instruction: str) -> list[str]:
    return [rest for name, rest in FINAL if name == instruction]


def test_it_does_not_run_as_root_but_as_the_user_of_the_template() -> None:
    (user,) = arguments_of("USER")
    uid = user.split(":")[0]
    assert int(uid) > 0
    resources = load(str(ROOT / "infra" / "template.yaml"))["Resources"]
    tasks = (each for each in resources.values() if each["Type"] == "AWS::ECS::TaskDefinition")
    assert {each["Properties"]["ContainerDefinitions"][0]["User"] for each in tasks} == {uid}
    names = [name for name, _ in FINAL]
    assert names.index("RUN") < names.index("USER"), "nothing can be installed by the user that serves"


def test_the_final_stage_installs_nothing() -> None:
    assert not re.search(r"\b(pip|apt-get|apt|gcc|make)\b", " ".join(arguments_of("RUN")))


def test_it_writes_only_to_its_volumes() -> None:
    assert arguments_of("VOLUME") == ['["/data", "/spool"]']
    (environment,) = arguments_of("ENV")
    settings = Settings.from_environment(dict(pair.split("=", 1) for pair in environment.split()))
    assert (settings.data_dir, settings.spool_dir) == (Path("/data"), Path("/spool"))
    assert settings.host == "0.0.0.0"
    with pytest.raises(ConfigurationError, match="BULKHEAD_ALLOW_ANONYMOUS"):
        settings.check_listening()


def test_its_port_and_its_health_check() -> None:
    assert arguments_of("EXPOSE") == [str(Settings().port)]
    (check,) = arguments_of("HEALTHCHECK")
    assert "/health/live" in check


def test_the_build_context_has_the_copied_files() -> None:
    assert IGNORED[0] == "*"
    copied = [rest.split()[:-1] for stage in (0, 1, 2) for name, rest in instructions(stage) if name == "COPY"]
    sources = {source for words in copied if not words[0].startswith("--") for source in words}
    assert sources == {line.removeprefix("!") for line in IGNORED if line.startswith("!")}
    assert all((ROOT / source).exists() for source in sources)


@pytest.mark.parametrize("service", [name for name, each in COMPOSE["services"].items() if each["image"] == "bulkhead"])
def test_each_service_of_the_compose_file_starts_with_valid_settings(service: str) -> None:
    described = COMPOSE["services"][service]
    settings = Settings.from_environment(described.get("environment", {}))
    settings.check_listening("0.0.0.0")
    assert described["read_only"] is True
    for port in described.get("ports", []):
        assert settings.allow_anonymous
        assert port.startswith("127.0.0.1:"), "an archive without authentication is not offered to the network"


# --- what the image is built from -------------------------------------------------------------------------------------


def test_the_base_images_are_named_once_each_and_may_have_a_digest() -> None:
    named = re.findall(r"^ARG (\w+_IMAGE)=(.*)$", DOCKERFILE, flags=re.MULTILINE)
    assert [name for name, _ in named] == ["NODE_IMAGE", "PYTHON_IMAGE"]
    assert all(re.fullmatch(r"\w+:[\w.-]+(@sha256:[0-9a-f]{64})?", image) for _, image in named)
    used = re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE)
    assert used == ["${NODE_IMAGE}", "${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]


def test_every_package_is_installed_from_a_lock() -> None:
    installs = re.findall(r"\bpip (?:--python \S+ )?install\b[^&\n]*", DOCKERFILE.replace("\\\n", " "))
    locked = [each for each in installs if "--require-hashes" in each]
    (own,) = (each for each in installs if each not in locked)
    assert [each.split()[-1] for each in locked] == ["infra/locked/build.txt", "infra/locked/image.txt"]
    assert "--no-deps --no-index" in own
    assert "pip wheel --no-deps --no-build-isolation" in DOCKERFILE, "the build fetches nothing without a digest"


DOCKER = """#!/bin/sh
case "$*" in
"buildx imagetools inspect --format {{.Manifest.Digest}} python:"*) echo sha256:%s ;;
"buildx imagetools inspect --format {{.Manifest.Digest}} node:"*) echo sha256:%s ;;
*) exit 1 ;;
esac
"""


def test_make_pin_writes_the_digests_that_docker_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "infra").mkdir()
    copied = tmp_path / "infra" / "Dockerfile"
    shutil.copy(ROOT / "infra" / "Dockerfile", copied)
    docker = tmp_path / "docker"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for digit in "ab":  # the second time there are digests, and it replaces them
        docker.write_text(DOCKER % (digit * 64, "c" * 64))
        docker.chmod(0o755)
        subprocess.run(["make", "--file", str(ROOT / "Makefile"), "pin"], cwd=tmp_path, check=True, capture_output=True)
        assert f"ARG PYTHON_IMAGE=python:3.12-slim@sha256:{digit * 64}\n" in copied.read_text()
        assert f"ARG NODE_IMAGE=node:22-slim@sha256:{'c' * 64}\n" in copied.read_text()
