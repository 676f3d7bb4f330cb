"""The front page: the partitions that the caller may see, and the studies that were stored last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flask import Response, redirect, request

from app.services.access.rights import Action
from app.services.partitions import PartitionPage
from app.services.search.latest import LatestStudy
from app.storage.records.contents import Contents
from app.storage.table.partitions import Partition
from app.web.routing.context import Context
from app.web.routing.features import require_site
from app.web.routing.route import Scope
from app.web.site.addresses import Addresses
from app.web.site.attributes import Attributes
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page
from app.web.site.upload import NEW_PARTITION
from app.web.site.viewer import is_installed, viewer_path

_PARTITIONS: Final = 25
_STUDIES: Final = 12
_LONGEST_BEGINNING: Final = 65
"""Characters of the beginning of a name that count. A name has at most 64, so a longer text begins none."""
_SEARCHED_PARTITIONS: Final = 12
"""The latest studies are those of at most so many partitions: of the ones that changed last, then of the ones shown."""
_FEED_ENTRIES: Final = 200
"""So many entries of the change feed say which partitions changed last."""

resource = pages("front")


@resource.route(
    "GET",
    "/",
    scope=Scope.PAGE,
    action=None,
    audit="query",
    patient_data=True,
    check_enabled=require_site,
    answers={200: (PAGE,), 302: ()},
)
def front(context: Context) -> Response:
    """200 with a page of the partitions and with the latest studies; 302 to the studies while partitions are off."""
    directory = context.services.partitions
    if not directory.enabled:
        return redirect(request.script_root + Addresses(None).page())  # type: ignore[return-value]  # werkzeug's class
    prefix, after = (request.args.get(name, "").strip()[:_LONGEST_BEGINNING] for name in ("prefix", "after"))
    found = directory.page(context.caller, prefix=prefix, after=after, limit=_PARTITIONS)
    studies = [] if prefix or after else _latest(context, found)
    context.audit.count = len(studies)
    contents = _contents(context, found.partitions)
    return page(
        "front.html",
        title="Partitions",
        partitions=[(each, Addresses(each.name), contents.get(each.name)) for each in found.partitions],
        more=found.more,
        prefix=prefix,
        after=after,
        studies=[
            (each.partition.name, Addresses(each.partition.name), Attributes(each.attributes)) for each in studies
        ],
        viewer_of=viewer_path if is_installed(context.settings) else None,
        server=context.links.address(),
        new_partition=NEW_PARTITION if context.caller.rights.allows_somewhere(Action.WRITE) else None,
    )


def _contents(context: Context, partitions: Sequence[Partition]) -> dict[str, Contents | None]:
    """Return how much each partition has that the caller may read, by its name. None: nobody knows."""
    readable = [each for each in partitions if context.caller.rights.allows(Action.READ, each.name)]
    found = context.services.partitions.statistics.of_each(readable)
    return {each.name: contents for each, contents in zip(readable, found, strict=True)}


def _latest(context: Context, shown: PartitionPage) -> list[LatestStudy]:
    changed = context.services.change_feed.changed_partitions(context.caller, _FEED_ENTRIES)
    readable = (each.name for each in shown.partitions if context.caller.rights.allows(Action.READ, each.name))
    names = list(dict.fromkeys((*changed, *readable)))[:_SEARCHED_PARTITIONS]
    partitions = [context.services.partitions.resolve(name, create=False) for name in names]
    return context.services.latest_studies(partitions, _STUDIES)
