"""How routes read JSON bodies: a type of body in the route table is one of these (conformance §1.6, §7.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from flask import Request
from marshmallow import Schema

from app.dicom.json.received import first_dataset
from app.errors import UnsupportedContent
from app.settings import Settings
from app.storage.worklist.workitems import MAX_DATASET_BYTES
from app.web.request.body import open_body
from app.web.request.json_body import document, json_body, require_json_body
from app.web.response.responses import DICOM_JSON, JSON
from app.web.schemas.body import load_body


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A JSON document of at most `max_bytes` bytes. The handler gets the value that the schema makes of it."""

    schema: Schema
    max_bytes: int
    media_types: ClassVar[tuple[str, ...]] = (JSON,)

    def open(self, request: Request, settings: Settings) -> Callable[[], Any]:
        """Check the Content-Type; the returned function reads the body. Raises `UnsupportedContent` without a text."""
        require_json_body(request)
        return lambda: load_body(self.schema, json_body(request, min(self.max_bytes, settings.max_request_bytes)))


class DatasetBody:
    """An array with one dataset in DICOM JSON. The handler gets the dataset."""

    media_types = (DICOM_JSON,)

    def open(self, request: Request, settings: Settings) -> Callable[[], Any]:
        """Check the Content-Type and that there is a body; the returned function reads it.

        Raises `UnsupportedContent` without a text; `TooLarge` and `InvalidRequest` as `Body.begin`.
        """
        if request.mimetype != DICOM_JSON:
            raise UnsupportedContent("")
        body = open_body(request, min(settings.max_request_bytes, MAX_DATASET_BYTES))
        body.begin()
        return lambda: first_dataset(document(body.read()))
