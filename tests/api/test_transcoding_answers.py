"""What a transcoded answer is: negotiation, attributes, failures (conformance §4.2, §4.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataelem import DataElement
from pydicom.encaps import parse_basic_offsets

from app.imaging.decoding.decoder import FrameDecoder
from app.services.retrieve import frames as frame_module
from app.services.retrieve import pixel_data, transcoding
from tests.support.background import work
from tests.support.compressed_images import FRAME_TYPES, SOURCES, TARGETS
from tests.support.dicomweb import PartitionClient, parts
from tests.support.images import KINDS, make_compressed, make_image, native_frame, samples_of
from tests.support.instances import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_2000,
    JPEG_BASELINE,
    RLE,
    encapsulated,
    make_instance,
    read,
)

UIDS = {"study": "2.25.1", "series": "2.25.2", "instance": "2.25.3"}
PATH = "/studies/2.25.1/series/2.25.2/instances/2.25.3"
DICOM = "application/dicom"
OCTETS = "application/octet-stream"
RELATED_OCTETS = 'multipart/related; type="application/octet-stream"'
UNSUPPORTED = "The specified transcoding is not supported."
NO_ROWS = "The image has 0 rows and 20 columns."
AROUND = "More than 33554432 bytes are before or after the pixel data."
JPEG_LS = "1.2.840.10008.1.2.4.80"
MPEG2 = "1.2.840.10008.1.2.4.100"
THREE = KINDS["16 bit, 3 frames"]
PADDING = DataElement(0xFFFCFFFC, "OB", b"\0" * 10)
SIGNATURE = DataElement(0xFFFAFFFA, "SQ", [])
OVERLAY_IN_PIXELS = [DataElement(0x60000100, "US", 16), DataElement(0x60000102, "US", 8)]


def to(syntax: str) -> str:
    return f"{DICOM}; transfer-syntax={syntax}"


def stored(clinic: PartitionClient, file: bytes) -> bytes:
    clinic.stored(file)
    return file


def frames_of_three() -> list[bytes]:
    """The frames of an image of three frames, in JPEG-LS."""
    return SOURCES["JPEG-LS"].frames(THREE)


# --- what is answered ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", [DICOM, 'multipart/related; type="application/dicom"'])
@pytest.mark.parametrize(
    ("source", "kind", "answered"),
    [
        ("JPEG-LS", "8 bit odd", EXPLICIT_LITTLE),
        ("JPEG 2000 lossless", "8 bit odd", EXPLICIT_LITTLE),
        ("RLE", "8 bit odd", EXPLICIT_LITTLE),
        ("JPEG Baseline", "8 bit odd", JPEG_BASELINE),
        ("JPEG 2000", "8 bit odd", "1.2.840.10008.1.2.4.91"),
    ],
)
def test_a_file_of_a_lossy_syntax_is_as_stored_if_no_syntax_is_named(
    clinic: PartitionClient, source: str, kind: str, answered: str, accept: str
) -> None:
    file = stored(clinic, SOURCES[source].file(KINDS[kind], **UIDS))
    response = clinic.get(PATH, accept)
    data = response.data if accept == DICOM else parts(response)[0].body
    assert read(data).file_meta.TransferSyntaxUID == answered
    assert (data == file) == (answered != EXPLICIT_LITTLE)


def test_a_lossless_file_that_no_codec_reads_is_as_stored_if_no_syntax_is_named(clinic: PartitionClient) -> None:
    file = stored(clinic, encapsulated([[b"no codestream"]], transfer_syntax=JPEG_LS, **UIDS))
    assert clinic.get(PATH, DICOM).data == file


@pytest.mark.parametrize("source", ["JPEG Baseline", "JPEG-LS", "RLE"])
def test_frames_are_decoded_if_no_syntax_is_named(clinic: PartitionClient, source: str) -> None:
    kind = KINDS["8 bit odd"]
    clinic.stored(SOURCES[source].file(kind, **UIDS))
    (part,) = parts(clinic.get(f"{PATH}/frames/1", RELATED_OCTETS))
    assert part.content_type == f"{OCTETS}; transfer-syntax={EXPLICIT_LITTLE}"
    assert part.body == SOURCES[source].samples(kind).tobytes()


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("image/jp2, image/jls, application/octet-stream; q=0.9", JPEG_LS),
        ("image/jp2, image/dicom-rle", RLE),
        ("image/jp2, application/octet-stream", EXPLICIT_LITTLE),
        ("image/jp2, application/octet-stream; q=0.5", JPEG_2000),
        ("image/png, image/jp2; q=0.1", JPEG_2000),
    ],
)
def test_an_accept_list_prefers_the_stored_form_and_then_the_cheapest(
    clinic: PartitionClient, accept: str, answered: str
) -> None:
    clinic.stored(SOURCES["JPEG-LS"].file(KINDS["8 bit odd"], **UIDS))
    response = clinic.get(f"{PATH}/frames/1", accept)
    assert response.headers["Content-Type"].endswith(f"; transfer-syntax={answered}")


def test_an_entry_that_no_codec_can_answer_is_followed_by_the_next(clinic: PartitionClient) -> None:
    clinic.stored(make_image(KINDS["32 bit"], **UIDS))
    response = clinic.get(PATH, f"{to(JPEG_LS)}, {to(RLE)}; q=0.5")
    assert read(response.data).file_meta.TransferSyntaxUID == RLE


def test_a_transcoded_answer_has_neither_ranges_nor_a_digest(clinic: PartitionClient) -> None:
    clinic.stored(make_image(KINDS["16 bit"], **UIDS))
    for path, accept in ((PATH, to(RLE)), (f"{PATH}/frames/1", "image/dicom-rle")):
        response = clinic.get(path, accept, Range="bytes=0-3")
        assert response.status_code == 200
        assert not {"Accept-Ranges", "Repr-Digest", "Content-Digest", "ETag"} & set(response.headers.keys())


def test_the_original_version_is_transcoded(clinic: PartitionClient) -> None:
    clinic.stored(SOURCES["RLE"].file(KINDS["16 bit, 3 frames"], PatientID="before", **UIDS))
    body = {
        "studyInstanceUids": ["2.25.1"],
        "changeDataset": {"00100020": {"vr": "LO", "Value": ["after"]}},
    }
    assert clinic.client.post(f"{clinic.prefix}/studies/$bulkUpdate", json=body).status_code == 202
    work(clinic.client)
    current = read(clinic.get(PATH, to(EXPLICIT_LITTLE)).data)
    original = read(clinic.get(PATH, to(EXPLICIT_LITTLE), msdicom_request_original="true").data)
    assert (current.PatientID, original.PatientID) == ("after", "before")
    assert current.PixelData == original.PixelData == SOURCES["RLE"].samples(THREE).tobytes()


# --- attributes and structure -------------------------------------------------------------------------------------


def test_offset_tables_of_one_frame_and_of_several(clinic: PartitionClient) -> None:
    """Each frame is one fragment. The table of one frame is complete, that of several is empty."""
    clinic.stored(make_image(KINDS["16 bit odd"], **UIDS), make_image(THREE, study="2.25.1", instance="2.25.9"))
    single = clinic.get(PATH, to(RLE))
    assert int(single.headers["Content-Length"]) == len(single.data)
    assert parse_basic_offsets(read(single.data).PixelData) == [0]
    several = clinic.get(
        PATH.replace("2.25.3", "2.25.9").replace("series/2.25.2", series_of(clinic, "2.25.9")), to(RLE)
    )
    assert parse_basic_offsets(read(several.data).PixelData) == []


def series_of(clinic: PartitionClient, instance: str) -> str:
    (found,) = clinic.get(f"/instances?SOPInstanceUID={instance}").get_json(force=True)
    return f"series/{found['0020000E']['Value'][0]}"


@pytest.mark.parametrize("target", ["Explicit LE", "RLE"])
@pytest.mark.parametrize("source", ["Implicit LE", "Explicit BE", "Deflated", "JPEG-LS"])
def test_elements_after_the_pixel_data_are_kept(clinic: PartitionClient, source: str, target: str) -> None:
    file = SOURCES[source].file(THREE, extra=[PADDING, SIGNATURE], **UIDS)
    clinic.stored(file)
    response = clinic.get(PATH, to(TARGETS[target]))
    result = read(response.data)
    assert [element.tag for element in result][-3:] == [0x7FE00010, SIGNATURE.tag, PADDING.tag]
    assert result[PADDING.tag].value == PADDING.value
    if target == "Explicit LE" and source != "Deflated":
        assert int(response.headers["Content-Length"]) == len(response.data)


def test_an_extended_offset_table_is_left_out(clinic: PartitionClient) -> None:
    clinic.stored(make_compressed(THREE, frames_of_three(), JPEG_LS, table="extended", **UIDS))
    for target in (EXPLICIT_LITTLE, RLE):
        result = read(clinic.get(PATH, to(target)).data)
        assert "ExtendedOffsetTable" not in result
        assert "ExtendedOffsetTableLengths" not in result
    assert "ExtendedOffsetTable" in read(clinic.get(PATH, to("*")).data)


def test_a_wrong_number_of_frames_is_corrected(clinic: PartitionClient) -> None:
    clinic.stored(make_compressed(THREE, frames_of_three(), JPEG_LS, **(UIDS | {"NumberOfFrames": "7"})))
    for target in (EXPLICIT_LITTLE, RLE):
        assert read(clinic.get(PATH, to(target)).data).NumberOfFrames == 3


def test_the_lossy_history_is_kept(clinic: PartitionClient) -> None:
    history = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": ["4.5", "10"],
        "LossyImageCompressionMethod": ["ISO_15444_1", "ISO_10918_1"],
    }
    clinic.stored(SOURCES["JPEG Baseline"].file(KINDS["8 bit"], **history, **UIDS))
    result = read(clinic.get(PATH, to(EXPLICIT_LITTLE)).data)
    assert result.LossyImageCompression == "01"
    assert list(result.LossyImageCompressionRatio) == [4.5, 10]
    assert list(result.LossyImageCompressionMethod) == ["ISO_15444_1", "ISO_10918_1"]
    assert result.SOPInstanceUID == "2.25.3"


@pytest.mark.parametrize(("kind", "vr"), [("8 bit odd", "OB"), ("16 bit, 3 frames", "OW")])
def test_the_vr_of_uncompressed_pixels(clinic: PartitionClient, kind: str, vr: str) -> None:
    clinic.stored(SOURCES["RLE"].file(KINDS[kind], **UIDS))
    result = read(clinic.get(PATH, to(EXPLICIT_LITTLE)).data)
    assert str(result["PixelData"].VR) == vr
    assert len(result.PixelData) % 2 == 0


def test_signed_attributes_keep_their_vr(clinic: PartitionClient) -> None:
    kind = KINDS["16 bit signed"]
    values = {"SmallestImagePixelValue": DataElement(0x00280106, "SS", -5), "PixelPaddingValue": b"\xfe\xff"}
    values["PixelPaddingValue"] = DataElement(0x00280120, "SS", -2)
    clinic.stored(make_image(kind, transfer_syntax=IMPLICIT_LITTLE, **values, **UIDS))
    for target in (EXPLICIT_LITTLE, RLE):
        result = read(clinic.get(PATH, to(target)).data)
        assert (result["SmallestImagePixelValue"].VR, result.SmallestImagePixelValue) == ("SS", -5)
        assert (result["PixelPaddingValue"].VR, result.PixelPaddingValue) == ("SS", -2)


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE])
def test_float_pixels_are_given_uncompressed_only(clinic: PartitionClient, syntax: str) -> None:
    if syntax == EXPLICIT_BIG:
        data = samples_of(KINDS["float"]).byteswap().tobytes()
        clinic.stored(make_image(KINDS["float"], transfer_syntax=syntax, FloatPixelData=data, **UIDS))
    else:
        clinic.stored(make_image(KINDS["float"], transfer_syntax=syntax, **UIDS))
    result = read(clinic.get(PATH, to(EXPLICIT_LITTLE)).data)
    assert result.FloatPixelData == samples_of(KINDS["float"]).tobytes()
    for target, name in ((RLE, "RLE Lossless"), (JPEG_2000, "JPEG 2000 Lossless")):
        response = clinic.get(PATH, to(target))
        reason = f"{name} holds no floating point samples."
        assert (response.status_code, response.text) == (406, f"{UNSUPPORTED} {reason}")


# --- what cannot be transcoded ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda: encapsulated([[b"a video"]], transfer_syntax=MPEG2, **UIDS),
            f"Frames of the transfer syntax {MPEG2} cannot be decoded.",
        ),
        (
            lambda: make_compressed(KINDS["8 bit"], [b"\xff\xd8"], JPEG_BASELINE, extra=OVERLAY_IN_PIXELS, **UIDS),
            "An overlay is in bits of the pixels that samples do not use.",
        ),
        (
            lambda: encapsulated([[b"a"], [b"b"], [b"c"]], table="none", **(UIDS | {"NumberOfFrames": "2"})),
            "The instance has no frames that can be separated.",
        ),
        (lambda: make_compressed(KINDS["8 bit"], [b"\xff\xd8"], JPEG_BASELINE, **UIDS, Rows=0), NO_ROWS),
    ],
)
def test_what_cannot_be_transcoded_is_406(clinic: PartitionClient, make: Callable[[], bytes], reason: str) -> None:
    file = stored(clinic, make())
    for target in TARGETS.values():
        response = clinic.get(PATH, to(target))
        assert (response.status_code, response.text) == (406, f"{UNSUPPORTED} {reason}")
    assert clinic.get(PATH, DICOM).data == file


@pytest.mark.parametrize("target", ["RLE", "JPEG 2000"])
def test_packed_bits_are_not_compressed(clinic: PartitionClient, target: str) -> None:
    clinic.stored(make_image(KINDS["1 bit odd, 3 frames"], **UIDS))
    for path, accept in ((PATH, to(TARGETS[target])), (f"{PATH}/frames/2", FRAME_TYPES[target])):
        response = clinic.get(path, accept)
        reason = f"{target} Lossless holds no samples of 1 bits."
        assert (response.status_code, response.text) == (406, f"{UNSUPPORTED} {reason}")


def test_a_frame_over_the_limit_is_406(clinic: PartitionClient, monkeypatch: pytest.MonkeyPatch) -> None:
    clinic.stored(make_image(KINDS["16 bit"], **UIDS))
    size = 16 * 20 * 2
    for limit, status in ((size, 200), (size - 1, 406)):
        for module in (frame_module, transcoding):
            monkeypatch.setattr(module, "MAX_FRAME_BYTES", limit)
        assert clinic.get(PATH, to(RLE)).status_code == status
        assert clinic.get(f"{PATH}/frames/1", "image/dicom-rle").status_code == status


def test_pixels_that_do_not_fit_one_value_are_406(clinic: PartitionClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uncompressed pixel data has a length of 32 bits. Its frames are given one by one."""
    clinic.stored(SOURCES["JPEG-LS"].file(THREE, **UIDS))
    size = 3 * 16 * 20 * 2
    for limit, status in ((size, 200), (size - 1, 406)):
        monkeypatch.setattr(pixel_data, "MAX_VALUE_BYTES", limit)
        for method in (clinic.client.get, clinic.client.head):
            response = method(clinic.prefix + PATH, headers={"Accept": to(EXPLICIT_LITTLE)})
            assert response.status_code == status
    assert clinic.get(PATH, to(RLE)).status_code == 200
    assert clinic.get(f"{PATH}/frames/3", OCTETS).status_code == 200


