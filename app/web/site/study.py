"""The pages of a study and of a series (conformance §15.1)."""

from __future__ import annotations

from typing import Any, Final

import orjson
from flask import Response, request

from app.errors import NotFound
from app.services.access.rights import Action
from app.services.policy import V2
from app.services.search.service import SearchReport
from app.web.routing.context import PartitionContext
from app.web.routing.features import require_site
from app.web.routing.route import SERIES_PATH, STUDY_PATH, Scope
from app.web.site.addresses import Addresses
from app.web.site.attributes import Attributes, uid_name
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page
from app.web.site.study_search import offset_of
from app.web.site.viewer import is_installed, viewer_path

_SERIES: Final = 50
_INSTANCES: Final = 60
_NOTHING_LARGE: Final[frozenset[str]] = frozenset()

resource = pages("study")

OBJECT_PAGE: Final[dict[str, Any]] = {
    "scope": Scope.PARTITION_PAGE,
    "action": Action.READ,
    "patient_data": True,
    "check_enabled": require_site,
    "answers": {200: (PAGE,)},
}
"""What the pages of a study, a series and an instance have in common."""


@resource.route("GET", STUDY_PATH, audit="query", **OBJECT_PAGE)
def study_page(context: PartitionContext, study: str) -> Response:
    """200 with the details of a study and a page of its series. Raises `NotFound`."""
    offset, addresses = offset_of(request.args), Addresses.of(context)
    details = described_study(context, study)
    series = _search(context, "series", study, ("limit", _SERIES), ("offset", offset))
    listed = _attributes(series)
    if not offset and not series.next:
        listed.sort(key=lambda each: (each.count("SeriesNumber"), each.first("SeriesInstanceUID")))
    context.audit.count = series.count
    viewer = viewer_path(context.partition.name, study) if is_installed(context.settings) else ""
    return page(
        "study.html",
        title=details.text("StudyDescription") or "Study",
        addresses=addresses,
        partition_name=context.partition.name,
        described=details,
        study=study,
        all_series=listed,
        previous=_page_at(addresses, offset - _SERIES, study) if offset else "",
        next=_page_at(addresses, offset + _SERIES, study) if series.next else "",
        viewer=viewer,
        shared_viewer=context.links.address() + viewer,
        shared=context.links.address() + addresses.page(study),
    )


@resource.route("GET", SERIES_PATH, audit="query", **OBJECT_PAGE)
def series_page(context: PartitionContext, study: str, series: str) -> Response:
    """200 with the details of a series and a page of its instances, in the order of storing. Raises `NotFound`."""
    offset, addresses = offset_of(request.args), Addresses.of(context)
    rows = context.services.retrieve.instances(context.partition, study, series)
    shown = rows[offset : offset + _INSTANCES]
    datasets = context.services.retrieve.datasets(shown, _NOTHING_LARGE)
    found = _search(context, "series", study, ("SeriesInstanceUID", series))
    context.audit.count = len(shown)
    return page(
        "series.html",
        title="Series",
        addresses=addresses,
        partition_name=context.partition.name,
        study=study,
        series=series,
        described=described_study(context, study),
        series_attributes=next(iter(_attributes(found)), Attributes({})),
        uids=(study, series),
        instances=[
            (row, uid_name(row.sop_class), Attributes(dataset))
            for row, dataset in zip(shown, datasets, strict=True)
            if dataset is not None
        ],
        total=len(rows),
        first=offset + 1,
        previous=_page_at(addresses, offset - _INSTANCES, study, series) if offset else "",
        next=_page_at(addresses, offset + _INSTANCES, study, series) if offset + _INSTANCES < len(rows) else "",
    )


def described_study(context: PartitionContext, study: str) -> Attributes:
    """Return the attributes of a study. Raises `NotFound`."""
    found = _attributes(_search(context, "study", study, ("StudyInstanceUID", study)))
    if not found:
        raise NotFound("study")
    return found[0]


def _search(context: PartitionContext, level: str, study: str, *parameters: tuple[str, object]) -> SearchReport:
    given = [*((name, str(value)) for name, value in parameters), ("includefield", "all")]
    inside = None if level == "study" else study
    return context.services.search(context.partition, level, inside, None, given, V2, context.links.resource)


def _attributes(found: SearchReport) -> list[Attributes]:
    return [Attributes(orjson.loads(document)) for document in found.documents]


def _page_at(addresses: Addresses, offset: int, *uids: str) -> str:
    return addresses.page(*uids, query={"offset": offset if offset > 0 else ""})
