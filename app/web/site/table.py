"""The list of pages: every resource of the site."""

from __future__ import annotations

from typing import Final

from app.web.routing.route import Resource, Route
from app.web.site import (
    assets,
    bulk_update,
    deletion,
    documentation,
    download,
    export,
    feed,
    front,
    instance,
    missing,
    open_id,
    operations,
    sign_in,
    status,
    studies,
    study,
    tags,
    upload,
    viewer,
    worklist,
)

PAGES: Final[tuple[Resource, ...]] = (
    front.resource,
    studies.resource,
    upload.resource,
    deletion.resource,
    bulk_update.resource,
    study.resource,
    instance.resource,
    download.resource,
    export.resource,
    worklist.resource,
    operations.resource,
    feed.resource,
    tags.resource,
    status.resource,
    sign_in.resource,
    documentation.resource,
    open_id.resource,
    missing.resource,
    assets.resource,
    viewer.resource,
    viewer.files_resource,
)
PAGE_ROUTES: Final[tuple[Route, ...]] = tuple(route for resource in PAGES for route in resource.routes)
