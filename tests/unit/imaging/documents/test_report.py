"""Reports as HTML: complete, readable, and harmless whatever is in the file."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pydicom.data
import pytest
from pydicom.dataset import Dataset

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.limits import MAX_VALUE
from app.dicom.encoding.part10 import parse
from app.imaging.documents import page, report
from app.imaging.documents.report import presentation_page, report_page
from tests.support.documents import (
    PRESENTATION_STATE,
    code,
    content_item,
    dataset,
    evidence,
    measurement,
    reference,
)
from tests.support.documents import report as make_report
from tests.support.instances import make_instance, read

FILES = Path(pydicom.data.__file__).parent / "test_files"
HOSTILE = "</style></title>'\"><script>alert(1)</script><img src=x onerror=alert(1)>&lt;\x00\x1b"
_TAGS = "html head meta title style body main h1 h2 h3 h4 h5 h6 section div span p a dl dt dd table tr td th"
TAGS = frozenset(_TAGS.split())
ATTRIBUTES = frozenset(("lang", "charset", "name", "content", "class", "id", "href"))


class Structure(HTMLParser):
    """Reads a page strictly: every element is closed in order, and only known elements and attributes occur."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        assert {name for name, _ in attrs} <= ATTRIBUTES
        given = dict(attrs)
        if tag == "a":
            self.links.append(given["href"] or "")
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def link(study: str, series: str | None = None, instance: str | None = None, /) -> str:
    return f"https://archive.example/studies/{study}/series/{series}/instances/{instance}"


def attributes_of(data: bytes) -> AttributeReader:
    return AttributeReader.of(data, parse(data))


def structure(document: bytes) -> Structure:
    found = Structure()
    found.feed(document.decode())
    assert found.open == []
    return found


def shown(document: bytes) -> str:
    """Return the text of a page on one line."""
    body = document.decode().partition("<main>")[2]
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", body)).split())


