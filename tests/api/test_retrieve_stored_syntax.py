"""Files and frames in the transfer syntax in which they are stored (conformance §4.2, §4.3, §4.6)."""

from __future__ import annotations

import pytest

from app.web.negotiation.frame_media_types import FRAME_MEDIA_TYPES
from tests.support.dicomweb import Part, PartitionClient, parts
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
)

STUDY, SERIES, INSTANCE = "2.25.1", "2.25.2", "2.25.3"
UIDS = {"study": STUDY, "series": SERIES, "instance": INSTANCE}
PATHS = {
    "study": f"/studies/{STUDY}",
    "series": f"/studies/{STUDY}/series/{SERIES}",
    "instance": f"/studies/{STUDY}/series/{SERIES}/instances/{INSTANCE}",
}
FRAMES = PATHS["instance"] + "/frames"
DICOM = "application/dicom"
OCTETS = "application/octet-stream"
UNACCEPTABLE = "The request headers are not acceptable"
UNSUPPORTED = "The specified transcoding is not supported."
UNKNOWN = "1.2.840.10008.1.2.4.999"
MPEG2 = "1.2.840.10008.1.2.4.100"
NATIVE = (IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE)
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
COMPRESSED = [syntax for syntaxes in FRAME_MEDIA_TYPES.values() for syntax in syntaxes]
OWN_TYPES = [(media_type, syntax) for media_type, syntaxes in FRAME_MEDIA_TYPES.items() for syntax in syntaxes]
PICTURES = [b"\xff\xd8 one\xff\xd9..", b"\xff\xd8 two\xff\xd9.."]
PATHOLOGY = ", ".join(
    f'multipart/related; type="{media_type}"; transfer-syntax={syntax}'
    for media_type, syntax in [
        ("image/jls", "1.2.840.10008.1.2.4.80"),
        ("image/jls", "1.2.840.10008.1.2.4.81"),
        ("image/jp2", "1.2.840.10008.1.2.4.90"),
        ("image/jp2", "1.2.840.10008.1.2.4.91"),
        ("image/jpx", "1.2.840.10008.1.2.4.92"),
        ("image/jpx", "1.2.840.10008.1.2.4.93"),
        ("application/octet-stream", "*"),
        ("image/jpeg", "1.2.840.10008.1.2.4.50"),
    ]
)
"""What the microscopy viewer of OHIF sends."""


def related(media_type: str, syntax: str | None = None) -> str:
    return f'multipart/related; type="{media_type}"' + (f"; transfer-syntax={syntax}" if syntax else "")


def compressed(syntax: str, **uids: str) -> bytes:
    written = MPEG2 if len(syntax) == len(MPEG2) else syntax  # pydicom knows no JPEG XL
    file = encapsulated([[each] for each in PICTURES], transfer_syntax=written, **(UIDS | uids))
    return file.replace(written.encode(), syntax.encode())


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", PATHS)
def test_a_file_in_its_stored_syntax_by_uid(clinic: PartitionClient, level: str) -> None:
    for number, syntax in enumerate([*COMPRESSED, UNKNOWN, *NATIVE]):
        uids = {name: f"{uid}.{number}" for name, uid in UIDS.items()}
        file = make_instance(**uids, transfer_syntax=syntax) if syntax in NATIVE else compressed(syntax, **uids)
        clinic.stored(file)
        path = "/".join(f"{each}.{number}" if each.startswith("2.25") else each for each in PATHS[level].split("/"))
        typed = f"{DICOM}; transfer-syntax={syntax}"
        for accept in (related(DICOM, syntax), related("*/*", f'"{syntax}"')):
            response = clinic.get(path, accept)
            assert response.status_code == 200, (syntax, response.text)
            assert parts(response) == [Part(typed, file)]
        response = clinic.get(path, typed)
        if level == "instance":
            assert (response.status_code, response.headers["Content-Type"], response.data) == (200, typed, file)
        else:
            assert (response.status_code, response.text) == (406, UNACCEPTABLE)


