"""The kinds of objects that are no images, by SOP class (PS3.4 Table B.5-1), and what each is shown as.

The media types are those of PS3.18 Table 8.7.4-1 where it has one. They come from these tables and never from the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from pydicom._uid_dict import UID_dictionary

PDF: Final = "application/pdf"
XML: Final = "text/xml"
HTML: Final = "text/html"
SVG: Final = "image/svg+xml"
PNG: Final = "image/png"
JPEG: Final = "image/jpeg"
_WAVEFORM_TYPES: Final = (SVG, PNG, JPEG)

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."


class Source(Enum):
    """Where the content of a rendered object comes from."""

    STORED_FILE = "the value of Encapsulated Document"
    STREAM = "the pixel data, which is a video"
    CONTENT_TREE = "the content items of a report"
    REFERENCES = "the referenced images of a presentation state"
    WAVEFORM = "the samples of a waveform"
    NOTHING = "nothing: the object has no picture"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKind:
    """What an object is. `code` is short, for the icon; `name` is the whole name, in words.

    `media_types` is what `/rendered` can answer, the default first. A video names its own: see `video.py`.
    """

    code: str
    name: str
    source: Source = Source.NOTHING
    media_types: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether the content never ends with a NUL. A file of triangles (STL) may."""
        return self.code != "STL"


_FILES: Final = {
    "104.1": ("PDF", (PDF,)),
    "104.2": ("CDA", (XML, "application/xml")),
    "104.3": ("STL", ("model/stl", "application/sla")),
    "104.4": ("OBJ", ("model/obj",)),
    "104.5": ("MTL", ("model/mtl",)),
}
"""Encapsulated documents. The second media type is another name of the first one."""

_EXACT: Final = {
    "4.2": "MRS",
    "9": "CURVE",
    "66": "RAW",
    "66.1": "REG",
    "66.2": "FID",
    "66.3": "REG",
    "66.5": "SURFACE",
    "66.6": "TRACTS",
    "67": "RWV",
    "68.1": "MESH",
    "68.2": "POINTS",
    "78.6": "GLASSES",
    "77.1.5.3": "STEREO",
    "91.1": "ANN",
    "131": "DISPLAY",
    "201.1": "INVENTORY",
    "481.3": "RTSTRUCT",
    "481.5": "RTPLAN",
    "481.8": "RTPLAN",
    "481.4": "RTRECORD",
    "481.6": "RTRECORD",
    "481.7": "RTRECORD",
    "481.9": "RTRECORD",
    **dict.fromkeys((f"481.{number}" for number in (*range(10, 23), 25)), "RT"),
}
"""Codes of SOP classes without a picture. RT images (481.1, .2, .23, .24) are images."""

_PREFIXES: Final = (
    ("88.59", "KO", Source.CONTENT_TREE, (HTML,)),
    ("79.1", "SR", Source.CONTENT_TREE, (HTML,)),
    ("88.", "SR", Source.CONTENT_TREE, (HTML,)),
    ("9.1.", "ECG", Source.WAVEFORM, _WAVEFORM_TYPES),
    ("9.4.", "AUDIO", Source.WAVEFORM, _WAVEFORM_TYPES),
    ("9.7.1", "EEG", Source.WAVEFORM, _WAVEFORM_TYPES),
    ("9.7.2", "EMG", Source.WAVEFORM, _WAVEFORM_TYPES),
    ("9.7.3", "EOG", Source.WAVEFORM, _WAVEFORM_TYPES),
    ("9.7.4", "EEG", Source.WAVEFORM, _WAVEFORM_TYPES),
    ("9.", "WAVE", Source.WAVEFORM, _WAVEFORM_TYPES),
    ("11.", "PR", Source.REFERENCES, (HTML,)),
    ("78.", "EYE", Source.NOTHING, ()),
    ("80.", "EYE", Source.NOTHING, ()),
    ("200.", "PROTOCOL", Source.NOTHING, ()),
)
"""The first row whose UID begins the SOP class counts."""


def kind_of(sop_class: str) -> ObjectKind | None:
    """Return the kind of the objects of a SOP class, None for images and for classes that are not known.

    Objects of these kinds have no frames that can be rendered, whatever else is in them.
    """
    if not sop_class.startswith(_STORAGE):
        return None
    number = sop_class.removeprefix(_STORAGE)
    name = class_name(sop_class)
    if number in _FILES:
        code, media_types = _FILES[number]
        return ObjectKind(code=code, name=name, source=Source.STORED_FILE, media_types=media_types)
    if number in _EXACT:
        return ObjectKind(code=_EXACT[number], name=name)
    for prefix, code, source, media_types in _PREFIXES:
        if number.startswith(prefix):
            return ObjectKind(code=code, name=name, source=source, media_types=media_types)
    return None


def video_kind(sop_class: str) -> ObjectKind:
    """Return the kind of a video. The transfer syntax tells it from an image."""
    return ObjectKind(code="VIDEO", name=class_name(sop_class), source=Source.STREAM)


def unknown_kind(sop_class: str) -> ObjectKind:
    """Return the kind of an object of which nothing is known but its SOP class."""
    return ObjectKind(code="DATA", name=class_name(sop_class))


def known_kinds() -> dict[str, ObjectKind]:
    """Return the kind of each standard SOP class that has no images."""
    return {uid: kind for uid in UID_dictionary if (kind := kind_of(uid)) is not None}


def class_name(sop_class: str) -> str:
    """Return the name of a SOP class without the word Storage. One that the dictionary does not have has no name."""
    entry = UID_dictionary.get(sop_class)
    return entry[0].replace(" Storage", "") if entry else "object of an unknown SOP class"