@pytest.mark.parametrize("source", ["Implicit LE", "JPEG-LS"])
def test_what_is_around_the_pixels_over_the_limit(
    clinic: PartitionClient, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """An uncompressed file is rewritten in another way then. Only the length of the answer is unknown."""
    clinic.stored(SOURCES[source].file(THREE, extra=[DataElement(0xFFFCFFFC, "OB", b"\0" * 600)], **UIDS))
    for limit in (599, 10):
        monkeypatch.setattr(transcoding, "MAX_AROUND", limit)
        response = clinic.get(PATH, to(EXPLICIT_LITTLE))
        if source == "JPEG-LS":
            assert (response.status_code, response.text) == (406, f"{UNSUPPORTED} {AROUND}")
        else:
            assert "Content-Length" not in response.headers
            assert read(response.data).PixelData == SOURCES[source].samples(THREE).tobytes()


@pytest.mark.parametrize(("numbers", "status"), [("1,4", 404), ("4", 404), ("3,1", 200)])
def test_a_frame_beyond_the_last(clinic: PartitionClient, numbers: str, status: int) -> None:
    clinic.stored(make_image(THREE, **UIDS))
    response = clinic.get(f"{PATH}/frames/{numbers}", 'multipart/related; type="image/dicom-rle"')
    assert response.status_code == status


# --- damaged frames -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["Explicit LE", "RLE"])
def test_a_damaged_first_frame_is_406(clinic: PartitionClient, target: str) -> None:
    clinic.stored(make_compressed(THREE, [b"no codestream", *frames_of_three()[1:]], JPEG_LS, **UIDS))
    for path, accept in (
        (PATH, to(TARGETS[target])),
        (f"{PATH}/frames/1,2", f'multipart/related; type="{FRAME_TYPES[target]}"'),
    ):
        for method in (clinic.client.get, clinic.client.head):
            response = method(clinic.prefix + path, headers={"Accept": accept})
            assert response.status_code == 406
        assert clinic.get(path, accept).text.startswith(f"{UNSUPPORTED} ")
    assert clinic.get(f"{PATH}/frames/2", FRAME_TYPES[target]).status_code == 200


@pytest.mark.parametrize("target", ["Explicit LE", "RLE"])
def test_a_damaged_later_frame_breaks_the_connection(clinic: PartitionClient, target: str) -> None:
    """The answer has begun. Its body ends with an error, never as a shorter file."""
    frames = frames_of_three()
    clinic.stored(make_compressed(THREE, [frames[0], frames[1], b"no codestream"], JPEG_LS, **UIDS))
    response = clinic.get(PATH, to(TARGETS[target]))
    assert response.status_code == 200
    received = b""
    with pytest.raises(Exception, match=UNSUPPORTED):
        for chunk in response.iter_encoded():
            received += chunk
    assert received.startswith(bytes(128) + b"DICM")
    assert b"\xfe\xff\xdd\xe0" not in received[-16:]


def test_frames_of_different_sizes_break_the_connection(
    clinic: PartitionClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The length of a file of uncompressed pixels is computed from its first frame."""
    clinic.stored(SOURCES["JPEG-LS"].file(THREE, **UIDS))
    transcode, calls = FrameDecoder.transcode, []

    def shorter(self: FrameDecoder, *arguments: Any) -> Any:
        found = transcode(self, *arguments)
        calls.append(found)
        return type(found)(data=found.data[: -2 * len(calls)], photometric=found.photometric, planar=found.planar)

    monkeypatch.setattr(FrameDecoder, "transcode", shorter)
    response = clinic.get(PATH, to(EXPLICIT_LITTLE))
    with pytest.raises(Exception, match="different forms"):
        b"".join(response.iter_encoded())


def test_a_compressed_frame_of_several_fragments(clinic: PartitionClient) -> None:
    (frame,) = SOURCES["JPEG-LS"].frames(KINDS["16 bit"])
    fragments = [frame[:100], frame[100:200], frame[200:]]
    attributes: dict[str, Any] = {"BitsStored": 16, "HighBit": 15, "rows": 16, "columns": 20, **UIDS}
    clinic.stored(encapsulated([fragments], transfer_syntax=JPEG_LS, **attributes))
    result = read(clinic.get(PATH, to(EXPLICIT_LITTLE)).data)
    assert result.PixelData == native_frame(KINDS["16 bit"], samples_of(KINDS["16 bit"]))


def test_a_file_without_pixels_has_no_compressed_form(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(pixel=False, transfer_syntax=IMPLICIT_LITTLE, **UIDS))
    assert clinic.get(PATH, to(RLE)).status_code == 406
    assert clinic.get(PATH, to(EXPLICIT_LITTLE)).status_code == 200
