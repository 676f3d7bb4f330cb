"""The first image in OHIF: seconds from the navigation to a study of 400 CT slices until its first image is drawn.

python -m tests.benchmarks.viewer --pairs 5             Bulkhead and Orthanc in turn, each in a new browser

Both have one nginx in front and the same OHIF, whose files come from Bulkhead. `make integration` installs the rest.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final
from urllib.request import urlopen

import click

from tests.benchmarks.servers import BUILD, ORTHANC, Kind, Server, bulkhead, running
from tests.integration.servers import free_port
from tests.integration.viewer import Viewer, store
from tests.integration.viewer_studies import series_of_slices, study_uid
from tests.support.instances import uid

REPEAT: Final = 4
"""How often each pixel of a slice is repeated: 512 x 512 pixels."""
SCRIPT: Final = "probe.image([[0.5, 0.5]]) && performance.now() / 1000"
"""Seconds since the navigation, when an image is there. The script runs every 100 ms."""

NGINX: Final = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  upstream bulkhead {{ server 127.0.0.1:{bulkhead}; keepalive 16; }}
  upstream orthanc {{ server 127.0.0.1:{orthanc}; keepalive 16; }}
  server {{ listen 127.0.0.1:{first}; location / {{ proxy_pass http://bulkhead; }} }}
  server {{
    listen 127.0.0.1:{second};
    location / {{ proxy_pass http://bulkhead; }}
    location {base}/ {{ proxy_pass http://orthanc/dicom-web/; }}
  }}
}}
"""


@contextmanager
def proxied(folder: Path, archive: Server, peer: Server) -> Iterator[tuple[str, str]]:
    """Start nginx. Yield the URLs of two services: Bulkhead, and Orthanc in the place of its partition."""
    first, second = free_port(), free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        NGINX.format(
            folder=folder,
            bulkhead=archive.port,
            orthanc=peer.port,
            first=first,
            second=second,
            base=archive.kind.base,
        )
    )
    command = ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(configuration)]
    process = subprocess.Popen(command)
    try:
        _await(f"http://127.0.0.1:{first}/health/live")
        yield f"http://127.0.0.1:{first}", f"http://127.0.0.1:{second}"
    finally:
        process.terminate()
        process.wait()


def _await(url: str) -> None:
    for _ in range(100):
        with suppress(OSError), urlopen(url):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer")


def _fill(servers: list[Server], slices: int) -> str:
    """Store the study on each server. Return its UID."""
    common = {"study": uid(), "series": uid(), "patient_name": "Bench^CT", "AccessionNumber": ""}
    files = iter(series_of_slices(common, slices, REPEAT))
    study = ""
    while batch := list(islice(files, 20)):
        study = study or study_uid(batch)
        for server in servers:
            store(f"http://127.0.0.1:{server.port}{server.kind.base}", batch)
    return study


def _seconds(viewer: Viewer, study: str) -> float:
    (page,) = viewer.open((f"/viewer/viewer/bench?StudyInstanceUIDs={study}", SCRIPT))
    if page.result is None:
        raise RuntimeError(f"{viewer.url} shows no image: {page.errors}")
    return float(page.result)


@click.command(help=__doc__)
@click.option("--pairs", default=5, show_default=True, help="How often each one is measured.")
@click.option("--slices", default=400, show_default=True)
def main(pairs: int, slices: int) -> None:
    if shutil.which("nginx") is None or shutil.which("chromium") is None:
        raise click.UsageError("nginx and Chromium must be installed.")
    kinds: tuple[Kind, Kind] = (bulkhead(BUILD.parent, "Bulkhead"), ORTHANC)
    with running(kinds[0]) as archive, running(kinds[1]) as peer, tempfile.TemporaryDirectory() as name:
        study = _fill([archive, peer], slices)
        with proxied(Path(name), archive, peer) as urls:
            viewers = [
                Viewer(folder=Path(name), repository=BUILD.parent, url=url, changes={"thumbnailRendering": "wadors"})
                for url in urls
            ]
            rows = []
            for number in range(pairs):
                own, other = (_seconds(viewer, study) for viewer in viewers)
                rows.append((own, other))
                click.echo(f"pair {number + 1}: Bulkhead {own:.2f} s, Orthanc {other:.2f} s, {other / own:.2f}")
    own, other = (median(column) for column in zip(*rows, strict=True))
    ratio = median(other / own for own, other in rows)
    click.echo(f"median: Bulkhead {own:.2f} s, Orthanc {other:.2f} s, Orthanc takes {ratio:.2f} times as long")


if __name__ == "__main__":
    main()
