"""The choice among the media types of rendered representations (conformance §4.2, §4.10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import NotAcceptable
from app.imaging.documents.kinds import known_kinds
from app.imaging.documents.video.container import Container
from app.services.retrieve.renderers import IMAGE_TYPES
from app.web.negotiation.rendered_media_types import (
    RENDERED_TYPES,
    Choice,
    accepted_thumbnail_types,
    accepted_types,
)

JPEG, PNG, GIF, WEBP, JP2 = IMAGE_TYPES
CHROMIUM_IMAGE = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
CHROMIUM_PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
WAVEFORM = ("image/svg+xml", PNG)


@pytest.mark.parametrize(
    ("accept", "types", "media_type", "multipart"),
    [
        (None, IMAGE_TYPES, JPEG, False),
        ("*/*", IMAGE_TYPES, JPEG, False),
        ("*/*", ("application/pdf",), "application/pdf", False),
        ("*/*", WAVEFORM, "image/svg+xml", False),
        (PNG, WAVEFORM, PNG, False),
        (CHROMIUM_IMAGE, IMAGE_TYPES, JPEG, False),
        (CHROMIUM_IMAGE, WAVEFORM, "image/svg+xml", False),
        (CHROMIUM_PAGE, ("application/pdf",), "application/pdf", False),
        (CHROMIUM_PAGE, ("text/html",), "text/html", False),
        (f"{WEBP}, {PNG}", IMAGE_TYPES, WEBP, False),
        (f"{WEBP};q=0.9, {PNG}", IMAGE_TYPES, PNG, False),
        ("image/*;q=0.9, image/gif", IMAGE_TYPES, GIF, False),
        ("multipart/related", IMAGE_TYPES, JPEG, True),
        ("multipart/*", IMAGE_TYPES, JPEG, True),
        ('multipart/related; type="image/*"', IMAGE_TYPES, JPEG, True),
        ('multipart/related; type="*/*"', ("text/html",), "text/html", True),
        ("multipart/related; type=IMAGE/JP2", IMAGE_TYPES, JP2, True),
        (f'multipart/related; type="{PNG}", {GIF}', IMAGE_TYPES, PNG, True),
        (f'{GIF}, multipart/related; type="{PNG}"', IMAGE_TYPES, GIF, False),
        (f'{GIF};q=0.5, multipart/related; type="{PNG}"', IMAGE_TYPES, PNG, True),
        ("video/h265", ("video/H265",), "video/H265", False),
        ("video/*", ("video/H265",), "video/H265", False),
    ],
)
def test_the_choice(accept: str | None, types: tuple[str, ...], media_type: str, multipart: bool) -> None:
    assert accepted_types(accept).choice(types) == Choice(media_type, multipart)


@pytest.mark.parametrize(("accept", "types"), [(PNG, ("application/pdf",)), ("text/html", IMAGE_TYPES), ("*/*", ())])
def test_an_object_that_has_no_accepted_type(accept: str, types: tuple[str, ...]) -> None:
    assert accepted_types(accept).choice(types) is None


def test_one_form_can_be_asked_for() -> None:
    accepted = accepted_types(f'{GIF}, multipart/related; type="{PNG}"')
    assert accepted.choice(IMAGE_TYPES, multipart=True) == Choice(PNG, True)
    assert accepted.choice(IMAGE_TYPES, multipart=False) == Choice(GIF, False)
    assert accepted_types(GIF).choice(IMAGE_TYPES, multipart=True) is None


@pytest.mark.parametrize(
    "accept", ["", "image/tiff", "application/dicom", "image/png;q=0", 'multipart/related; type="a/b"']
)
def test_what_nothing_can_answer_is_refused(accept: str) -> None:
    for read in (accepted_types, accepted_thumbnail_types):
        with pytest.raises(NotAcceptable, match="The request headers are not acceptable"):
            read(accept)


@pytest.mark.parametrize("accept", ["text/html", 'multipart/related; type="image/png"', "video/mp4"])
def test_a_thumbnail_is_one_image(accept: str) -> None:
    accepted_types(accept)
    with pytest.raises(NotAcceptable):
        accepted_thumbnail_types(accept)


def test_every_media_type_of_every_kind_of_object_is_known() -> None:
    """A type that is missing from the list would be refused before the object is looked at."""
    of_documents = {media_type for kind in known_kinds().values() for media_type in kind.media_types}
    of_videos = {container.media_type for container in Container}
    assert of_documents | of_videos | set(IMAGE_TYPES) <= set(RENDERED_TYPES)


@given(st.lists(st.sampled_from([*RENDERED_TYPES, "*/*", "image/*", "multipart/related", "a", ";", ",", "q=0.3"])))
def test_a_choice_is_one_of_the_types(pieces: list[str]) -> None:
    try:
        choice = accepted_types(",".join(pieces)).choice(IMAGE_TYPES)
    except NotAcceptable:
        return
    assert choice is None or choice.media_type in IMAGE_TYPES
