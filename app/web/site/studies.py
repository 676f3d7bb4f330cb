"""The studies of a partition, with a search box (conformance §15.1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import orjson
from flask import Response, request

from app.dicom.encoding.uids import is_uid
from app.errors import InvalidRequest
from app.services.access.rights import Action
from app.services.policy import V2
from app.services.search.service import SearchReport
from app.web.routing.context import PartitionContext
from app.web.routing.features import require_site
from app.web.routing.route import Scope
from app.web.site.addresses import Addresses
from app.web.site.attributes import Attributes
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page
from app.web.site.study_search import PAGE_SIZE, PERIODS, StudySearch
from app.web.site.viewer import is_installed, viewer_path

_MODALITIES: Final = ("CT", "MR", "US", "CR", "DX", "MG", "XA", "RF", "NM", "PT", "OT", "SC", "SM", "ES", "SR", "SEG")

_NOTHING: Final = SearchReport(count=0, documents=iter(()))

resource = pages("studies")


@resource.route(
    "GET",
    "/studies",
    scope=Scope.PARTITION_PAGE,
    action=Action.READ,
    audit="query",
    patient_data=True,
    check_enabled=require_site,
    answers={200: (PAGE,), 400: (PAGE,)},
)
def studies(context: PartitionContext) -> Response:
    """200 with a page of the studies that match; 400 with the form and what is wrong in it."""
    search, addresses = StudySearch.of(request.args), Addresses.of(context)
    problem, found = "", _NOTHING
    try:
        found = _found(context, search)
    except InvalidRequest as error:
        problem = str(error)
    context.audit.count = found.count
    return page(
        "studies.html",
        400 if problem else 200,
        title="Studies" if addresses.partition is None else f"Studies in {context.partition.name}",
        addresses=addresses,
        search=search,
        periods=PERIODS.items(),
        modalities=_MODALITIES,
        problem=problem,
        deleted=is_uid(request.args.get("deleted", "")),
        studies=_attributes(found),
        first=search.offset + 1,
        previous=addresses.page(query=search.query(offset=_before(context, search))) if search.offset else "",
        next=addresses.page(query=search.query(offset=search.offset + PAGE_SIZE, cursor=found.next))
        if found.next
        else "",
        partition=context.partition.name,
        partition_name=context.partition.name,
        viewer_of=viewer_path if is_installed(context.settings) else None,
        server=context.links.address(),
    )


def _before(context: PartitionContext, search: StudySearch) -> int:
    """Return the offset of the page before this one. If that is above the highest offset, return 0: the first page."""
    offset = max(search.offset - PAGE_SIZE, 0)
    return offset if offset <= context.settings.max_offset else 0


def _found(context: PartitionContext, search: StudySearch) -> SearchReport:
    parameters = search.parameters(datetime.now().astimezone().date())
    return context.services.search(context.partition, "study", None, None, parameters, V2, context.links.resource)


def _attributes(found: SearchReport) -> Sequence[Attributes]:
    return [Attributes(orjson.loads(document)) for document in found.documents]