def rendered(*content: Dataset, **attributes: Any) -> bytes:
    document = report_page(attributes_of(make_report(*content, **attributes)), "Comprehensive SR", link)
    structure(document)
    return document


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (content_item("TEXT", "Finding", TextValue="two\r\nlines"), "Finding: two lines"),
        (content_item("CODE", "Side", ConceptCodeSequence=[code("left", "7771000", "SCT")]), "left (7771000, SCT)"),
        (measurement("Diameter", "3.50", "mm", "millimeter"), "Diameter: 3.50 mm (millimeter)"),
        (measurement("Count", "7", "1", "no units"), "Count: 7"),
        (
            content_item("NUM", "Width", NumericValueQualifierCodeSequence=[code("Value out of range")]),
            "Width: no value (Value out of range)",
        ),
        (content_item("DATE", "On", Date="20240131"), "On: 2024-01-31"),
        (content_item("TIME", "At", Time="184746.5"), "At: 18:47:46.5"),
        (content_item("DATETIME", "When", DateTime="20240131184746+0100"), "When: 2024-01-31 18:47:46 +0100"),
        (content_item("UIDREF", "Which", UID="1.2.3"), "Which: 1.2.3"),
        (content_item("PNAME", "Who", PersonName="Doe^Jane^Q^Dr^MD=山田^花子"), "Doe, Dr Jane Q, MD · 山田, 花子"),
        (content_item("SCOORD", "Edge", GraphicType="POINT", GraphicData=[1.5, 2]), "Edge: POINT 1.5, 2"),
        (
            content_item(
                "SCOORD3D", "", GraphicType="POINT", GraphicData=[1, 2, 3], ReferencedFrameOfReferenceUID="9.8"
            ),
            "POINT 1, 2, 3 (frame of reference 9.8)",
        ),
        (
            content_item("TCOORD", "Span", TemporalRangeType="SEGMENT", ReferencedTimeOffsets=["1", "2.5"]),
            "Span: SEGMENT seconds 1, 2.5",
        ),
        (content_item("TEXT", "Odd", relationship="INFERRED FROM", TextValue="x"), "inferred from Odd: x"),
        (content_item("NEW", "Odd", TextValue="x"), "Odd: value of the type NEW TextValue: x"),
        (content_item("TEXT", "Seen", TextValue="x", ObservationDateTime="20240131"), "x observed 2024-01-31"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_each_value_type_shows_its_value(item: Dataset, text: str) -> None:
    assert text in shown(rendered(item, SpecificCharacterSet="ISO_IR 192"))


def test_a_table_shows_its_cells_under_their_columns() -> None:
    table = dataset(
        NumberOfTableRows=1,
        NumberOfTableColumns=2,
        TableColumnDefinitionSequence=[
            dataset(TableColumnNumber=1, ConceptNameCodeSequence=[code("Lead")]),
            dataset(
                TableColumnNumber=2,
                ConceptNameCodeSequence=[code("Height")],
                MeasurementUnitsCodeSequence=[code("millivolt", "mV")],
            ),
        ],
        TableRowDefinitionSequence=[dataset(TableRowNumber=1, ConceptNameCodeSequence=[code("First")])],
        CellValuesSequence=[
            dataset(TableRowNumber=1, TableColumnNumber=2, SelectorAttributeVR="DS", SelectorDSValue="0.7"),
            dataset(TableRowNumber=1, TableColumnNumber=1, ConceptCodeSequence=[code("aVR")]),
        ],
    )
    document = rendered(content_item("TABLE", "Leads", TabulatedValuesSequence=[table]))
    assert "Leads: Lead Height [mV] First aVR 0.7" in shown(document)


def test_sections_have_headings_and_the_header_names_the_observers() -> None:
    inner = content_item("CONTAINER", "Inner", content_item("TEXT", "Deep", TextValue="x"))
    document = rendered(
        content_item("CONTAINER", "Outer", inner, ContentTemplateSequence=[dataset(TemplateIdentifier="1500")]),
        title="Chest",
        VerifyingObserverSequence=[
            dataset(VerifyingObserverName="Roe^R", VerifyingOrganization="Clinic", VerificationDateTime="20240131")
        ],
        AuthorObserverSequence=[dataset(PersonName="Poe^P")],
    )
    whole = document.decode()
    for expected in ("<title>Chest</title>", "<h1>Chest</h1>", "<h2>Outer</h2>", "<h3>Inner</h3>"):
        assert expected in whole
    text = shown(document)
    for expected in ("Completion: COMPLETE", "Patient Doe, Jane", "template 1500", "Author Poe, P"):
        assert expected in text
    assert "Verified by Roe, R, Clinic, 2024-01-31" in text


def test_references_link_to_rendered_instances_and_frames_that_the_evidence_names() -> None:
    document = rendered(
        content_item("IMAGE", "Key", ReferencedSOPSequence=[reference("2.25.3", ReferencedFrameNumber=[2, 5])]),
        content_item("IMAGE", "Lost", ReferencedSOPSequence=[reference("2.25.4")]),
        CurrentRequestedProcedureEvidenceSequence=[evidence("2.25.1", "2.25.2", "2.25.3")],
    )
    url = "https://archive.example/studies/2.25.1/series/2.25.2/instances/2.25.3"
    assert structure(document).links == [f"{url}/rendered", f"{url}/frames/2/rendered", f"{url}/frames/5/rendered"]
    assert "Lost: CT Image 2.25.4" in shown(document)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_identifier_that_is_no_uid_never_becomes_a_part_of_a_link() -> None:
    uid = "../../../x"
    document = rendered(
        content_item("IMAGE", "Key", ReferencedSOPSequence=[reference(uid)]),
        CurrentRequestedProcedureEvidenceSequence=[evidence("2.25.1", "2.25.2", uid)],
    )
    assert structure(document).links == []


def test_an_item_by_reference_links_to_its_target() -> None:
    by_reference = dataset(RelationshipType="SELECTED FROM", ReferencedContentItemIdentifier=[1, 1, 2])
    document = rendered(
        content_item(
            "CONTAINER", "A", content_item("TEXT", "x", TextValue="x"), content_item("TEXT", "y", TextValue="y")
        ),
        by_reference,
    )
    found = structure(document)
    assert found.links == ["#item-1.1.2"]
    assert found.ids == ["item-1.1", "item-1.1.1", "item-1.1.2", "item-1.2"]


def hostile_items() -> list[Dataset]:
    """Return content items with hostile text in each attribute that is shown."""
    bad = code(HOSTILE, HOSTILE[:16], HOSTILE[:16])
    values: list[tuple[str, dict[str, Any]]] = [
        ("TEXT", {"TextValue": HOSTILE}),
        ("CODE", {"ConceptCodeSequence": [bad]}),
        ("NUM", {"MeasuredValueSequence": [dataset(NumericValue="1", MeasurementUnitsCodeSequence=[bad])]}),
        ("NUM", {"NumericValueQualifierCodeSequence": [bad]}),
        ("PNAME", {"PersonName": HOSTILE}),
        ("UIDREF", {"UID": HOSTILE}),
        ("DATE", {"Date": HOSTILE}),
        ("TIME", {"Time": HOSTILE}),
        ("DATETIME", {"DateTime": HOSTILE}),
        ("SCOORD3D", {"GraphicType": HOSTILE, "ReferencedFrameOfReferenceUID": HOSTILE}),
        ("TCOORD", {"TemporalRangeType": HOSTILE, "ReferencedDateTime": HOSTILE}),
        ("IMAGE", {"ReferencedSOPSequence": [reference(HOSTILE, HOSTILE, ReferencedSOPSequence=[reference(HOSTILE)])]}),
        (HOSTILE, {"TextValue": HOSTILE}),
        ("CONTAINER", {"ContentTemplateSequence": [dataset(TemplateIdentifier=HOSTILE, MappingResource=HOSTILE)]}),
        (
            "TABLE",
            {
                "TabulatedValuesSequence": [
                    dataset(
                        TableRowDefinitionSequence=[dataset(TableRowNumber=1, ConceptNameCodeSequence=[bad])],
                        TableColumnDefinitionSequence=[
                            dataset(
                                TableColumnNumber=1, ConceptNameCodeSequence=[bad], MeasurementUnitsCodeSequence=[bad]
                            )
                        ],
                        CellValuesSequence=[dataset(TableRowNumber=1, TableColumnNumber=1, SelectorUTValue=HOSTILE)],
                    )
                ]
            },
        ),
    ]
    return [
        content_item(value_type, HOSTILE, relationship=HOSTILE, ObservationDateTime=HOSTILE, **given)
        for value_type, given in values
    ]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_hostile_text_in_any_field_is_text() -> None:
    """The parser accepts only elements and attributes that the page itself writes."""
    from pydicom import config

    mode = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.IGNORE
    try:
        keywords = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDescription", "StudyDate")
        more = ("AccessionNumber", "SeriesDescription", "InstitutionName", "CompletionFlag", "VerificationFlag")
        header = dict.fromkeys((*keywords, *more, "CompletionFlagDescription", "ContentTime"), HOSTILE)
        observer = dataset(VerifyingObserverName=HOSTILE, VerifyingOrganization=HOSTILE, VerificationDateTime=HOSTILE)
        people = {
            "VerifyingObserverSequence": [observer],
            "AuthorObserverSequence": [dataset(PersonName=HOSTILE, InstitutionName=HOSTILE)],
            "ParticipantSequence": [dataset(StationName=HOSTILE, ParticipationType=HOSTILE)],
            "CurrentRequestedProcedureEvidenceSequence": [evidence(HOSTILE, HOSTILE, HOSTILE)],
        }
        data = make_report(*hostile_items(), title=HOSTILE, **header, **people)
    finally:
        config.settings.reading_validation_mode = mode
    document = report_page(attributes_of(data), HOSTILE, link)
    assert structure(document).links == []
    assert document.count(b"&lt;script&gt;") > 50
    assert b"\x00" not in document


def test_text_of_other_character_sets() -> None:
    item = content_item("TEXT", "Befund", TextValue="Größe")
    assert "Befund: Größe" in shown(rendered(item, SpecificCharacterSet="ISO_IR 100"))


def test_a_page_has_a_largest_size_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    item = content_item("TEXT", "Note", TextValue="y" * 1000)
    monkeypatch.setattr(page, "MAX_PAGE", 20_000)
    document = rendered(*[item] * 100)
    assert len(document) < 25_000
    assert "longer than this page" in shown(document)


def test_a_page_has_a_largest_number_of_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_ITEMS", 10)
    document = rendered(*[content_item("TEXT", "Note", TextValue="y")] * 11)
    assert shown(document).count("Note:") == 10
    assert "longer than this page" in shown(document)


def test_a_very_long_text_is_cut_and_says_so() -> None:
    document = rendered(content_item("TEXT", "Note", TextValue="y" * (MAX_VALUE + 2)))
    assert "The text is cut: it has 1048578 bytes." in shown(document)


def test_deep_nesting_is_shown_down_to_the_last_item() -> None:
    item = content_item("TEXT", "Deepest", TextValue="here")
    for depth in range(25):
        item = content_item("CONTAINER" if depth % 2 else "TEXT", f"level {depth}", item, TextValue="t")
    assert "Deepest: here" in shown(rendered(item))


@pytest.mark.parametrize("name", ["reportsi.dcm", "reportsi_with_empty_number_tags.dcm", "test-SR.dcm"])
def test_reports_of_dcmtk_are_complete(name: str) -> None:
    """Each code meaning of the content is on the page."""
    data = (FILES / name).read_bytes()
    document = report_page(attributes_of(data), "x", link)
    found = structure(document)
    assert set(found.links) <= {f"#{each}" for each in found.ids}
    text = shown(document)
    meanings = {
        str(element.value)
        for item in read(data).ContentSequence
        for element in item.iterall()
        if element.keyword in ("CodeMeaning", "TextValue")
    }
    assert len(meanings) > 5
    for meaning in meanings:
        assert " ".join(meaning.split()) in text


@pytest.mark.parametrize(
    "content",
    [
        [],
        [Dataset()],
        [dataset(ValueType="NUM", MeasuredValueSequence=[])],
        [dataset(ValueType="IMAGE")],
        [dataset(ValueType="CODE")],
        [dataset(ValueType="TABLE", TabulatedValuesSequence=[Dataset()])],
        [dataset(ValueType="SCOORD", GraphicData=[float("nan"), float("inf")])],
        [dataset(ReferencedContentItemIdentifier=[])],
        [dataset(ValueType="TABLE", TabulatedValuesSequence=[dataset(CellValuesSequence=[
            dataset(TableRowNumber=row, TableColumnNumber=row) for row in range(500)])])],
    ],
)  # fmt: skip
def test_a_damaged_report_gives_a_page(content: list[Dataset]) -> None:
    rendered(*content, ConceptNameCodeSequence=[])


def test_a_presentation_state_lists_its_images() -> None:
    series = dataset(SeriesInstanceUID="2.25.2", ReferencedImageSequence=[reference("2.25.3")])
    data = make_instance(
        study="2.25.1",
        pixel=False,
        SOPClassUID=PRESENTATION_STATE,
        ContentLabel="LUNG",
        ContentCreatorName="Roe^R",
        ReferencedSeriesSequence=[series],
    )
    document = presentation_page(attributes_of(data), "Grayscale Softcopy Presentation State", link)
    assert structure(document).links == [
        "https://archive.example/studies/2.25.1/series/2.25.2/instances/2.25.3/rendered"
    ]
    assert "Label LUNG" in shown(document)
    assert "Creator Roe, R" in shown(document)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_hostile_text_in_a_presentation_state_is_text() -> None:
    bad = dataset(SeriesInstanceUID=HOSTILE, ReferencedImageSequence=[reference(HOSTILE, HOSTILE)])
    data = make_instance(
        pixel=False,
        SOPClassUID=PRESENTATION_STATE,
        PatientName=HOSTILE.encode(),
        ContentLabel=HOSTILE.encode(),
        ContentDescription=HOSTILE.encode(),
        ReferencedSeriesSequence=[bad],
    )
    document = presentation_page(attributes_of(data), HOSTILE, link)
    assert structure(document).links == []
    assert b"&lt;script&gt;" in document


def test_the_hash_is_that_of_the_style_sheet_in_the_page() -> None:
    import base64
    import hashlib

    document = rendered()
    style = re.search(rb"<style>(.*?)</style>", document, re.DOTALL)
    assert style
    assert base64.b64encode(hashlib.sha256(style[1]).digest()).decode() == page.STYLE_HASH.removeprefix("sha256-")
