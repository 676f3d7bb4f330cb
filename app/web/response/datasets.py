"""Answers with datasets: an array in DICOM JSON, or XML in one part for each dataset (conformance §4.16)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flask import Response

from app.dicom.xml.native_model import native_model
from app.errors import NotFound
from app.web.negotiation.dataset_media_types import DatasetForm
from app.web.response import responses
from app.web.response.responses import DICOM_XML, BodyPart


def datasets(form: DatasetForm, documents: Iterator[bytes | Iterable[bytes]], *, is_one: bool = False) -> Response:
    """Return DICOM JSON objects in the form that the caller accepts. Each is read when it is sent.

    `is_one`: the resource is one dataset. It is sent without multipart/related if the caller accepts it so. Raises
    `NotFound` if it was deleted meanwhile.
    """
    if form.media_type != DICOM_XML:
        return responses.json_array(documents)
    parts = (BodyPart(DICOM_XML, None, native_model(document)) for document in documents)
    if form.multipart or not is_one:
        return responses.related(DICOM_XML, parts)
    part = next(parts, None)
    if part is None:
        raise NotFound("instance")
    return responses.single(part)
