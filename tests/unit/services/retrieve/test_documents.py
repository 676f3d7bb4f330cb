"""What objects without images are rendered as. Encapsulated documents are read by byte range."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import ImageFailure
from app.imaging.rendering.parameters import RenderingParameters, Viewport
from app.services.retrieve import encapsulated_content
from app.services.retrieve.documents import document_renderers, with_article
from app.services.retrieve.renderers import Content, Renderer
from tests.support.documents import (
    CDA_STORAGE,
    KEY_OBJECTS,
    PDF,
    PDF_STORAGE,
    PRESENTATION_STATE,
    RTSTRUCT,
    STL_STORAGE,
    channel,
    content_item,
    document,
    evidence,
    multiplex_group,
    reference,
    report,
    waveform,
)
from tests.support.instances import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, make_instance
from tests.support.raw_elements import element, item, part10
from tests.support.stored_instance import StoredInstance, bytes_of

PARAMETERS = RenderingParameters(partition_url="https://archive.example/v2/partitions/a")
SYNTAXES = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE)


def renderer(stored: StoredInstance) -> Renderer:
    return document_renderers(stored.files)[stored.row.sop_class]


def rendered(stored: StoredInstance, frames: tuple[int, ...] = ()) -> Content:
    found = renderer(stored)
    return found.render(stored.row, frames, found.media_types(stored.row)[0], PARAMETERS)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    """Documents of some kilobytes are read as large ones are."""
    monkeypatch.setattr(encapsulated_content, "_PART", 2048)
    return 2048


@pytest.mark.parametrize(
    ("sop_class", "media_type"),
    [(PDF_STORAGE, "application/pdf"), (CDA_STORAGE, "text/xml"), (STL_STORAGE, "model/stl")],
)
def test_the_media_type_is_that_of_the_class_whatever_the_file_says(sop_class: str, media_type: str) -> None:
    stored = StoredInstance(document(PDF, sop_class, MIMETypeOfEncapsulatedDocument="text/html"))
    content = rendered(stored)
    assert (content.content_type, bytes_of(content)) == (media_type, PDF)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("size", [11, 12, 20_000, 20_001])
def test_a_document_is_its_bytes_without_padding(small_parts: int, syntax: str, size: int) -> None:
    text = bytes(range(1, 252)) * 100
    stored = StoredInstance(document(text[:size], transfer_syntax=syntax))
    content = rendered(stored)
    assert bytes_of(content) == text[:size]
    assert bytes_of(content, 3, 5) == text[3:8]
    assert content.length == size


def test_a_range_of_a_large_document_reads_only_its_ends_and_the_range(small_parts: int) -> None:
    stored = StoredInstance(document(bytes(range(256)) * 400))
    content = rendered(stored)
    assert bytes_of(content, 1000, 24) == (bytes(range(256)) * 5)[1000:1024]
    assert len(stored.blobs.reads) == 4
    assert sum(length or len(stored.data) for _, length in stored.blobs.reads) <= 2 * small_parts + 25


def test_the_place_of_a_document_is_kept(small_parts: int) -> None:
    stored = StoredInstance(document(b"x" * 100_000))
    found = renderer(stored)
    contents = [found.render(stored.row, (), "application/pdf", PARAMETERS) for _ in range(3)]
    assert len(stored.blobs.reads) == 3
    assert [bytes_of(each, 0, 1) for each in contents] == [b"x"] * 3


def test_bytes_that_look_like_the_header_of_the_document_are_not_one(small_parts: int) -> None:
    title = "B\0\x11\0OB\0\0\x10\0\0\0"
    stored = StoredInstance(document(b"content" * 1000, DocumentTitle=title.encode("latin-1")))
    assert bytes_of(rendered(stored)) == b"content" * 1000


@pytest.mark.parametrize("size_of_others", [5_000, 50_000])
def test_attributes_longer_than_the_part_cost_one_reading_of_the_file(small_parts: int, size_of_others: int) -> None:
    stored = StoredInstance(document(b"content" * 1000, PatientComments="c" * size_of_others))
    assert bytes_of(rendered(stored)) == b"content" * 1000
    stored = StoredInstance(document(b"content" * 1000, TextString=b"c" * size_of_others))
    assert bytes_of(rendered(stored)) == b"content" * 1000


@pytest.mark.parametrize("claimed", [None, 0, 1, 12_345_678, 6])
def test_a_length_that_lies_is_not_obeyed(claimed: int | None) -> None:
    assert bytes_of(rendered(StoredInstance(document(b"12345678", length=claimed)))) == b"12345678"


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(("sop_class", "padding"), [(CDA_STORAGE, b""), (PDF_STORAGE, b""), (STL_STORAGE, b"\0")])
def test_without_a_length_a_nul_at_the_end_of_text_is_padding(sop_class: str, padding: bytes, syntax: str) -> None:
    """A file of triangles ends with a NUL of its own."""
    stored = StoredInstance(document(b"<a></a>", sop_class, length=None, transfer_syntax=syntax))
    assert bytes_of(rendered(stored)) == b"<a></a>" + padding


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"EncapsulatedDocument": None}, "The instance has no Encapsulated Document."),
        ({"EncapsulatedDocument": b""}, "The Encapsulated Document is empty."),
    ],
)
def test_an_instance_without_a_document_says_so(attributes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ImageFailure, match=reason):
        rendered(StoredInstance(document(b"12", **attributes)))


def test_a_document_in_fragments_is_refused() -> None:
    """No writer may write it, and its bytes are not side by side."""
    uids = element(0x00080016, "UI", PDF_STORAGE.encode()) + element(0x00080018, "UI", b"2.25.3")
    uids += element(0x0020000D, "UI", b"2.25.1") + element(0x0020000E, "UI", b"2.25.2")
    fragments = item(b"") + item(b"ab") + b"\xfe\xff\xdd\xe0\0\0\0\0"
    stored = StoredInstance(part10(uids + element(0x00420011, "OB", fragments, 0xFFFFFFFF)))
    with pytest.raises(ImageFailure, match="not one value"):
        rendered(stored)


def test_only_the_first_frame_of_a_document_exists() -> None:
    stored = StoredInstance(document(PDF))
    assert bytes_of(rendered(stored, (1,))) == PDF
    with pytest.raises(ImageFailure, match=r"an Encapsulated PDF\. It has no frames"):
        rendered(stored, (2,))


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_report_is_a_page_with_links_to_the_partition(syntax: str) -> None:
    image = content_item("IMAGE", "Key", ReferencedSOPSequence=[reference("2.25.3")])
    proof = [evidence("2.25.1", "2.25.2", "2.25.3")]
    for sop_class in (None, KEY_OBJECTS):
        given = {"SOPClassUID": sop_class} if sop_class else {}
        data = report(image, transfer_syntax=syntax, CurrentRequestedProcedureEvidenceSequence=proof, **given)
        content = rendered(StoredInstance(data))
        assert content.content_type == "text/html; charset=utf-8"
        url = b"https://archive.example/v2/partitions/a/studies/2.25.1/series/2.25.2/instances/2.25.3/rendered"
        assert b'<a href="' + url + b'">2.25.3</a>' in bytes_of(content)


def test_a_presentation_state_is_a_page() -> None:
    stored = StoredInstance(make_instance(SOPClassUID=PRESENTATION_STATE, pixel=False))
    assert b"Grayscale Softcopy Presentation State" in bytes_of(rendered(stored))


def test_an_object_without_a_picture_says_what_it_is_and_has_an_icon() -> None:
    stored = StoredInstance(make_instance(SOPClassUID=RTSTRUCT, pixel=False))
    found = renderer(stored)
    assert found.media_types(stored.row) == ()
    with pytest.raises(ImageFailure, match=r"The instance is an RT Structure Set\. It has no picture\."):
        found.render(stored.row, (), "image/jpeg", PARAMETERS)
    assert found.thumbnail(stored.row, None, "image/jpeg", Viewport(256, 256)).data is not None
    assert stored.blobs.reads == []


@pytest.mark.parametrize("sop_class", [PDF_STORAGE, KEY_OBJECTS, RTSTRUCT])
@pytest.mark.parametrize(
    ("viewport", "side"), [(Viewport(256, 256), 256), (Viewport(64, 100), 64), (Viewport(8192, 8192), 256)]
)
def test_the_thumbnail_is_an_icon_within_the_viewport(sop_class: str, viewport: Viewport, side: int) -> None:
    stored = StoredInstance(make_instance(SOPClassUID=sop_class, pixel=False))
    content = renderer(stored).thumbnail(stored.row, None, "image/png", viewport)
    assert content.content_type == "image/png"
    assert bytes_of(content)[16:24] == side.to_bytes(4, "big") * 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Encapsulated PDF", "an Encapsulated PDF"),
        ("Comprehensive SR", "a Comprehensive SR"),
        ("RT Plan", "an RT Plan"),
        ("Raw Data", "a Raw Data"),
        ("object of an unknown SOP class", "an object of an unknown SOP class"),
    ],
)
def test_the_name_of_a_kind_has_an_article(name: str, expected: str) -> None:
    assert with_article(name) == expected


@pytest.mark.parametrize("media_type", ["image/svg+xml", "image/png", "image/jpeg"])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_waveform_is_a_drawing(media_type: str, syntax: str) -> None:
    group = multiplex_group([[1, 2, 3] * 100] * 2, [channel("A"), channel("B")])
    stored = StoredInstance(waveform(group, transfer_syntax=syntax))
    begins = {"image/svg+xml": b"<?xml", "image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff"}
    found = renderer(stored)
    assert media_type in found.media_types(stored.row)
    content = found.render(stored.row, (), media_type, RenderingParameters(viewport=Viewport(100, 100)))
    assert content.content_type == media_type
    assert bytes_of(content).startswith(begins[media_type])


def test_the_reason_why_a_waveform_has_no_drawing_is_said() -> None:
    with pytest.raises(ImageFailure, match="no Waveform Sequence"):
        rendered(StoredInstance(waveform()))
