"""Deletion of a study, a series or an instance, with a question before (conformance §6.1, §15.4)."""

from __future__ import annotations

from typing import Any, Final

from flask import Response

from app.errors import NotFound
from app.services.access.rights import Action
from app.web.routing.context import PartitionContext
from app.web.routing.features import require_site
from app.web.routing.route import INSTANCE_PATH, SERIES_PATH, STUDY_PATH, Scope
from app.web.site.addresses import Addresses
from app.web.site.forms import Form, FormBody, FormSchema
from app.web.site.local_paths import see_other
from app.web.site.named_object import find_object
from app.web.site.pages import PAGE, pages
from app.web.site.rendering import page

_PATHS: Final = tuple(f"{path}/delete" for path in (STUDY_PATH, SERIES_PATH, INSTANCE_PATH))
_DELETE: Final[dict[str, Any]] = {
    "scope": Scope.PARTITION_PAGE,
    "action": Action.DELETE,
    "patient_data": True,
    "check_enabled": require_site,
}

resource = pages("deletion")


@resource.route("GET", *_PATHS, audit="query", answers={200: (PAGE,)}, **_DELETE)
def confirm(context: PartitionContext, study: str, series: str | None = None, instance: str | None = None) -> Response:
    """200 with what is to be deleted; 404 if it does not exist. A caller who may not read sees its UID alone."""
    level = _level(series, instance)
    found = find_object(context, study, series, instance) if _may_read(context) else None
    return page(
        "delete.html",
        title=f"Delete this {level}?",
        level=level,
        uid=instance or series or study,
        partition_name=context.partition.name,
        found=found,
        back=_address(context, study, series, instance),
    )


@resource.route("POST", *_PATHS, audit="delete", body=FormBody(FormSchema()), answers={303: ()}, **_DELETE)
def delete(
    context: PartitionContext, body: Form, study: str, series: str | None = None, instance: str | None = None
) -> Response:
    """303 to the study, or to the studies if it is gone; no later request finds the object. 404 if it does not exist.

    A caller who may not read gets the front page.
    """
    context.services.delete(context.partition, study, series, instance)
    context.audit.count = 1 if instance else None
    if not _may_read(context):
        return see_other("/")
    if series and _exists(context, study):
        return see_other(Addresses.of(context).page(study))
    return see_other(Addresses.of(context).page(query={"deleted": study}))


def _exists(context: PartitionContext, study: str) -> bool:
    try:
        find_object(context, study)
    except NotFound:
        return False
    return True


def _may_read(context: PartitionContext) -> bool:
    return context.caller.rights.allows(Action.READ, context.partition.name)


def _level(series: str | None, instance: str | None) -> str:
    return "instance" if instance else "series" if series else "study"


def _address(context: PartitionContext, study: str, series: str | None, instance: str | None) -> str:
    """Return the page of the object. Of a series it is that of its study, which lists all series."""
    addresses = Addresses.of(context)
    return addresses.page(study, series, instance) if series and instance else addresses.page(study)