@pytest.mark.parametrize("accept", [DICOM, related(DICOM)])
@pytest.mark.parametrize("syntax", [JPEG_BASELINE, JPEG_2000, JPEG_LS, RLE, UNKNOWN])
def test_one_compressed_file_if_no_syntax_is_named(clinic: PartitionClient, syntax: str, accept: str) -> None:
    file = compressed(syntax)
    clinic.stored(file)
    typed = f"{DICOM}; transfer-syntax={syntax}"
    response = clinic.get(PATHS["instance"], accept)
    assert response.status_code == 200, response.text
    if accept == DICOM:
        assert (response.headers["Content-Type"], response.data) == (typed, file)
    else:
        assert parts(response) == [Part(typed, file)]


@pytest.mark.parametrize("level", ["study", "series"])
def test_one_compressed_file_is_answered_as_two(clinic: PartitionClient, level: str) -> None:
    one, two = compressed(JPEG_BASELINE), compressed(JPEG_LS, instance="2.25.4")
    clinic.stored(one)
    assert [part.body for part in parts(clinic.get(PATHS[level], related(DICOM)))] == [one]
    clinic.stored(two)
    assert [part.body for part in parts(clinic.get(PATHS[level], related(DICOM)))] == [one, two]


def test_a_compressed_file_whose_frames_cannot_be_told_apart(clinic: PartitionClient) -> None:
    file = encapsulated([[b"neither"], [b"a table"], [b"nor a"], [b"start"]], table="none", **UIDS, NumberOfFrames="3")
    clinic.stored(file)
    assert [part.body for part in parts(clinic.get(PATHS["study"], related(DICOM)))] == [file]


def test_several_files_in_their_common_syntax(clinic: PartitionClient) -> None:
    files = [compressed(JPEG_LS), compressed(JPEG_LS, instance="2.25.4")]
    clinic.stored(*files)
    assert [part.body for part in parts(clinic.get(PATHS["study"], related(DICOM, JPEG_LS)))] == files
    clinic.stored(compressed(RLE, instance="2.25.5"))
    response = clinic.get(PATHS["study"], related(DICOM, JPEG_LS))
    assert response.status_code == 406
    assert response.text.startswith(f"Accept transfer syntax '{JPEG_LS}' is not supported when multiple instances are")


@pytest.mark.parametrize("accept", ["{}; transfer-syntax={}", 'multipart/related; type="{}"; transfer-syntax={}'])
def test_another_syntax_than_the_stored_one(clinic: PartitionClient, accept: str) -> None:
    clinic.stored(compressed(JPEG_BASELINE))
    for syntax in (JPEG_LOSSLESS, IMPLICIT_LITTLE, EXPLICIT_BIG):
        response = clinic.get(PATHS["instance"], accept.format(DICOM, syntax))
        assert (response.status_code, response.text) == (406, UNACCEPTABLE)
    for syntax in (JPEG_LS, JPEG_2000, EXPLICIT_LITTLE, RLE):
        response = clinic.get(PATHS["instance"], accept.format(DICOM, syntax))
        assert (response.status_code, response.text.startswith(UNSUPPORTED)) == (406, True)


def test_the_best_entry_that_the_file_can_answer(clinic: PartitionClient) -> None:
    file = compressed(JPEG_BASELINE)
    clinic.stored(file)
    accept = f"{DICOM}; transfer-syntax={JPEG_LOSSLESS}, {related(DICOM, JPEG_BASELINE)}; q=0.5, {DICOM}; q=0.1"
    assert parts(clinic.get(PATHS["instance"], accept)) == [Part(f"{DICOM}; transfer-syntax={JPEG_BASELINE}", file)]


# --- frames -------------------------------------------------------------------------------------------------------


