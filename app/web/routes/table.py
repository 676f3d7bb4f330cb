"""The route table: every resource of the service."""

from __future__ import annotations

from typing import Final

from app.web.routes import (
    access,
    bulk_data,
    bulk_update,
    capabilities,
    change_feed,
    delete,
    export,
    extended_query_tags,
    health,
    metrics,
    openapi,
    operations,
    partitions,
    rendered,
    retrieve,
    search,
    store,
    wado_uri,
    workitems,
)
from app.web.routing.route import Resource, Route

RESOURCES: Final[tuple[Resource, ...]] = (
    store.resource,
    search.resource,
    retrieve.resource,
    rendered.resource,
    bulk_data.resource,
    wado_uri.resource,
    delete.resource,
    bulk_update.resource,
    export.resource,
    workitems.resource,
    partitions.resource,
    change_feed.resource,
    extended_query_tags.resource,
    operations.resource,
    access.resource,
    capabilities.resource,
    openapi.resource,
    health.resource,
    metrics.resource,
)
ROUTES: Final[tuple[Route, ...]] = tuple(route for resource in RESOURCES for route in resource.routes)
