"""The files of a study or a series as one ZIP file, which a browser saves (conformance §15.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Final

from flask import Response, request

from app.services.access.rights import Action
from app.services.retrieve.service import Retrieve
from app.storage.records.rows import InstanceRow
from app.web.response.responses import chunks_of
from app.web.response.zip_stream import ZipEntry, zip_chunks
from app.web.routing.context import PartitionContext
from app.web.routing.features import require_site
from app.web.routing.route import SERIES_PATH, STUDY_PATH, Scope
from app.web.site.pages import pages

ZIP: Final = "application/zip"
_OTHER: Final = re.compile(r"[^0-9A-Za-z.]", re.ASCII)

resource = pages("download")


@resource.route(
    "GET",
    f"{STUDY_PATH}/download",
    f"{SERIES_PATH}/download",
    scope=Scope.PARTITION_PAGE,
    action=Action.READ,
    audit="retrieve",
    patient_data=True,
    check_enabled=require_site,
    answers={200: (ZIP,)},
)
def download(context: PartitionContext, study: str, series: str | None = None) -> Response:
    """200 with the files as stored. An error before the first bytes is answered with its status."""
    retrieve = context.services.retrieve
    rows = retrieve.instances(context.partition, study, series)
    context.audit.count = len(rows)
    headers = {"Content-Disposition": f'attachment; filename="{_name(series or study)}.zip"'}
    if request.method == "HEAD":
        return Response(content_type=ZIP, headers=headers)
    chunks = zip_chunks(_entries(retrieve, rows))
    response = Response(chain((next(chunks),), chunks), content_type=ZIP, headers=headers)
    response.call_on_close(chunks.close)
    return response


def _entries(retrieve: Retrieve, rows: Sequence[InstanceRow]) -> Iterator[ZipEntry]:
    streams = retrieve.open_all(rows)
    try:
        for row in rows:
            name = "/".join(map(_name, (row.study, row.series, row.instance)))
            yield ZipEntry(f"{name}.dcm", row.size, chunks_of(partial(next, streams), row.size))
    finally:
        streams.close()


def _name(uid: str) -> str:
    """Return a UID as the name of a file. An archive of an earlier release may have a UID with other characters."""
    return _OTHER.sub("_", uid).replace("..", "_")
