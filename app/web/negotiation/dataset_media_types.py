"""The choice between DICOM JSON and XML for metadata and search results (conformance §1.7, PS3.18 §8.7.3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from app.errors import NotAcceptable
from app.web.negotiation.media import AcceptEntry, accept_entries

DICOM_JSON: Final = "application/dicom+json"
DICOM_XML: Final = "application/dicom+xml"

_CACHED_HEADERS: Final = 256


@dataclass(frozen=True, slots=True)
class DatasetForm:
    """How datasets are sent: a media type, and for XML whether one dataset is within multipart/related too."""

    media_type: str
    multipart: bool = False


_JSON_FORM: Final = DatasetForm(DICOM_JSON)
_FORMS: Final = {
    **dict.fromkeys((DICOM_JSON, "application/json", "application/*", "*/*"), _JSON_FORM),
    DICOM_XML: DatasetForm(DICOM_XML),
}
_RELATED: Final = ("multipart/related", "multipart/*")
_MULTIPART_TYPES: Final = frozenset({DICOM_XML, "application/*", "*/*"})


@lru_cache(maxsize=_CACHED_HEADERS)
def accepted_dataset_form(accept: str | None) -> DatasetForm:
    """Return the best form that the Accept header admits. None, no header, admits everything.

    The highest quality decides, then the order of the header. Raises `NotAcceptable`, without a text, if no entry
    admits a form.
    """
    ranked = [
        (-entry.quality, place, form)
        for place, entry in enumerate(accept_entries("*/*" if accept is None else accept))
        if (form := _form(entry)) is not None
    ]
    if not ranked:
        raise NotAcceptable("")
    return min(ranked, key=lambda each: each[:2])[2]


def _form(entry: AcceptEntry) -> DatasetForm | None:
    if entry.name not in _RELATED:
        return _FORMS.get(entry.name)
    is_xml = entry.parameters.get("type", "*/*").lower() in _MULTIPART_TYPES
    return DatasetForm(DICOM_XML, multipart=True) if is_xml else None
