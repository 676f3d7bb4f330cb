"""What an object is, and what it is shown as."""

from __future__ import annotations

import pytest

from app.imaging.documents.kinds import kind_of, known_kinds, unknown_kind

STORAGE = "1.2.840.10008.5.1.4.1.1."


@pytest.mark.parametrize(
    ("number", "code", "media_types"),
    [
        ("104.1", "PDF", ("application/pdf",)),
        ("104.2", "CDA", ("text/xml", "application/xml")),
        ("104.3", "STL", ("model/stl", "application/sla")),
        ("88.11", "SR", ("text/html",)),
        ("88.59", "KO", ("text/html",)),
        ("11.1", "PR", ("text/html",)),
        ("9.1.1", "ECG", ("image/svg+xml", "image/png", "image/jpeg")),
        ("9.6.1", "WAVE", ("image/svg+xml", "image/png", "image/jpeg")),
        ("481.3", "RTSTRUCT", ()),
        ("66", "RAW", ()),
        ("481.12", "RT", ()),
    ],
)
def test_the_kind_of_a_sop_class(number: str, code: str, media_types: tuple[str, ...]) -> None:
    kind = kind_of(STORAGE + number)
    assert kind is not None
    assert (kind.code, kind.media_types) == (code, media_types)


@pytest.mark.parametrize("uid", [STORAGE + "2", STORAGE + "481.1", STORAGE + "77.1.1.1", "1.2.3", "9.1.1", "104.1", ""])
def test_images_and_classes_that_are_not_known_have_no_kind(uid: str) -> None:
    assert kind_of(uid) is None


def test_an_object_of_which_nothing_is_known_is_data() -> None:
    kind = unknown_kind("1.2.3")
    assert (kind.code, kind.name, kind.media_types) == ("DATA", "object of an unknown SOP class", ())


def test_the_known_kinds_are_those_of_the_standard_classes() -> None:
    kinds = known_kinds()
    assert kinds[STORAGE + "88.77"].code == "SR"
    assert len(kinds) > 80
    assert not {"CT Image", "RT Dose", "Segmentation", "Parametric Map"} & {kind.name for kind in kinds.values()}
