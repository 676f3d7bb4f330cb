"""The page that uploads files: a script sends each of them to the API (conformance §3.1, §15.4)."""

from __future__ import annotations

from typing import Final

from flask import Response, request

from app.errors import AuthorizationFailed, InvalidRequest, PartitionError
from app.services.access.rights import Action
from app.services.partitions import INVALID, unknown
from app.web.routing.context import Context, PartitionContext
from app.web.routing.features import require_site
from app.web.routing.route import Scope
from app.web.site.addresses import Addresses
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page

NEW_PARTITION: Final = "/ui/new-partition"

_RULE: Final = (
    "The name '{name}' cannot name a partition. "
    "A name has 1 to 64 letters, digits, '_', '.' and '-'. It is not '.' or '..'."
)

resource = pages("upload")


@resource.route(
    "GET",
    "/upload",
    scope=Scope.PARTITION_PAGE,
    action=Action.WRITE,
    audit=None,
    check_enabled=require_site,
    answers={200: (PAGE,)},
)
def upload(context: PartitionContext) -> Response:
    """200 with the page. The script on it makes the calls, which are audited."""
    return _upload_page(context, context.partition.name, Addresses.of(context), exists=True)


@resource.route(
    "GET",
    NEW_PARTITION,
    scope=Scope.PAGE,
    action=None,
    audit=None,
    check_enabled=require_site,
    answers={200: (PAGE,)},
)
def upload_to_new_partition(context: Context) -> Response:
    """200 with the page for the partition that the query parameter `partition` names, whether it exists or not.

    The page creates nothing. The first store creates the partition. Raises `InvalidRequest` if the name is not allowed,
    and the errors of the page of a partition if the caller may not write there.
    """
    directory, rights = context.services.partitions, context.caller.rights
    given = request.args.get("partition", "").strip()
    try:
        name = directory.name_of(given)
    except PartitionError as error:
        raise (InvalidRequest(_RULE.format(name=given)) if str(error) == INVALID else error) from None
    if not rights.allows(Action.WRITE, name):
        raise AuthorizationFailed if rights.sees(name) else unknown(name)
    return _upload_page(context, name, Addresses(name), exists=False)


def _upload_page(context: Context, name: str, addresses: Addresses, *, exists: bool) -> Response:
    """Return the page. It leads back to the studies if the partition is known to exist, otherwise to the front page."""
    limit = min(context.settings.max_request_bytes, context.settings.max_part_bytes)
    store = addresses.api()
    return page("upload.html", title=f"Upload to {name}", partition_name=name, store=store, limit=limit, exists=exists)