def test_frames_in_their_stored_syntax(clinic: PartitionClient) -> None:
    """The syntax is named by its UID, by `*`, or by a media type alone. The answer is multipart or a single part."""
    for media_type, syntax in [*OWN_TYPES, *((OCTETS, syntax) for syntax in (*COMPRESSED, UNKNOWN))]:
        clinic.stored(compressed(syntax))
        typed = f"{media_type}; transfer-syntax={syntax}"
        for named in (syntax, "*") if media_type == OCTETS else (syntax, "*", None):
            response = clinic.get(f"{FRAMES}/2,1", related(media_type, named))
            assert response.status_code == 200, (media_type, syntax, named, response.text)
            assert parts(response) == [Part(typed, PICTURES[1]), Part(typed, PICTURES[0])]
            response = clinic.get(f"{FRAMES}/2", f"{media_type}; transfer-syntax={named}" if named else media_type)
            assert (response.status_code, response.headers["Content-Type"], response.data) == (200, typed, PICTURES[1])
        assert clinic.delete(PATHS["instance"]).status_code == 204


def test_a_range_of_media_types_is_answered_in_that_of_the_stored_syntax(clinic: PartitionClient) -> None:
    clinic.stored(compressed(JPEG_LS))
    response = clinic.get(f"{FRAMES}/1", "image/*")
    assert (response.headers["Content-Type"], response.data) == (f"image/jls; transfer-syntax={JPEG_LS}", PICTURES[0])
    assert clinic.get(f"{FRAMES}/1", "video/*").status_code == 406


@pytest.mark.parametrize(
    ("accept", "text"),
    [
        (related("image/jls", "1.2.840.10008.1.2.4.81"), UNACCEPTABLE),
        (related("image/jpeg", JPEG_LOSSLESS), UNACCEPTABLE),
        (related("image/jpeg", JPEG_LS), UNACCEPTABLE),
        (related(OCTETS, JPEG_LS), UNACCEPTABLE),
        (related("image/jp2"), UNSUPPORTED),
        (related("image/jls"), UNSUPPORTED),
        (related(OCTETS), UNSUPPORTED),
        (f"{related('image/jls')}, {related(OCTETS)}", UNSUPPORTED),
    ],
)
def test_frames_that_no_codec_reads(clinic: PartitionClient, accept: str, text: str) -> None:
    clinic.stored(compressed(JPEG_BASELINE))
    response = clinic.get(f"{FRAMES}/1", accept)
    assert (response.status_code, response.text.startswith(text)) == (406, True)


@pytest.mark.parametrize("syntax", [JPEG_BASELINE, JPEG_LS, EXPLICIT_LITTLE])
def test_the_entry_for_as_stored_wins_among_those_of_a_pathology_viewer(clinic: PartitionClient, syntax: str) -> None:
    clinic.stored(make_instance(**UIDS) if syntax == EXPLICIT_LITTLE else compressed(syntax))
    (part,) = parts(clinic.get(f"{FRAMES}/1", PATHOLOGY))
    assert part.content_type == f"{OCTETS}; transfer-syntax={syntax}"


@pytest.mark.parametrize(
    ("syntax", "media_type"), [(JPEG_BASELINE, "image/jpeg"), (JPEG_2000, "image/jp2"), (JPEG_LS, "image/jls")]
)
def test_a_viewer_that_prefers_media_types_gets_that_of_the_stored_syntax(
    clinic: PartitionClient, syntax: str, media_type: str
) -> None:
    clinic.stored(compressed(syntax))
    accept = PATHOLOGY.replace("transfer-syntax=*", "transfer-syntax=*; q=0.9")
    (part,) = parts(clinic.get(f"{FRAMES}/1", accept))
    assert part == Part(f"{media_type}; transfer-syntax={syntax}", PICTURES[0])


# --- order of the checks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/metadata", "/series/1.2.", "/series/1/instances/2/frames/1", "/series"])
def test_accept_is_checked_before_uids(clinic: PartitionClient, path: str) -> None:
    assert clinic.get(f"/studies/a.b{path}", "text/html").status_code == 406
    assert clinic.get(f"/studies/a.b{path}").status_code == 400


def test_a_syntax_that_is_no_uid_is_refused_before_uids_are_checked(clinic: PartitionClient) -> None:
    assert clinic.get("/studies/a.b", related(DICOM, "nonsense")).status_code == 406
    assert clinic.get("/studies/a.b", related(DICOM, "1.2.3")).status_code == 400
