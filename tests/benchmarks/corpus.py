"""The corpus: the instances that both servers store. The same seed gives the same bytes.

All UIDs have 44 characters. So `Image.renamed` can replace them in the bytes of a file.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any, Final

import imagecodecs
import numpy as np
from pydicom.pixels.encoders.base import RLELosslessEncoder

from tests.support.instances import JPEG_2000, RLE, ct, encapsulated, make_instance, multiframe

SLICES: Final = 400
SLICES_PER_SERIES: Final = 200
FRAMES: Final = 300
COMPRESSED: Final = 20
LONG_FRAMES: Final = 3_600
RADIOGRAPHS: Final = 10
STUDIES: Final = 3_000
FEW_STUDIES: Final = 300
SIDE: Final = 512
FRAME_BYTES: Final = SIDE * SIDE * 2
RADIOGRAPH_SIDES: Final = (2_500, 2_000)
SCOUTS: Final = 10
SCOUT_SIDES: Final = (64, 32)

FIRST_DAY: Final = date(2010, 1, 1)
DAYS: Final = 15 * 365
SHARED_DATES: Final = ("20090101", "20090131")
"""The dates of the first 30 small studies, and of no others. A search finds the same ones among few and among many."""
SHARED: Final = 30

FAMILIES: Final = [
    start + end
    for start in ("Al", "Be", "Chan", "Du", "Eri", "Fa", "Gon", "Ha", "Ivan", "Jo", "Ko", "Lar")
    for end in ("bauer", "dova", "gomez", "hardt", "kins", "lund", "mann", "nova", "ricci", "son", "tanaka", "villa")
]
GIVENS: Final = ("Xavi", "Xena", "Xiomara", "Xander", "Xia", "Ximena")
"""No family name begins with X. So a prefix of a family name finds no given name."""
MODALITIES: Final = ("CT", "MR", "CR", "DX", "US")


def uid(*names: object) -> str:
    """Return the UID for these names: 44 characters below 2.25, the same in every run."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return f"2.25.1{int.from_bytes(digest) % 10**38:038d}"


@dataclass(frozen=True, slots=True)
class Image:
    """One Part 10 file and its UIDs. Its uncompressed pixels are at its end."""

    study: str
    series: str
    instance: str
    data: bytes

    def renamed(self, study: str, series: str, instance: str) -> Image:
        """Return the same image with other UIDs."""
        data = self.data
        for old, new in ((self.study, study), (self.series, series), (self.instance, instance)):
            data = data.replace(old.encode(), new.encode())
        return Image(study, series, instance, data)

    def frame(self, number: int, frames: int = 1) -> bytes:
        """Return the pixels of frame `number`, counted from 1. The image has `frames` frames of 512 by 512."""
        start = len(self.data) - (frames - number + 1) * FRAME_BYTES
        return self.data[start : start + FRAME_BYTES]


@dataclass(frozen=True, slots=True)
class SmallStudy:
    """The searchable attributes of a study of one small instance."""

    study: str
    patient_id: str
    patient_name: str
    study_date: str
    modality: str


