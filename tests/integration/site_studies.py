"""Studies of made-up patients for the pages of the site: a drawn head in slices, with names in several scripts."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.support.instances import make_instance

SIDE: Final = 256

_ELLIPSES: Final = (
    (0.0, 0.0, 0.69, 0.92, 0.0, 1000),
    (0.0, -0.018, 0.662, 0.874, 0.0, -780),
    (0.22, 0.0, 0.11, 0.31, -0.3, -150),
    (-0.22, 0.0, 0.16, 0.41, 0.3, -150),
    (0.0, 0.35, 0.21, 0.25, 0.0, 120),
    (0.0, 0.1, 0.046, 0.046, 0.0, 150),
    (0.06, -0.605, 0.023, 0.046, 0.0, 180),
)
"""Centre, half axes, angle and value of each ellipse of the phantom of Shepp and Logan."""


class StudyOfPatient(NamedTuple):
    """A study of a made-up patient, and where it is stored."""

    partition: str
    name: str
    patient_id: str
    birth_date: str
    sex: str
    modality: str
    description: str
    study_date: str


STUDIES: Final = (
    StudyOfPatient("clinic-north", "Hansen^Marit", "P-1007", "19710312", "F", "CT", "CT head", "20260118"),
    StudyOfPatient("clinic-north", "Okafor^Chidi^A", "P-1012", "19880923", "M", "MR", "MR brain", "20260120"),
    StudyOfPatient("radiology", "Lindqvist^Eva^^Dr", "P-1031", "20010430", "F", "MR", "MR brain, contrast", "20260212"),
    StudyOfPatient("clinic-south", "García^Lucía", "P-1044", "19930705", "F", "CT", "CT skull", "20260219"),
    StudyOfPatient("radiology", "Novak^Petr", "P-1050", "19641212", "M", "CT", "CT head, follow-up", "20260225"),
)
SERIES: Final = (("Localizer", 4), ("Axial 2.5 mm", 12), ("Coronal 3 mm", 8))
"""Description and number of images of each series."""


def files(study: StudyOfPatient, root: str) -> list[bytes]:
    """Return the files of a study whose UIDs begin with `root`."""
    return [
        _file(study, root, number, description, position, images)
        for number, (description, images) in enumerate(SERIES, start=1)
        for position in range(images)
    ]


def _file(study: StudyOfPatient, root: str, number: int, description: str, position: int, images: int) -> bytes:
    attributes: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientBirthDate": study.birth_date,
        "PatientSex": study.sex,
        "StudyDescription": study.description,
        "StudyTime": "101500",
        "SeriesDescription": description,
        "SeriesNumber": str(number),
        "InstanceNumber": str(position + 1),
        "AccessionNumber": f"A-{study.patient_id[-4:]}",
        "ReferringPhysicianName": "Berg^Ola",
        "ManufacturerModelName": "Phantom One",
        "WindowCenter": "250",
        "WindowWidth": "600",
    }
    return make_instance(
        study=root,
        series=f"{root}.{number}",
        instance=f"{root}.{number}.{position + 1}",
        patient_name=study.name,
        patient_id=study.patient_id,
        modality=study.modality,
        study_date=study.study_date,
        rows=SIDE,
        columns=SIDE,
        pixel=_slice(position / max(images - 1, 1), bright=study.modality == "MR").tobytes(),
        **attributes,
    )


def _slice(height: float, *, bright: bool) -> NDArray[np.uint16]:
    """Return the slice of the head at a height from 0 to 1."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    radius = np.sqrt(1 - (1.4 * height - 0.7) ** 2)
    picture = np.zeros((SIDE, SIDE))
    for across, down, width, length, angle, value in _ELLIPSES:
        cosine, sine = np.cos(angle), np.sin(angle)
        along = ((x - across) * cosine + (y - down) * sine) / (width * radius)
        beside = ((y - down) * cosine - (x - across) * sine) / (length * radius)
        picture[along**2 + beside**2 <= 1] += value
    if bright:
        picture = np.where(picture > 900, 150, picture * 2)
    noise = np.random.default_rng(int(height * 1000)).normal(0, 10, picture.shape)
    return np.clip(picture + noise, 0, 4095).astype("<u2")
