"""What an object is, and what it is shown as."""

from __future__ import annotations

import pytest

from app.imaging.documents.kinds import Source, kind_of

STORAGE = "1.2.840.10008.5.1.4.1.1."
EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.mark.parametrize(
    ("number", "code", "media_types"),
    [
        ("104.1", "PDF", ("application/pdf",)),
        ("104.2", "CDA", ("text/xml", "application/xml")),
        ("104.3", "STL", ("model/stl", "application/sla")),
        ("88.11", "SR", ("text/html",)),
        ("88.59", "KO", ("text/html",)),
        ("11.1", "PR", ("text/html",)),
        ("9.1.1", "ECG", ("image/svg+xml", "image/png")),
        ("9.6.1", "WAVE", ("image/svg+xml", "image/png")),
        ("481.3", "RTSTRUCT", ()),
        ("66", "RAW", ()),
        ("481.12", "RT", ()),
    ],
)
def test_the_kind_of_a_sop_class(number: str, code: str, media_types: tuple[str, ...]) -> None:
    kind = kind_of(STORAGE + number, EXPLICIT, has_frames=False)
    assert kind is not None
    assert (kind.code, kind.media_types) == (code, media_types)


def test_an_object_of_an_unknown_class_without_frames_is_data() -> None:
    kind = kind_of("1.2.3", EXPLICIT, has_frames=False)
    assert kind is not None
    assert (kind.code, kind.name, kind.media_types) == ("DATA", "object of an unknown SOP class", ())


@pytest.mark.parametrize("uid", ["9.1.1", "88.11", "104.1", "11.1"])
def test_a_private_uid_that_looks_like_the_end_of_a_standard_one_is_data(uid: str) -> None:
    kind = kind_of(uid, EXPLICIT, has_frames=False)
    assert kind is not None
    assert kind.code == "DATA"


def test_an_object_with_frames_is_an_image_unless_its_syntax_is_a_video() -> None:
    assert kind_of(STORAGE + "2", EXPLICIT, has_frames=True) is None
    assert kind_of(STORAGE + "77.1.1.1", "1.2.840.10008.1.2.4.50", has_frames=True) is None
    video = kind_of(STORAGE + "77.1.1.1", "1.2.840.10008.1.2.4.107.1", has_frames=True)
    assert video is not None
    assert (video.code, video.source) == ("VIDEO", Source.STREAM)


def test_a_pdf_that_also_has_frames_is_a_pdf() -> None:
    kind = kind_of(STORAGE + "104.1", EXPLICIT, has_frames=True)
    assert kind is not None
    assert kind.code == "PDF"
