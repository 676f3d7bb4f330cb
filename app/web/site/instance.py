"""The page of an instance: its picture and its attributes (conformance §15.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import orjson
from flask import Response, request

from app.dicom.json.dataset import JsonDataset
from app.errors import NotFound
from app.services.retrieve.service import Metadata
from app.storage.records.rows import InstanceRow
from app.web.routing.context import PartitionContext
from app.web.routing.route import INSTANCE_PATH
from app.web.site.addresses import Addresses
from app.web.site.attributes import Attributes, uid_name
from app.web.site.metadata_tree import Tree, tree
from app.web.site.pages import pages
from app.web.site.rendering import page
from app.web.site.study import OBJECT_PAGE

_LARGEST_DOCUMENT: Final = 4 * 1024 * 1024
"""Bytes of metadata. The page of an instance with more shows no tree, so that a page needs little memory."""
_PICTURE: Final = "1024,1024"

resource = pages("instance")


class Frame(NamedTuple):
    """The frame that the page shows, from 1, and how many there are. Both are 0 for an instance without frames."""

    number: int
    total: int


@resource.route("GET", INSTANCE_PATH, audit="retrieve-metadata", **OBJECT_PAGE)
def instance_page(context: PartitionContext, study: str, series: str, instance: str) -> Response:
    """200 with the picture and the attributes of an instance. Raises `NotFound`."""
    addresses, uids = Addresses.of(context), (study, series, instance)
    (row,) = context.services.retrieve.instances(context.partition, *uids)
    dataset = _dataset(context, addresses, uids)
    attributes = Attributes(dataset or {})
    frame = _frame(attributes.count("NumberOfFrames"))
    kind = _kind(context, row)
    context.audit.count = 1
    return page(
        "instance.html",
        title="Instance",
        addresses=addresses,
        partition_name=context.partition.name,
        study=study,
        series=series,
        instance=instance,
        uids=uids,
        row=row,
        sop_class=uid_name(row.sop_class),
        transfer_syntax=uid_name(row.transfer_syntax),
        attributes=attributes,
        kind=kind,
        picture=_picture(addresses, uids, kind, frame),
        frame=frame,
        tree=tree(dataset) if dataset is not None else Tree((), is_complete=False),
    )


def _dataset(context: PartitionContext, addresses: Addresses, uids: tuple[str, str, str]) -> JsonDataset | None:
    """Return the metadata with the paths of bulk data; None if it is too large for a page. Raises `NotFound`."""

    def link(study: str, series: str | None = None, instance: str | None = None, /) -> str:
        return request.script_root + addresses.api(*filter(None, (study, series, instance)))

    found: Metadata = context.services.retrieve.metadata(context.partition, *uids, link=link)
    document = next(found.documents, None)
    if document is None:
        raise NotFound("instance")
    if isinstance(document, Iterator) or len(document) > _LARGEST_DOCUMENT:
        return None
    dataset: JsonDataset = orjson.loads(document)
    return dataset


def _frame(total: int) -> Frame:
    text = request.args.get("frame", "")
    wanted = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1
    return Frame(min(max(wanted, 1), total), total)


def _kind(context: PartitionContext, row: InstanceRow) -> str:
    """Return how a browser shows the instance: image, video, application (PDF), text (a report), or an empty text."""
    media_types = context.services.rendering.media_types(row)
    return media_types[0].partition("/")[0] if media_types else ""


def _picture(addresses: Addresses, uids: tuple[str, str, str], kind: str, frame: Frame) -> str:
    """Return the path of what the page shows: a picture of a frame, or the whole video or document."""
    if kind != "image":
        return addresses.api(*uids, ending="/rendered" if kind else "/thumbnail")
    ending = f"/frames/{frame.number}/rendered" if frame.total > 1 else "/rendered"
    return addresses.api(*uids, ending=ending, query={"viewport": _PICTURE})
