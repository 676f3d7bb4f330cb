"""The text of annotations, and where it is drawn (PS3.18 §8.3.5.1.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.dicom.encoding.attribute_reader import AttributeReader
from app.dicom.encoding.part10 import parse
from app.imaging.rendering.annotation import annotate, patient_lines, technique_lines
from app.imaging.rendering.picture import Picture
from tests.support.instances import make_instance


def attributes(**values: Any) -> AttributeReader:
    data = make_instance(**values)
    return AttributeReader.of(data, parse(data))


PATIENT = {"patient_name": "Doe^Jane^^Dr", "patient_id": "P-7", "PatientBirthDate": "19700102", "PatientSex": "F"}


def test_the_lines_of_the_patient() -> None:
    assert patient_lines(attributes(**PATIENT)) == ["Doe Jane  Dr", "P-7", "1970-01-02 F"]
    assert patient_lines(attributes(patient_name="", patient_id="P", PatientBirthDate="197")) == ["P", "197"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Müller^Groß", "Muller Gross"),
        ("Łukasz^Ångström", "Lukasz Angstrom"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada Tarou"),
        ("Иванов", "??????"),
        ("a\\b", "a"),
    ],
)
def test_a_name_is_drawn_in_latin_letters(name: str, shown: str) -> None:
    reader = attributes(patient_name=name, patient_id="", SpecificCharacterSet="ISO_IR 192")
    assert patient_lines(reader) == [shown]


def test_the_lines_of_the_technique() -> None:
    reader = attributes(
        modality="CT",
        study_date="20240115",
        StudyTime="101530",
        StudyDescription="Thorax",
        SeriesDescription=None,
        ImagePositionPatient=["1", "-2.25", "3"],
        SliceThickness="2.5",
        frames=3,
    )
    assert technique_lines(reader, 2) == [
        "CT 2024-01-15 10:15",
        "Thorax",
        "Series 1  Image 1  Frame 2/3",
        "Position 1.0 -2.2 3.0 mm",
        "Thickness 2.5 mm",
    ]
    assert "Location 7.0 mm" in technique_lines(attributes(SliceLocation="7"), 1)


@pytest.mark.parametrize("shape", [(200, 300), (200, 300, 3)])
def test_text_is_drawn_at_the_side_of_its_keyword(shape: tuple[int, ...]) -> None:
    reader = attributes(**PATIENT)
    pixels = np.full(shape, 100, np.uint8)
    changed = {}
    for keyword in ("patient", "technique"):
        drawn = annotate(Picture(pixels=pixels), reader, {keyword}, 1).pixels
        assert drawn.shape == shape
        assert (drawn.min(), drawn.max() > 200) == (0, True)
        changed[keyword] = np.nonzero(drawn != 100)[1]
    assert changed["patient"].max() < 150 < changed["technique"].min()
    assert (pixels == 100).all()  # the picture itself may be in a cache


def test_a_tiny_picture_and_no_keyword() -> None:
    picture = Picture(pixels=np.zeros((2, 2), np.uint8))
    assert annotate(picture, attributes(**PATIENT), {"patient", "technique"}, 1).pixels.shape == (2, 2)
    assert (annotate(picture, attributes(), frozenset(), 1).pixels == 0).all()


def test_an_attribute_of_another_type_is_no_error() -> None:
    assert technique_lines(attributes(ImagePositionPatient=b"not\\numbers ", SliceThickness=b"abc "), 1)