class Corpus:
    """Every image and study of the benchmark. Each part is made when it is first used."""

    def __init__(self, seed: int = 20_240_115) -> None:
        self.seed = seed

    @cached_property
    def slices(self) -> list[Image]:
        """One study of two series of 200 CT slices, about 140 elements and 530 KB each."""
        return [self._slice(number) for number in range(SLICES)]

    @cached_property
    def films(self) -> list[Image]:
        """The multi-frame image in a list, like the other parts."""
        return [self.film]

    @cached_property
    def film(self) -> Image:
        """One multi-frame image of 300 frames, 157 MB."""
        pixels = b"".join(_noise(random.Random(f"{self.seed}/film/{k}"), SIDE, SIDE) for k in range(FRAMES))
        names = self._names("film", 0, 0)
        return Image(*names, multiframe(FRAMES, **_uids(names), pixel=pixels))

    @cached_property
    def radiographs(self) -> list[Image]:
        """Ten studies of one radiograph of 10 MB each."""
        return [self._radiograph(number) for number in range(RADIOGRAPHS)]

    @cached_property
    def scouts(self) -> list[Image]:
        """Ten studies of one small image of 10 KB each."""
        return [self._scout(number) for number in range(SCOUTS)]

    @cached_property
    def slices_in_jpeg_2000(self) -> list[Image]:
        """The first 20 slices as studies of one image each, in JPEG 2000 Lossless."""
        return [self._compressed("jpeg-2000", number, JPEG_2000, _jpeg_2000) for number in range(COMPRESSED)]

    @cached_property
    def slices_in_rle(self) -> list[Image]:
        """The same slices in RLE Lossless."""
        return [self._compressed("rle", number, RLE, _rle) for number in range(COMPRESSED)]

    def pixels_of_slice(self, number: int) -> bytes:
        """Return the uncompressed pixels of a slice."""
        return _noise(random.Random(f"{self.seed}/ct/{number}"), SIDE, SIDE)

    def long_film(self, turn: str) -> Image:
        """Return a multi-frame image of 3,600 frames in JPEG 2000 Lossless, 1 GB. Eight frames repeat."""
        frames = [[_jpeg_2000(self.pixels_of_slice(number))] for number in range(8)] * (LONG_FRAMES // 8)
        names = self._names(f"long film {turn}", 0, 0)
        return Image(*names, encapsulated(frames, transfer_syntax=JPEG_2000, rows=SIDE, columns=SIDE, **_uids(names)))

    @cached_property
    def studies(self) -> list[SmallStudy]:
        """3,000 small studies over fifteen years; the first 30 in January 2009."""
        chance = random.Random(f"{self.seed}/studies")
        studies = [
            SmallStudy(
                study=self._names("small", number, 0)[0],
                patient_id=f"PID{number:05d}",
                patient_name=f"{chance.choice(FAMILIES)}^{chance.choice(GIVENS)}",
                study_date=(FIRST_DAY + timedelta(days=chance.randrange(DAYS))).strftime("%Y%m%d"),
                modality=chance.choice(MODALITIES),
            )
            for number in range(STUDIES)
        ]
        shared = [replace(study, study_date=f"200901{day:02d}") for day, study in enumerate(studies[:SHARED], 1)]
        return shared + studies[SHARED:]

    @cached_property
    def small(self) -> list[Image]:
        """The instance of each small study, in the order of `studies`."""
        return [self._small(number, study) for number, study in enumerate(self.studies)]

    def _names(self, kind: str, study: int, instance: int, series: int = 0) -> tuple[str, str, str]:
        path = (self.seed, kind, study)
        return uid(*path), uid(*path, series), uid(*path, series, instance)

    def _slice(self, number: int) -> Image:
        series, position = divmod(number, SLICES_PER_SERIES)
        names = self._names("ct", 0, position, series)
        depth = f"{-250 + 1.25 * position:.2f}"
        data = ct(
            **_uids(names),
            pixel=self.pixels_of_slice(number),
            SeriesNumber=str(series + 1),
            InstanceNumber=str(position + 1),
            ImagePositionPatient=["-180.0", "-180.0", depth],
            SliceLocation=depth,
        )
        return Image(*names, data)

    def _compressed(self, kind: str, number: int, syntax: str, encode: Callable[[bytes], bytes]) -> Image:
        names = self._names(kind, number, 0)
        frame = encode(self.pixels_of_slice(number))
        return Image(*names, encapsulated([[frame]], transfer_syntax=syntax, rows=SIDE, columns=SIDE, **_uids(names)))

    def _radiograph(self, number: int) -> Image:
        names = self._names("radiograph", number, 0)
        rows, columns = RADIOGRAPH_SIDES
        pixels = _noise(random.Random(f"{self.seed}/radiograph/{number}"), rows, columns)
        data = ct(**_uids(names), pixel=pixels, rows=rows, columns=columns, modality="DX", patient_id=f"RX{number}")
        return Image(*names, data)

    def _scout(self, number: int) -> Image:
        names = self._names("scout", number, 0)
        rows, columns = SCOUT_SIDES
        pixels = _noise(random.Random(f"{self.seed}/scout/{number}"), rows, columns)
        return Image(*names, ct(**_uids(names), pixel=pixels, rows=rows, columns=columns, patient_id=f"S{number}"))

    def _small(self, number: int, study: SmallStudy) -> Image:
        names = self._names("small", number, 0)
        data = make_instance(
            **_uids(names),
            pixel=False,
            patient_id=study.patient_id,
            patient_name=study.patient_name,
            study_date=study.study_date,
            modality=study.modality,
            AccessionNumber=f"A{number:06d}",
            StudyDescription=f"Examination {number % 40}",
            ReferringPhysicianName="Welby^Marcus",
            SeriesDescription="Small",
        )
        return Image(*names, data)


def batches(images: Sequence[Image], size: int) -> list[Sequence[Image]]:
    """Return the images in lists of `size`. The last list may be shorter."""
    return [images[start : start + size] for start in range(0, len(images), size)]


def _uids(names: tuple[str, str, str]) -> dict[str, Any]:
    return dict(zip(("study", "series", "instance"), names, strict=True))


def _jpeg_2000(pixels: bytes) -> bytes:
    samples = np.frombuffer(pixels, "<u2").reshape(SIDE, SIDE)
    return bytes(imagecodecs.jpeg2k_encode(samples, level=0, codecformat="j2k", reversible=True, bitspersample=12))


def _rle(pixels: bytes) -> bytes:
    return bytes(
        RLELosslessEncoder.encode(
            pixels,
            encoding_plugin="pydicom",
            rows=SIDE,
            columns=SIDE,
            samples_per_pixel=1,
            number_of_frames=1,
            bits_allocated=16,
            bits_stored=12,
            pixel_representation=0,
            photometric_interpretation="MONOCHROME2",
            pixel_keyword="PixelData",
        )
    )


def _noise(chance: random.Random, rows: int, columns: int) -> bytes:
    """Return a disc of 12-bit tissue in air. Noise prevents that a file system compresses it to nothing."""
    noise = np.frombuffer(chance.randbytes(rows * columns), np.uint8).reshape(rows, columns)
    y, x = np.ogrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    return (noise + np.where(x * x + y * y < 0.8, 1_000, 0)).astype("<u2").tobytes()
