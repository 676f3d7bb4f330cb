"""Look for installed packages with known vulnerabilities: `python -m tests.vulnerabilities`.

A vulnerability ends the check with exit code 1. Without access to the data on vulnerabilities, or if that takes too
long, there is a warning alone: a change must not wait for a service elsewhere.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

import click

_SECONDS: Final = 300


def main() -> int:
    """Run pip-audit on this environment. Return the exit code."""
    command = [sys.executable, "-m", "pip_audit", "--skip-editable", "--progress-spinner=off", "--format=json"]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        click.echo(f"warning: the packages were not checked: no answer in {_SECONDS} seconds", err=True)
        return 0
    try:
        packages = json.loads(finished.stdout)["dependencies"]
    except (ValueError, KeyError):
        click.echo(f"warning: the packages were not checked: {finished.stderr.strip()[-300:]}", err=True)
        return 0
    unknown = [each["name"] for each in packages if "skip_reason" in each and "editable" not in each["skip_reason"]]
    if unknown:
        click.echo(f"warning: {len(unknown)} of {len(packages)} packages could not be checked", err=True)
    vulnerable = [(each, fault) for each in packages for fault in each.get("vulns", ())]
    for package, fault in vulnerable:
        fixed = ", ".join(fault["fix_versions"]) or "no version"
        click.echo(f"{package['name']} {package['version']}: {fault['id']}, fixed in {fixed}")
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
