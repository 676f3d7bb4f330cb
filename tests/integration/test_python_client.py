"""dicomweb-client for Python: store, retrieve, frames, search and pictures."""

from __future__ import annotations

import numpy as np
import pytest
from dicomweb_client import DICOMwebClient
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID

from tests.support.instances import CT_STORAGE, EXPLICIT_LITTLE, JPEG_BASELINE, encapsulated, read, uid
from tests.support.pictures import gradient, gray_image, pixels_of

pytestmark = pytest.mark.integration


@pytest.fixture
def client(clinic: str) -> DICOMwebClient:
    """The client of an empty partition."""
    return DICOMwebClient(clinic)


def in_memory(study: str, patient_id: str) -> Dataset:
    """Return a dataset that was not read from a file. dicomweb-client sends it without preamble."""
    dataset = Dataset()
    dataset.SOPClassUID = UID(CT_STORAGE)
    dataset.SOPInstanceUID = UID(uid())
    dataset.StudyInstanceUID = UID(study)
    dataset.SeriesInstanceUID = UID(uid())
    dataset.PatientID = patient_id
    dataset.PatientName = "Doe^Jane"
    dataset.Modality = "CT"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
    return dataset


def compressed(study: str) -> Dataset:
    """Return an instance of two JPEG frames of study `study`."""
    return read(encapsulated([[b"first frame!"], [b"second frame"]], study=study, series="2.25.2"))


def test_datasets_in_memory_are_stored_found_and_retrieved(client: DICOMwebClient) -> None:
    datasets = [in_memory("2.25.1", "P1"), in_memory("2.25.1", "P1"), in_memory("2.25.9", "P9")]
    answer = client.store_instances(datasets)
    assert len(answer.ReferencedSOPSequence) == 3
    assert "FailedSOPSequence" not in answer

    (found,) = client.search_for_studies(search_filters={"PatientID": "P1"})
    assert found["0020000D"]["Value"] == ["2.25.1"]
    assert len(client.search_for_series("2.25.1")) == 2
    assert len(client.search_for_instances(search_filters={"PatientName": "Doe^*"})) == 3
    by_instance = {each.SOPInstanceUID: each for each in client.retrieve_study("2.25.1")}
    assert by_instance == {each.SOPInstanceUID: each for each in datasets[:2]}


@pytest.mark.parametrize("number", [1, 2])
def test_compressed_instances_are_retrieved_as_stored(client: DICOMwebClient, number: int) -> None:
    datasets = [compressed("2.25.1") for _ in range(number)]
    client.store_instances(datasets)
    retrieved = {each.SOPInstanceUID: each for each in client.retrieve_study("2.25.1")}
    assert retrieved == {each.SOPInstanceUID: each for each in datasets}
    assert {each.file_meta.TransferSyntaxUID for each in retrieved.values()} == {JPEG_BASELINE}


def test_frames_are_retrieved_in_the_stored_transfer_syntax(client: DICOMwebClient) -> None:
    instance = compressed("2.25.1")
    client.store_instances([instance])
    uids = (instance.StudyInstanceUID, instance.SeriesInstanceUID, instance.SOPInstanceUID)
    for media_type in (("image/jpeg", JPEG_BASELINE), ("application/octet-stream", "*")):
        frames = client.retrieve_instance_frames(*uids, frame_numbers=[2, 1], media_types=(media_type,))
        assert frames == [b"second frame", b"first frame!"]


def test_pictures_of_an_instance_its_frames_and_its_series(client: DICOMwebClient) -> None:
    first, second = gradient(40, 60), gradient(40, 60, 50)
    uids = ("2.25.1", "2.25.2", "2.25.3")
    client.store_instances([read(gray_image(first, second, study=uids[0], series=uids[1], instance=uids[2]))])
    png = ("image/png",)

    assert np.array_equal(pixels_of(client.retrieve_instance_rendered(*uids, media_types=png)), first)
    assert np.array_equal(pixels_of(client.retrieve_series_rendered(*uids[:2], media_types=png)), first)
    assert np.array_equal(pixels_of(client.retrieve_instance_frames_rendered(*uids, [2], media_types=png)), second)
    assert np.abs(pixels_of(client.retrieve_instance_rendered(*uids)) - first).max() <= 3  # a JPEG
    scaled = client.retrieve_instance_rendered(
        *uids, media_types=png, params={"viewport": "30,20", "window": "128,256,linear", "quality": 50}
    )
    assert np.abs(pixels_of(scaled) - first.reshape(20, 2, 30, 2).mean(axis=(1, 3))).max() <= 3
    animation = client.retrieve_instance_rendered(*uids, media_types=("image/gif",))
    assert animation.startswith(b"GIF89a")
    several = client.retrieve_instance_frames_rendered(*uids, [2, 1])
    assert several.count(b"Content-Type: image/jpeg") == 2


def reachable(client: DICOMwebClient, uri: str) -> str:
    """Return a BulkDataURI with the host and the port of the service.

    The client sends the host without a port, and so the URLs have none. BULKHEAD_PUBLIC_URL mends that.
    """
    return f"{client.base_url}/studies/{uri.partition('/studies/')[2]}"


def test_bulk_data_is_read_by_the_urls_of_metadata(client: DICOMwebClient) -> None:
    dataset = in_memory("2.25.1", "P1")
    values = {"00281201": bytes(range(256)) * 4, "00282000": bytes(range(255, -1, -1)) * 8}
    dataset.RedPaletteColorLookupTableData, dataset.ICCProfile = values.values()
    image = compressed("2.25.1")
    client.store_instances([dataset, image])
    found = {each["00080018"]["Value"][0]: each for each in client.retrieve_study_metadata("2.25.1")}

    for tag, value in values.items():
        uri = reachable(client, found[dataset.SOPInstanceUID][tag]["BulkDataURI"])
        assert client.retrieve_bulkdata(uri) == [value]
        assert list(client.iter_bulkdata(uri, media_types=("application/octet-stream",))) == [value]
        assert client.retrieve_bulkdata(uri, byte_range=(10, 29)) == [value[10:30]]
    frames = client.retrieve_bulkdata(reachable(client, found[image.SOPInstanceUID]["7FE00010"]["BulkDataURI"]))
    assert frames == [b"first frame!", b"second frame"]
