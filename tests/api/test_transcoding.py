"""Each pair of transfer syntaxes: the pixels of the transcoded file and of its frames are those stored (§4.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import pixel_array

from app import bootstrap, create_app
from app.dicom.encoding.uids import IMPLEMENTATION_CLASS_UID
from app.settings import Settings
from tests.support.compressed_images import FRAME_TYPES, SOURCES, TARGETS, SourceSyntax
from tests.support.dicomweb import PartitionClient, parts
from tests.support.images import KINDS, ImageKind
from tests.support.instances import EXPLICIT_LITTLE, read

Pair = tuple[str, str]
PAIRS = [(source, target) for source in SOURCES for target in TARGETS]
UNSUPPORTED = "The specified transcoding is not supported."
REFUSED = {
    "HTJ2K": {"32 bit signed", "20 of 32 bit", "64 bit"},
    "JPEG-LS": {"32 bit signed", "20 of 32 bit", "64 bit"},
    "JPEG 2000": {"32 bit signed", "64 bit"},
}
"""The kinds that a target does not hold."""
NO_PYDICOM = {("RLE", "64 bit"), ("JPEG 2000", "20 of 32 bit")}
"""Results that pydicom does not decode. The tests of the codecs compare them."""
CHANGED = {
    "PhotometricInterpretation", "PlanarConfiguration", "HighBit", "PixelData", "LossyImageCompression",
    "LossyImageCompressionRatio", "LossyImageCompressionMethod",
}  # fmt: skip
"""The attributes that may differ from those stored."""


@dataclass
class Archive:
    """A service with the images that the tests asked for. An image is stored when it is asked for first."""

    client: PartitionClient
    stored: dict[tuple[str, str], str] = field(default_factory=dict)

    def path(self, source: str, kind: str) -> str:
        """Return the path of the image of a kind in a transfer syntax."""
        if (source, kind) not in self.stored:
            number = len(self.stored)
            uids = {"study": f"2.25.1{number}", "series": f"2.25.2{number}", "instance": f"2.25.3{number}"}
            self.client.stored(SOURCES[source].file(KINDS[kind], **uids))
            path = "/studies/{study}/series/{series}/instances/{instance}".format(**uids)
            self.stored[source, kind] = path
        return self.stored[source, kind]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """One archive for all pairs."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("archive"), log_level="critical", decoding_processes=1)
    bootstrap.initialise(settings)
    app = create_app(settings, bootstrap.build_engine(settings))
    yield Archive(PartitionClient(app.test_client()))
    app.extensions["bulkhead"].frame_decoder.close()


def file_in(client: PartitionClient, path: str, target: str) -> bytes:
    response = client.get(path, f"application/dicom; transfer-syntax={TARGETS[target]}")
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == f"application/dicom; transfer-syntax={TARGETS[target]}"
    assert int(response.headers.get("Content-Length", len(response.data))) == len(response.data)
    return bytes(response.data)


def frames_in(client: PartitionClient, path: str, target: str, numbers: Sequence[int]) -> list[bytes]:
    typed = f"{FRAME_TYPES[target]}; transfer-syntax={TARGETS[target]}"
    accept = f'multipart/related; type="{FRAME_TYPES[target]}"; transfer-syntax={TARGETS[target]}'
    response = client.get(f"{path}/frames/{','.join(map(str, numbers))}", accept)
    assert response.status_code == 200, response.text
    found = parts(response)
    assert {part.content_type for part in found} == {typed}
    alone = client.get(f"{path}/frames/{numbers[0]}", typed)
    assert (alone.status_code, alone.headers["Content-Type"], alone.data) == (200, typed, found[0].body)
    assert int(alone.headers["Content-Length"]) == len(alone.data)
    return [part.body for part in found]


def pixels_of(data: bytes, dataset: Dataset) -> list[bytes]:
    """Return the frames in the pixel data of a file."""
    count = int(dataset.get("NumberOfFrames", 1))
    value = dataset.PixelData
    if dataset.file_meta.TransferSyntaxUID == EXPLICIT_LITTLE:
        size = len(value) // count
        return [value[number * size : (number + 1) * size] for number in range(count)]
    assert dataset["PixelData"].VR == "OB"
    assert data.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    frames = list(generate_frames(value, number_of_frames=count))
    assert all(len(frame) % 2 == 0 for frame in frames)
    return frames


def check_samples(source: SourceSyntax, kind: ImageKind, result: Dataset) -> None:
    """Assert that pydicom decodes the samples of the stored image, and that the attributes describe them."""
    expected = source.samples(kind)
    if result.HighBit != result.BitsStored - 1:  # pydicom does not shift the samples
        assert SOURCES["Explicit LE"].uid == result.file_meta.TransferSyntaxUID
        words = np.frombuffer(result.PixelData, expected.dtype).reshape(expected.shape)
        found = words << (15 - result.HighBit) >> (16 - result.BitsStored)
    else:
        found = pixel_array(result, raw=True).reshape(expected.shape)
    np.testing.assert_array_equal(found, expected)


def check_attributes(source: SourceSyntax, kind: ImageKind, stored: Dataset, result: Dataset) -> None:
    meta = result.file_meta
    assert (meta.ImplementationClassUID, meta.ImplementationVersionName) == (IMPLEMENTATION_CLASS_UID, "BULKHEAD")
    differing = {
        element.keyword for element in [*stored, *result] if stored.get(element.tag) != result.get(element.tag)
    }
    assert differing <= CHANGED
    if source.uid in ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"):
        assert (result.LossyImageCompression, result.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
        assert result.LossyImageCompressionRatio > 0
    else:
        assert "LossyImageCompression" not in result


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_pair(archive: Archive, source: str, target: str) -> None:
    syntax = SOURCES[source]
    for name in syntax.kinds:
        kind, path = KINDS[name], archive.path(source, name)
        if name in REFUSED.get(target, ()):
            for asked, accept in (
                (path, f"application/dicom; transfer-syntax={TARGETS[target]}"),
                (f"{path}/frames/1", FRAME_TYPES[target]),
            ):
                response = archive.client.get(asked, accept)
                assert (response.status_code, response.text.startswith(f"{UNSUPPORTED} ")) == (406, True), name
                assert response.text.endswith(" bits."), name
            continue
        data = file_in(archive.client, path, target)
        result, stored = read(data), read(archive.client.get(path, "application/dicom; transfer-syntax=*").data)
        assert result.file_meta.TransferSyntaxUID == TARGETS[target]
        if (target, name) not in NO_PYDICOM:
            check_samples(syntax, kind, result)
        if syntax.uid == TARGETS[target]:
            continue
        check_attributes(syntax, kind, stored, result)
        numbers = list(range(kind.frames, 0, -1))
        for number, frame in zip(numbers, frames_in(archive.client, path, target, numbers), strict=True):
            whole = pixels_of(data, result)[number - 1]
            assert whole[: len(frame)] == frame, (name, number)
            assert len(whole) - len(frame) in (0, 1)
