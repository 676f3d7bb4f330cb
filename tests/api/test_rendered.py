"""Rendered resources: levels, media types, parameters, conditions and failures (conformance §4.10, PS3.18 §8.3.5)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app import bootstrap
from tests.conftest import Serve
from tests.support.dicomweb import PartitionClient
from tests.support.instances import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    IMPLICIT_LITTLE,
    RLE,
    encapsulated,
    make_instance,
    uid,
)
from tests.support.pictures import IDENTITY, colour_image, gradient, gray_image, picture, picture_parts, pixels_of

STUDY, SERIES, INSTANCE = "2.25.71", "2.25.72", "2.25.73"
UIDS: dict[str, Any] = {"study": STUDY, "series": SERIES, "instance": INSTANCE}
SERIES_PATH = f"/studies/{STUDY}/series/{SERIES}"
PATH = f"{SERIES_PATH}/instances/{INSTANCE}"
RENDERED = f"{PATH}/rendered"
UNACCEPTABLE = "The request headers are not acceptable"
FAILURE = "An error was encountered when attempting to convert the dicom file into an image"
FRAME = gradient(40, 60)
JPEG, PNG, GIF, WEBP, JP2 = "image/jpeg", "image/png", "image/gif", "image/webp", "image/jp2"
WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
RT_PLAN = "1.2.840.10008.5.1.4.1.1.481.5"
MULTIPART = 'multipart/related; type="image/png"'

on_one_engine = pytest.mark.parametrize("settings", ["embedded"], indirect=True)
"""For what does not depend on the engine."""


# --- levels -------------------------------------------------------------------------------------------------------


def test_each_level_gives_the_picture(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    for path in (f"/studies/{STUDY}", SERIES_PATH, PATH, f"{PATH}/frames/1"):
        assert np.array_equal(picture(clinic.get(f"{path}/rendered", PNG)), FRAME)


@on_one_engine
@pytest.mark.parametrize("syntax", [IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED_LITTLE])
def test_uncompressed_syntaxes_give_the_picture(clinic: PartitionClient, syntax: str) -> None:
    order = ">u2" if syntax == EXPLICIT_BIG else "<u2"
    stored = np.stack([FRAME, FRAME[::-1]]).astype(order).tobytes()
    described = {"rows": 40, "columns": 60, "frames": 2, "pixel": stored, **IDENTITY}
    clinic.stored(make_instance(**UIDS, **described, transfer_syntax=syntax))
    assert np.array_equal(picture(clinic.get(f"{PATH}/frames/2/rendered", PNG)), FRAME[::-1])


@on_one_engine
def test_a_frame_of_many_is_the_one_that_was_asked_for(clinic: PartitionClient) -> None:
    frames = [gradient(5, 7, start) for start in range(12)]
    clinic.stored(gray_image(*frames, **UIDS))
    for number in (1, 7, 12):
        assert np.array_equal(picture(clinic.get(f"{PATH}/frames/{number}/rendered", PNG)), frames[number - 1])
    assert np.array_equal(picture(clinic.get(RENDERED, PNG)), frames[0])


@on_one_engine
def test_the_study_is_shown_by_the_middle_of_its_largest_series(clinic: PartitionClient) -> None:
    small, large = uid(), uid()
    for start in (1, 2):
        clinic.stored(gray_image(gradient(9, 9, start), study=STUDY, series=small))
    for start in range(10, 15):
        clinic.stored(gray_image(gradient(9, 9, start), study=STUDY, series=large))
    for _ in range(6):  # more, but they have no image
        clinic.stored(make_instance(study=STUDY, pixel=False))
    assert np.array_equal(picture(clinic.get(f"/studies/{STUDY}/rendered", PNG)), gradient(9, 9, 12))
    assert np.array_equal(picture(clinic.get(f"/studies/{STUDY}/series/{small}/rendered", PNG)), gradient(9, 9, 2))


@pytest.mark.parametrize("path", [f"/studies/{STUDY}/rendered", f"{SERIES_PATH}/rendered"])
def test_multipart_has_each_instance_in_the_order_of_storing(clinic: PartitionClient, path: str) -> None:
    instances = [uid() for _ in range(4)]
    for start, instance in enumerate(instances):
        clinic.stored(gray_image(gradient(6, 6, start), study=STUDY, series=SERIES, instance=instance))
    found = picture_parts(clinic.get(path, MULTIPART))
    assert [part.headers["Content-Type"] for part in found] == [PNG] * 4
    prefix = f"http://localhost/v2/partitions/clinic-a{SERIES_PATH}/instances"
    assert [part.headers["Content-Location"] for part in found] == [f"{prefix}/{each}/rendered" for each in instances]
    for start, part in enumerate(found):
        assert np.array_equal(pixels_of(part.body), gradient(6, 6, start))


@on_one_engine
def test_a_part_that_cannot_be_rendered_says_why(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(study=STUDY, series=SERIES, pixel=False))
    clinic.stored(gray_image(FRAME, **UIDS))
    first, second = picture_parts(clinic.get(f"{SERIES_PATH}/rendered", MULTIPART))
    assert first.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert first.body.decode().startswith(f"{FAILURE}: The instance has no frames")
    assert np.array_equal(pixels_of(second.body), FRAME)


@on_one_engine
def test_multipart_without_any_picture_is_406(clinic: PartitionClient) -> None:
    for _ in range(2):
        clinic.stored(make_instance(study=STUDY, series=SERIES, pixel=False))
    response = clinic.get(f"{SERIES_PATH}/rendered", MULTIPART)
    assert response.status_code == 406
    assert response.text.startswith(FAILURE)


@on_one_engine
def test_a_list_of_frames(clinic: PartitionClient) -> None:
    frames = [gradient(5, 7, start) for start in range(4)]
    clinic.stored(gray_image(*frames, **UIDS))
    found = picture_parts(clinic.get(f"{PATH}/frames/3,1,3/rendered", MULTIPART))
    assert [np.array_equal(pixels_of(part.body), frames[at]) for part, at in zip(found, (2, 0, 2), strict=True)]
    assert found[1].headers["Content-Location"].endswith(f"{PATH}/frames/1/rendered")
    single = clinic.get(f"{PATH}/frames/3,1/rendered", JPEG)
    assert single.status_code == 400
    assert "use multi-part accept header instead" in single.text
    assert clinic.get(f"{PATH}/frames/3,5/rendered", MULTIPART).status_code == 404
    assert [part.headers["Content-Type"] for part in picture_parts(clinic.get(f"{PATH}/frames/3,1/rendered"))] == [
        JPEG
    ] * 2
    animation = Image.open(io.BytesIO(clinic.get(f"{PATH}/frames/3,1/rendered", GIF).data))
    assert animation.n_frames == 2  # type: ignore[attr-defined]  # GIF files have it


@on_one_engine
def test_an_animation_of_all_frames(clinic: PartitionClient) -> None:
    frames = [gradient(5, 7, start) for start in range(4)]
    clinic.stored(gray_image(*frames, **UIDS, FrameTime="250"))
    response = clinic.get(RENDERED, GIF)
    assert response.headers["Content-Type"] == GIF
    animation: Any = Image.open(io.BytesIO(response.data))
    assert animation.n_frames == 4
    for number, expected in enumerate(frames):
        animation.seek(number)
        assert animation.info["duration"] == 250
        assert np.array_equal(np.asarray(animation.convert("L")), expected)
    one: Any = Image.open(io.BytesIO(clinic.get(f"{PATH}/frames/2/rendered", GIF).data))
    assert one.n_frames == 1
    assert np.array_equal(np.asarray(one.convert("L")), frames[1])


# --- media types --------------------------------------------------------------------------------------------------

ANY_IMG = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
"""What Chromium sends for `<img>`. All of it is equally good to it, so it gets what is fastest."""


ACCEPTED: list[tuple[str | None, str]] = [
    (None, JPEG),
    ("*/*", JPEG),
    ("image/*", JPEG),
    (JPEG, JPEG),
    ("IMAGE/PNG", PNG),
    (PNG, PNG),
    (GIF, GIF),
    (WEBP, WEBP),
    (JP2, JP2),
    ("image/png, image/jpeg", PNG),
    ("image/jpeg;q=0.5, image/gif;q=0.9", GIF),
    ("application/dicom, image/tiff, image/png", PNG),
    ("text/html, image/png;q=0.1", PNG),
    (ANY_IMG, JPEG),
    ("image/jpeg; transfer-syntax=1.2.3", JPEG),
]


@on_one_engine
def test_the_media_type(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    for accept, media_type in ACCEPTED:
        response = clinic.get(RENDERED, accept)
        assert (accept, response.headers["Content-Type"]) == (accept, media_type)
        shown = np.asarray(Image.open(io.BytesIO(response.data)).convert("L")).astype(int)
        assert np.abs(shown - FRAME).max() <= (3 if media_type == JPEG else 0)


@on_one_engine
def test_colour_in_each_media_type(clinic: PartitionClient) -> None:
    colours = np.dstack([FRAME, FRAME[::-1], FRAME[:, ::-1]])
    clinic.stored(colour_image(colours, **UIDS))
    for media_type in (JPEG, PNG, GIF, WEBP, JP2):
        response = clinic.get(RENDERED, media_type)
        assert response.headers["Content-Type"] == media_type
        found = np.asarray(Image.open(io.BytesIO(response.data)).convert("RGB")).astype(int)
        assert np.abs(found - colours).mean() < (12 if media_type == GIF else 1)


@on_one_engine
def test_a_media_type_of_nothing_is_406_before_anything_else(clinic: PartitionClient) -> None:
    for path in (RENDERED, f"{PATH}/thumbnail", "/studies/not-a-uid/rendered"):
        for accept in ("application/dicom", "image/tiff", "text/plain", "", "image/jpeg;q=0"):
            response = clinic.get(path, accept)
            assert (response.status_code, response.text) == (406, UNACCEPTABLE)
    assert clinic.get(f"{PATH}/thumbnail", "text/html").text == UNACCEPTABLE
    assert clinic.get(f"{PATH}/thumbnail", MULTIPART).text == UNACCEPTABLE


@on_one_engine
def test_a_media_type_of_another_kind_of_object_is_406_that_names_both(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    response = clinic.get(RENDERED, "application/pdf")
    assert response.status_code == 406
    assert response.text == (
        f"{UNACCEPTABLE}: The instance is an image. "
        "It can be rendered as image/jpeg, image/png, image/gif, image/webp, image/jp2."
    )


@on_one_engine
def test_quality(clinic: PartitionClient) -> None:
    noisy = np.random.default_rng(1).integers(0, 256, (64, 64), dtype=np.uint8)
    clinic.stored(gray_image(noisy, **UIDS))
    usual, best, low = (
        len(clinic.get(f"{RENDERED}{query}", JPEG).data) for query in ("", "?quality=100", "?quality=5")
    )
    assert usual == best > 2 * low
    plain, lossless = (clinic.get(f"{RENDERED}{query}", PNG) for query in ("", "?quality=5"))
    assert plain.data == lossless.data


# --- parameters ---------------------------------------------------------------------------------------------------


PARAMETERS: list[tuple[str, Any]] = [
    ("viewport=60,40", FRAME),
    ("viewport=60%2C40", FRAME),
    ("VIEWPORT=60,40", FRAME),
    ("viewport=20,10,5,6,20,10", FRAME[6:16, 5:25]),
    ("viewport=60,40,,,-60,", FRAME[:, ::-1]),
    ("viewport=60,40,,,,-40", FRAME[::-1]),
    ("viewport=20,10,-5,-6,-20,-10", FRAME[6:16, 5:25][::-1, ::-1]),
    ("viewport=10,40,50", FRAME[:, 50:]),
    ("viewport=20,20,,,20,20", FRAME[:20, :20]),
    ("window=128,256,linear", FRAME),
    ("window=127.5,255,linear-exact", FRAME),
    ("window=1e2,2,linear-exact", np.where(FRAME == 100, 128, np.where(FRAME > 100, 255, 0))),
    ("windowCenter=128&windowWidth=256", FRAME),
    ("window=128,256,LINEAR&windowCenter=1&windowWidth=1", FRAME),
    ("unknown=1&limit=x", FRAME),
    ("iccprofile=no", FRAME),
    ("annotation=later", FRAME),
]


@on_one_engine
def test_a_parameter_changes_the_picture_as_expected(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    for query, expected in PARAMETERS:
        assert np.array_equal(picture(clinic.get(f"{RENDERED}?{query}", PNG)), expected), query


@on_one_engine
def test_a_viewport_scales_in_both_directions_and_keeps_the_shape(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    half = picture(clinic.get(f"{RENDERED}?viewport=30,30", PNG))
    assert half.shape == (20, 30)
    assert np.abs(half - FRAME.reshape(20, 2, 30, 2).mean(axis=(1, 3))).max() <= 3
    assert picture(clinic.get(f"{RENDERED}?viewport=8000,80", PNG)).shape == (80, 120)


@on_one_engine
def test_pixels_that_are_not_square_are_stretched_only_by_a_viewport(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS, PixelAspectRatio=["2", "1"], PixelSpacing=None))
    assert picture(clinic.get(RENDERED, PNG)).shape == (40, 60)
    assert picture(clinic.get(f"{RENDERED}?viewport=200,200", PNG)).shape == (200, 150)
    assert picture(clinic.get(f"{PATH}/thumbnail", PNG)).shape == (80, 60)


@on_one_engine
def test_an_annotation_is_drawn_and_an_unknown_one_is_a_warning(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(np.full((200, 300), 100, np.uint8), **UIDS, patient_name="Doe^Jane"))
    response = clinic.get(f"{RENDERED}?annotation=patient,technique,later", PNG)
    drawn = picture(response)
    assert (drawn[:80, :150].max() > 200, drawn[:80, 150:].max() > 200) == (True, True)
    assert (drawn[100:] == 100).all()
    assert response.headers["Warning"] == '299 localhost: "The following annotation values are not supported: later"'
    assert "Warning" not in clinic.get(f"{RENDERED}?annotation=patient", PNG).headers
    assert (picture(clinic.get(f"{PATH}/thumbnail?annotation=patient", PNG)) == 100).all()


@on_one_engine
def test_a_quality_out_of_range_is_400(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    for quality in ("0", "101", "-1", "high", "", "1e2"):
        response = clinic.get(f"{RENDERED}?quality={quality}", PNG)
        assert (response.status_code, response.text) == (400, "Image quality must be between 1 and 100 inclusive")


WRONG_PARAMETERS = [
    ("viewport=", "viewport", "has not 2 to 6 numbers"),
    ("viewport=256", "viewport", "The value '256' has not 2 to 6 numbers."),
    ("viewport=1,2,3,4,5,6,7", "viewport", "has not 2 to 6 numbers"),
    ("viewport=0,10", "viewport", "The width or height '0' is not a number from 1 to 8192."),
    ("viewport=8193,1", "viewport", "'8193' is not a number from 1 to 8192"),
    ("viewport=1.5,1", "viewport", "'1.5' is not a number from 1 to 8192"),
    ("viewport=-4,4", "viewport", "'-4' is not a number from 1 to 8192"),
    ("viewport=,", "viewport", "'' is not a number from 1 to 8192"),
    ("viewport=4,4,x", "viewport", "'x' is not a decimal number"),
    ("viewport=4,4,nan", "viewport", "'nan' is not a decimal number"),
    ("viewport=4,4,,,0,5", "viewport", "has a region without pixels"),
    ("viewport=4,4,60", "viewport", "The region has no pixel of the image, which has 60 columns and 40 rows."),
    ("viewport=4,4,1e99,0", "viewport", "has no pixel"),
    ("window=", "window", "is not a center, a width and one of linear, linear-exact and sigmoid"),
    ("window=1,2", "window", "The value '1,2' is not a center"),
    ("window=1,2,log", "window", "The value '1,2,log' is not a center"),
    ("window=1,2,linear,3", "window", "is not a center"),
    ("window=,2,linear", "window", "has not two numbers"),
    ("window=inf,2,linear", "window", "'inf' is not a decimal number"),
    (
        "window=1,0,linear-exact",
        "window",
        "The width '0' of a window with the function",
    ),
    ("window=1,0.5,linear", "window", "is not at least 1"),
    ("window=1,-5,sigmoid", "window", "is not above 0"),
    ("windowCenter=1", "windowWidth", "windowCenter and windowWidth need each other."),
    ("windowWidth=1", "windowCenter", "need each other"),
    ("windowCenter=a&windowWidth=1", "windowCenter", "'a' is not a decimal number"),
    ("windowCenter=1&windowWidth=0", "windowWidth", "The width '0'"),
    ("annotation=", "annotation", "is not a list of keywords"),
    ("annotation=patient,,", "annotation", "is not a list of keywords"),
    ("annotation=a%00b", "annotation", "is not a list of keywords"),
    ("iccprofile=cmyk", "iccprofile", "The value 'cmyk' is not one of no, yes, srgb, adobergb, rommrgb."),
    ("iccprofile=", "iccprofile", "is not one of"),
]


@on_one_engine
def test_a_wrong_parameter_is_400_that_names_value_and_rule(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    for query, name, reason in WRONG_PARAMETERS:
        response = clinic.get(f"{RENDERED}?{query}", PNG)
        assert (response.status_code, query) == (400, query)
        assert response.text.startswith(f"The query parameter '{name}' is invalid. "), query
        assert reason in response.text, query


@on_one_engine
@pytest.mark.parametrize("accept", [GIF, JP2])
def test_a_profile_in_a_media_type_without_profiles_is_400(clinic: PartitionClient, accept: str) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    response = clinic.get(f"{RENDERED}?iccprofile=srgb", accept)
    assert response.status_code == 400
    assert response.text == (
        f"The query parameter 'iccprofile' is invalid. No ICC profile can be embedded in {accept}."
    )
    assert clinic.get(f"{RENDERED}?iccprofile=no", accept).status_code == 200


# --- failures -----------------------------------------------------------------------------------------------------


MISSING = [
    (f"{PATH}/frames/0/rendered", 400, "The specified frames value is not valid."),
    (f"{PATH}/frames/x/rendered", 400, "The specified frames value is not valid."),
    (f"{PATH}/frames/2/rendered", 404, "The specified frame cannot be found."),
    (f"{PATH}/frames/2/thumbnail", 404, "The specified frame cannot be found."),
    (f"{PATH}/frames/1,1/thumbnail", 400, "The specified frames value is not valid."),
    (f"{SERIES_PATH}/instances/2.25.9/rendered", 404, "The specified instance cannot be found."),
    (f"/studies/{STUDY}/series/2.25.9/rendered", 404, "The specified series cannot be found."),
    ("/studies/2.25.9/rendered", 404, "The specified study cannot be found."),
    ("/studies/2.25.9/thumbnail", 404, "The specified study cannot be found."),
]


@on_one_engine
def test_what_does_not_exist(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    for path, status, text in MISSING:
        response = clinic.get(path, JPEG)
        assert (response.status_code, path) == (status, path)
        assert response.text.startswith(text)


@on_one_engine
@pytest.mark.parametrize(
    "instance",
    [make_instance(**UIDS, pixel=False), encapsulated([[b"not an image"]], transfer_syntax=RLE, **UIDS)],
    ids=["no pixels", "damaged pixels"],
)
def test_what_cannot_be_rendered_is_406_with_the_reason(clinic: PartitionClient, instance: bytes) -> None:
    clinic.stored(instance)
    for path in (PATH, f"{PATH}/frames/1", SERIES_PATH):
        for accept in (JPEG, MULTIPART, GIF):
            response = clinic.get(f"{path}/rendered", accept)
            assert response.status_code == 406
            assert response.text.startswith(f"{FAILURE}: ")
            assert len(response.text) > len(FAILURE) + 5


def test_a_lost_file_is_503(clinic: PartitionClient, engine: bootstrap.Engine) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    services = clinic.client.application.extensions["bulkhead"]
    (row,) = services.retrieve.instances(services.partitions.resolve("clinic-a", create=False), STUDY)
    engine.blobs.delete([row.blob])
    for path in (RENDERED, f"{PATH}/thumbnail"):
        response = clinic.get(path, PNG)
        text = f"The file of the instance {STUDY}/{SERIES}/{INSTANCE} is lost."
        assert (response.status_code, response.text) == (503, text)


# --- conditions and caches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", ["rendered", "thumbnail", "frames/1/rendered?quality=50"])
def test_an_entity_tag_saves_the_rendering(clinic: PartitionClient, monkeypatch: pytest.MonkeyPatch, rest: str) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    first = clinic.get(f"{PATH}/{rest}", JPEG)
    etag = first.headers["ETag"]
    assert etag.startswith('"')
    assert first.headers["Cache-Control"] == "private, no-cache"
    rendering = clinic.client.application.extensions["bulkhead"].rendering
    monkeypatch.setattr(type(rendering), "content", lambda *_: pytest.fail("it was rendered again"))
    for known in (etag, f'"x", {etag}', "*", f"W/{etag}"):
        again = clinic.get(f"{PATH}/{rest}", JPEG, If_None_Match=known)
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)


@on_one_engine
def test_the_tag_changes_with_what_the_picture_depends_on(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, FRAME, **UIDS))
    requests = [
        (RENDERED, JPEG), (RENDERED, PNG), (f"{RENDERED}?quality=99", JPEG), (f"{RENDERED}?window=1,2,linear", JPEG),
        (f"{RENDERED}?viewport=9,9", JPEG), (f"{RENDERED}?annotation=patient", JPEG), (f"{PATH}/thumbnail", JPEG),
        (f"{PATH}/frames/2/rendered", JPEG), (f"{PATH}/frames/2/thumbnail", JPEG), (f"{PATH}/frames/1/rendered", JPEG),
        (f"{PATH}/thumbnail?viewport=9,9", JPEG),
    ]  # fmt: skip
    tags = [clinic.get(path, accept).headers["ETag"] for path, accept in requests]
    assert len(set(tags)) == len(tags)
    assert clinic.get(f"{RENDERED}?quality=100", JPEG).headers["ETag"] == tags[0]
    clinic.delete(PATH)
    clinic.stored(gray_image(FRAME, FRAME, **UIDS))
    assert clinic.get(RENDERED, JPEG).headers["ETag"] != tags[0]


def test_a_second_request_is_answered_from_the_cache(clinic: PartitionClient, monkeypatch: pytest.MonkeyPatch) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    first = clinic.get(RENDERED, PNG)
    rendering = clinic.client.application.extensions["bulkhead"].rendering
    monkeypatch.setattr(type(rendering), "_rendered", lambda *_: pytest.fail("it was rendered again"))
    assert clinic.get(RENDERED, PNG).data == first.data
    clinic.delete(PATH)
    assert clinic.get(RENDERED, PNG).status_code == 404


def test_processes_share_the_folder_of_pictures(serve: Serve, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pictures"
    first, second = (PartitionClient(serve(picture_cache_dir=folder)) for _ in range(2))
    first.stored(gray_image(FRAME, **UIDS))
    data = first.get(RENDERED, PNG).data
    rendering = second.client.application.extensions["bulkhead"].rendering
    monkeypatch.setattr(type(rendering), "_rendered", lambda *_: pytest.fail("it was rendered again"))
    assert second.get(RENDERED, PNG).data == data
    second.delete(PATH)
    assert first.get(RENDERED, PNG).status_code == 404
    assert second.get(RENDERED, PNG).status_code == 404


@on_one_engine
def test_head_and_ranges(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    whole = clinic.get(RENDERED, PNG)
    head = clinic.client.head(clinic.prefix + RENDERED, headers={"Accept": PNG})
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == str(len(whole.data))
    assert head.headers["ETag"] == whole.headers["ETag"]
    part = clinic.get(RENDERED, PNG, Range="bytes=8-15")
    assert (part.status_code, part.data) == (206, whole.data[8:16])
    for condition, status in ((whole.headers["ETag"], 206), ('"x"', 200)):
        assert clinic.get(RENDERED, PNG, Range="bytes=8-15", If_Range=condition).status_code == status


@on_one_engine
def test_images_of_a_series_without_a_window_share_one(clinic: PartitionClient) -> None:
    """A scroll through the series would flicker if each image had its own."""
    ranges = [(0, 1000), (500, 2000), (0, 600)]
    instances = [uid() for _ in ranges]
    for instance, (low, high) in zip(instances, ranges, strict=True):
        values = np.linspace(low, high, 30 * 30).astype("<u2").tobytes()
        uids = {"study": STUDY, "series": SERIES, "instance": instance}
        clinic.stored(make_instance(**uids, rows=30, columns=30, pixel=values, WindowCenter=None, WindowWidth=None))
    pictures = [picture(clinic.get(f"{SERIES_PATH}/instances/{each}/rendered", PNG)) for each in instances]
    assert pictures[1].min() == 0
    assert pictures[1].max() == 255
    assert pictures[2].max() < 30  # it is dark in the window of the middle image


@on_one_engine
def test_the_tag_changes_with_the_window_of_the_series(clinic: PartitionClient) -> None:
    def store(instance: str, highest: int) -> None:
        values = np.linspace(0, highest, 900).astype("<u2").tobytes()
        uids = {"study": STUDY, "series": SERIES, "instance": instance}
        clinic.stored(make_instance(**uids, rows=30, columns=30, pixel=values, WindowCenter=None, WindowWidth=None))

    store(INSTANCE, 1000)
    first = clinic.get(RENDERED, PNG)
    for number in range(2):
        store(f"2.25.7{number}", 2000)
    assert clinic.get(RENDERED, PNG).headers["ETag"] == first.headers["ETag"]  # the window is kept for a minute
    images = clinic.client.application.extensions["bulkhead"].rendering._renderers.images
    images._windows._clock = lambda: 1e12
    later = clinic.get(RENDERED, PNG, If_None_Match=first.headers["ETag"])
    assert later.status_code == 200
    assert picture(later).max() < 140 < picture(first).max()


@on_one_engine
def test_a_page_from_the_cache_has_its_content_type(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", pixel=False))
    first, second = (clinic.get(RENDERED) for _ in range(2))
    assert first.headers["Content-Type"] == second.headers["Content-Type"] == "text/html; charset=utf-8"
    assert first.data == second.data


@on_one_engine
def test_partitions_do_not_see_the_pictures_of_each_other(clinic: PartitionClient) -> None:
    other = PartitionClient(clinic.client, "/v2/partitions/clinic-b")
    clinic.stored(gray_image(FRAME, **UIDS))
    other.stored(gray_image(FRAME[::-1], **UIDS))
    mine, theirs = clinic.get(RENDERED, PNG), other.get(RENDERED, PNG)
    assert np.array_equal(picture(mine), FRAME)
    assert np.array_equal(picture(theirs), FRAME[::-1])
    assert mine.headers["ETag"] != theirs.headers["ETag"]


# --- thumbnails ---------------------------------------------------------------------------------------------------


def test_a_thumbnail_at_each_level(clinic: PartitionClient) -> None:
    large = gradient(600, 900)
    clinic.stored(gray_image(large, **UIDS))
    for path in (f"/studies/{STUDY}", SERIES_PATH, PATH, f"{PATH}/frames/1"):
        usual = picture(clinic.get(f"{path}/thumbnail", "*/*"), JPEG)
        assert usual.shape == (171, 256)
        assert abs(usual.mean() - large.mean()) < 2
        assert picture(clinic.get(f"{path}/thumbnail?viewport=64,64", PNG)).shape == (43, 64)


@on_one_engine
def test_a_thumbnail_shows_the_middle_frame_and_is_not_enlarged(clinic: PartitionClient) -> None:
    frames = [gradient(9, 9, start) for start in range(5)]
    clinic.stored(gray_image(*frames, **UIDS))
    assert np.array_equal(picture(clinic.get(f"{PATH}/thumbnail", PNG)), frames[2])
    assert np.array_equal(picture(clinic.get(f"{PATH}/frames/5/thumbnail", PNG)), frames[4])


@on_one_engine
def test_a_slide_is_shown_by_its_thumbnail_or_its_coarsest_level_and_not_by_its_label(clinic: PartitionClient) -> None:
    kinds = [("VOLUME", 1000), ("LABEL", 50), ("VOLUME", 4000), ("OVERVIEW", 90)]
    for number, (kind, columns) in enumerate(kinds):
        described = {"ImageType": ["ORIGINAL", "PRIMARY", kind, "NONE"], "TotalPixelMatrixColumns": columns}
        slide = {"study": STUDY, "series": SERIES, "SOPClassUID": WHOLE_SLIDE, **described}
        clinic.stored(gray_image(gradient(9, 9, number), **slide))
    assert np.array_equal(picture(clinic.get(f"{SERIES_PATH}/thumbnail", PNG)), gradient(9, 9, 0))
    slide["ImageType"] = ["ORIGINAL", "PRIMARY", "THUMBNAIL", "RESAMPLED"]
    clinic.stored(gray_image(gradient(9, 9, 7), **slide))
    assert np.array_equal(picture(clinic.get(f"/studies/{STUDY}/thumbnail", PNG)), gradient(9, 9, 7))
    assert np.array_equal(picture(clinic.get(f"{SERIES_PATH}/rendered", PNG)), gradient(9, 9, 7))


@on_one_engine
def test_the_thumbnail_of_an_object_without_an_image_is_an_icon(clinic: PartitionClient) -> None:
    clinic.stored(make_instance(**UIDS, pixel=False), make_instance(study=STUDY, SOPClassUID=RT_PLAN, pixel=False))
    for path in (f"{PATH}/thumbnail", f"/studies/{STUDY}/thumbnail"):
        assert picture(clinic.get(f"{path}?viewport=64,64", PNG)).shape[:2] == (64, 64)


@on_one_engine
def test_a_thumbnail_has_a_width_and_a_height_only(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    for query in ("viewport=1,2,3", "viewport=9", "viewport=0,1", "viewport=256,256,0,0,9,9"):
        response = clinic.get(f"{PATH}/thumbnail?{query}", JPEG)
        assert response.status_code == 400
        assert response.text.startswith("The query parameter 'viewport' is invalid.")


REQUESTS_OF_VIEWERS: list[tuple[str, str | None]] = [
    ("/rendered?accept=image%2Fjpeg", "*/*"),
    ("/thumbnail?accept=image%2Fjpeg", "*/*"),
    ("/thumbnail?viewport=256%2C256", JPEG),
    ("/frames/1/thumbnail", None),
    ("/rendered?viewport=256%2C256&windowCenter=40&windowWidth=400", JPEG),
    ("/rendered?viewport=256,256&window=40,400,linear", "image/jpeg, image/png"),
]


@on_one_engine
def test_what_viewers_send(clinic: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    for path, accept in REQUESTS_OF_VIEWERS:
        assert picture(clinic.get(PATH + path, accept), JPEG).ndim == 2


@on_one_engine
def test_versions_behave_alike(clinic: PartitionClient, strict: PartitionClient) -> None:
    clinic.stored(gray_image(FRAME, **UIDS))
    assert strict.get(RENDERED, JPEG).data == clinic.get(RENDERED, JPEG).data
