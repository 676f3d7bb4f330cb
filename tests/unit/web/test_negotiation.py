"""Content negotiation: every row of the tables of conformance §4.2, and the JSON rule of §1.7."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import NotAcceptable
from app.web.negotiation import media
from app.web.negotiation.offers import (
    FILE,
    FILES,
    FRAMES,
    RENDERED,
    Offer,
    Representation,
    acceptable_offers,
    first_producible,
    offers_for,
    require_json,
)

EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
HTJ2K = "1.2.840.10008.1.2.4.201"
RLE = "1.2.840.10008.1.2.5"
DICOM = "application/dicom"
OCTETS = "application/octet-stream"

Answer = tuple[bool, str, str]


def given_by(offer: Offer) -> Answer:
    return offer.multipart, offer.media_type, offer.transfer_syntax


def related(kind: str, syntax: str | None = None) -> str:
    return f'multipart/related; type="{kind}"' + (f"; transfer-syntax={syntax}" if syntax else "")


MATRIX: list[tuple[tuple[Representation, ...], str | None, Answer]] = [
    *[
        row
        for matrix in (FILES, FILE)
        for row in [
            (matrix, related(DICOM), (True, DICOM, EXPLICIT)),
            (matrix, related(DICOM, "*"), (True, DICOM, "*")),
            (matrix, related(DICOM, EXPLICIT), (True, DICOM, EXPLICIT)),
            (matrix, related(DICOM, JPEG_2000), (True, DICOM, JPEG_2000)),
            (matrix, related(DICOM, JPEG_BASELINE), (True, DICOM, JPEG_BASELINE)),
            (matrix, related("*/*"), (True, DICOM, "*")),
            (matrix, related("*/*", EXPLICIT), (True, DICOM, EXPLICIT)),
            (matrix, "*/*", (True, DICOM, "*")),
            (matrix, None, (True, DICOM, "*")),
            (matrix, "multipart/related", (True, DICOM, "*")),
            (matrix, "multipart/related; type=application/dicom; transfer-syntax=*", (True, DICOM, "*")),
            (
                matrix,
                f'Multipart/Related; TYPE="Application/DICOM"; Transfer-Syntax="{EXPLICIT}"',
                (True, DICOM, EXPLICIT),
            ),
        ]
    ],
    (FILE, DICOM, (False, DICOM, EXPLICIT)),
    (FILE, f"{DICOM}; transfer-syntax=*", (False, DICOM, "*")),
    (FILE, f"{DICOM}; transfer-syntax={JPEG_2000}", (False, DICOM, JPEG_2000)),
    (FILE, "application/*", (False, DICOM, EXPLICIT)),
    (FRAMES, OCTETS, (False, OCTETS, EXPLICIT)),
    (FRAMES, f"{OCTETS}; transfer-syntax=*", (False, OCTETS, "*")),
    (FRAMES, related(OCTETS), (True, OCTETS, EXPLICIT)),
    (FRAMES, related(OCTETS, "*"), (True, OCTETS, "*")),
    (FRAMES, related("image/jp2"), (True, "image/jp2", JPEG_2000)),
    (FRAMES, related("image/jp2", JPEG_2000), (True, "image/jp2", JPEG_2000)),
    (FRAMES, related(OCTETS, JPEG_BASELINE), (True, OCTETS, JPEG_BASELINE)),
    (FRAMES, "image/jpeg", (False, "image/jpeg", JPEG_LOSSLESS)),
    (FRAMES, related("IMAGE/JPEG", JPEG_BASELINE), (True, "image/jpeg", JPEG_BASELINE)),
    (FRAMES, related("image/jls", "*"), (True, "image/jls", "*")),
    (FRAMES, related("video/h265"), (True, "video/H265", "1.2.840.10008.1.2.4.107")),
    (FRAMES, "*/*", (True, OCTETS, "*")),
    (FRAMES, related("*/*"), (True, OCTETS, "*")),
    (FRAMES, None, (True, OCTETS, "*")),
    (RENDERED, None, (False, "image/jpeg", "*")),
    (RENDERED, "image/jpeg", (False, "image/jpeg", "*")),
    (RENDERED, "image/png", (False, "image/png", "*")),
    (RENDERED, "image/*", (False, "image/jpeg", "*")),
    (RENDERED, "*/*", (False, "image/jpeg", "*")),
]


@pytest.mark.parametrize(("matrix", "accept", "answer"), MATRIX)
def test_an_entry_of_the_matrix(matrix: tuple[Representation, ...], accept: str | None, answer: Answer) -> None:
    assert given_by(acceptable_offers(matrix, accept)[0]) == answer


@pytest.mark.parametrize(
    ("matrix", "accept"),
    [
        (FILES, DICOM),
        (FILES, ""),
        (FILES, "application/json"),
        (FILES, related(OCTETS)),
        (FILES, related(DICOM, "nonsense")),
        (FILES, "*/*; q=0"),
        (FILE, related("image/jp2")),
        (FILE, f"{DICOM}; transfer-syntax=nonsense"),
        (FRAMES, "image/png"),
        (FRAMES, related("image/jp2", EXPLICIT)),
        (FRAMES, related("image/jpeg", JPEG_2000)),
        (FRAMES, related("video/mpeg2")),
        (FRAMES, related(OCTETS, "1.2.")),
        (FRAMES, DICOM),
        (RENDERED, "image/gif"),
        (RENDERED, DICOM),
    ],
)
def test_an_entry_outside_the_matrix_is_not_acceptable(matrix: tuple[Representation, ...], accept: str) -> None:
    with pytest.raises(NotAcceptable, match=r"^The request headers are not acceptable$"):
        acceptable_offers(matrix, accept)


@pytest.mark.parametrize(
    ("accept", "order"),
    [
        (f"{DICOM}; q=0.5, {related(DICOM, '*')}", [(True, "*"), (False, EXPLICIT)]),
        (f"{DICOM}, {related(DICOM, '*')}", [(True, "*"), (False, EXPLICIT)]),
        (f"{DICOM}, {related(DICOM)}", [(False, EXPLICIT), (True, EXPLICIT)]),
        (f"image/jpeg, {related(DICOM, '1.2.x')}, {DICOM}; q=0.1", [(False, EXPLICIT)]),
        (f"{related(DICOM, '1.2.3')}; q=0.2, {DICOM}; q=0.1", [(True, "1.2.3"), (False, EXPLICIT)]),
        (f"{DICOM}; transfer-syntax={JPEG_2000}; q=1.0, */*; q=0.2", [(False, JPEG_2000), (True, "*")]),
    ],
)
def test_the_order_is_quality_then_as_stored_then_the_header(accept: str, order: list[tuple[bool, str]]) -> None:
    assert [(offer.multipart, offer.transfer_syntax) for offer in acceptable_offers(FILE, accept)] == order


def test_only_a_named_transfer_syntax_is_stated() -> None:
    assert [acceptable_offers(FILES, related(DICOM, syntax))[0].stated for syntax in (None, EXPLICIT)] == [False, True]


@pytest.mark.parametrize(
    ("matrix", "accept", "syntax", "fits", "unchanged"),
    [
        (FILE, DICOM, JPEG_BASELINE, True, False),
        (FILE, DICOM, EXPLICIT, True, True),
        (FILE, f"{DICOM}; transfer-syntax=*", "1.2.3", True, True),
        (FILE, f"{DICOM}; transfer-syntax=1.2.3", "1.2.3", True, True),
        (FILE, f"{DICOM}; transfer-syntax=1.2.3", EXPLICIT, False, False),
        (FILE, f"{DICOM}; transfer-syntax={JPEG_2000}", EXPLICIT, True, False),
        (FRAMES, related(OCTETS), JPEG_BASELINE, True, False),
        (FRAMES, related(OCTETS, JPEG_BASELINE), JPEG_BASELINE, True, True),
        (FRAMES, related(OCTETS, JPEG_BASELINE), JPEG_LOSSLESS, False, False),
        (FRAMES, related("image/jpeg"), JPEG_BASELINE, True, True),
        (FRAMES, related("image/jpeg"), JPEG_LOSSLESS, True, True),
        (FRAMES, related("image/jpeg"), JPEG_2000, False, False),
        (FRAMES, related("image/jpeg", "*"), JPEG_2000, False, False),
        (FRAMES, related("image/jpeg", JPEG_LOSSLESS), JPEG_BASELINE, False, False),
        (FRAMES, related("image/jp2"), JPEG_BASELINE, True, False),
        (FRAMES, "image/jp2", JPEG_BASELINE, True, False),
        (FRAMES, "image/*", JPEG_2000, True, True),
        (FRAMES, "video/*", JPEG_2000, False, False),
    ],
)
def test_an_offer_fits_what_is_stored(
    matrix: tuple[Representation, ...], accept: str, syntax: str, fits: bool, unchanged: bool
) -> None:
    offers = acceptable_offers(matrix, accept)
    if not fits:
        with pytest.raises(NotAcceptable, match=r"^The request headers are not acceptable$"):
            offers_for(offers, syntax)
    else:
        assert offers_for(offers, syntax)[0].admits_stored(syntax) is unchanged


@pytest.mark.parametrize(
    ("accept", "stored", "order"),
    [
        ("image/jp2, image/jphc, image/jls", JPEG_LS, [JPEG_LS, HTJ2K, JPEG_2000]),
        ("image/jp2, image/jls, image/jphc, image/dicom-rle", EXPLICIT, [HTJ2K, RLE, JPEG_LS, JPEG_2000]),
        (f"image/jp2, {OCTETS}", JPEG_BASELINE, [EXPLICIT, JPEG_2000]),
        (f"image/jp2, {OCTETS}; q=0.9", JPEG_BASELINE, [JPEG_2000, EXPLICIT]),
        (f"image/jls, {OCTETS}; transfer-syntax=*", JPEG_LS, ["*", JPEG_LS]),
        (f"image/jls, {OCTETS}; transfer-syntax=*; q=0.9", JPEG_LS, [JPEG_LS, "*"]),
        ("image/jls; q=0.2, image/jp2; q=0.3", JPEG_LS, [JPEG_2000, JPEG_LS]),
        ("image/*", JPEG_2000, [JPEG_2000, HTJ2K, RLE, JPEG_LS]),
    ],
)
def test_the_order_is_quality_then_unchanged_then_the_cheapest(accept: str, stored: str, order: list[str]) -> None:
    found = offers_for(acceptable_offers(FRAMES, accept), stored)
    assert [offer.transfer_syntax for offer in found] == order


@pytest.mark.parametrize(
    ("media_type", "target"),
    [("image/jp2", JPEG_2000), ("image/jphc", HTJ2K), ("image/jls", JPEG_LS), ("image/dicom-rle", RLE)],
)
def test_frames_are_transcoded_to_the_default_of_a_media_type(media_type: str, target: str) -> None:
    for accept in (media_type, related(media_type), f"{media_type}; transfer-syntax={target}"):
        (offer,) = offers_for(acceptable_offers(FRAMES, accept), EXPLICIT)
        assert (offer.transfer_syntax, offer.media_type) == (target, media_type)


@pytest.mark.parametrize("target", [JPEG_2000, HTJ2K, JPEG_LS, RLE, EXPLICIT])
def test_files_are_transcoded_to_each_target(target: str) -> None:
    (offer,) = offers_for(acceptable_offers(FILE, f"{DICOM}; transfer-syntax={target}"), JPEG_BASELINE)
    assert offer.transfer_syntax == target


def test_an_offer_that_cannot_be_produced_is_followed_by_the_next() -> None:
    def answer(offer: Offer) -> str:
        if offer.transfer_syntax == JPEG_2000:
            raise NotAcceptable("no codec")
        return offer.transfer_syntax

    accept = f"{DICOM}; transfer-syntax={JPEG_2000}, {DICOM}; q=0.5"
    assert first_producible(acceptable_offers(FILE, accept), answer) == EXPLICIT
    with pytest.raises(NotAcceptable, match="no codec"):
        first_producible(acceptable_offers(FILE, f"{DICOM}; transfer-syntax={JPEG_2000}"), answer)


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "application/dicom+json",
        "application/json",
        "application/*",
        "*/*",
        "Application/DICOM+JSON; charset=utf-8",
        "text/html, application/json;q=0.1",
    ],
)
def test_json_is_accepted(accept: str | None) -> None:
    require_json(accept)


@pytest.mark.parametrize("accept", ["", "text/html", "application/dicom", "application/dicom+xml", "*/*;q=0", "json"])
def test_json_is_not_accepted(accept: str) -> None:
    with pytest.raises(NotAcceptable, match=r"^$"):
        require_json(accept)


@pytest.mark.parametrize(
    ("header", "name", "parameters"),
    [
        ("", "", {}),
        ("Application/DICOM", "application/dicom", {}),
        ("multipart/related; boundary=b", "multipart/related", {"boundary": "b"}),
        ('multipart/related;type="application/dicom";boundary="a b;c,d"', None, {"boundary": "a b;c,d"}),
        ("multipart/related; type=application/dicom; boundary==_x/1?y'", None, {"boundary": "=_x/1?y'"}),
        (r'x/y; a="q\"uo\\te"', "x/y", {"a": r"q\"uo\te".replace(r"\"", '"')}),
        ("x/y; A=1; a=2", "x/y", {"a": "1"}),
        ("x/y; ; =; a; b=", "x/y", {"b": ""}),
    ],
)
def test_a_content_type(header: str, name: str | None, parameters: dict[str, str]) -> None:
    parsed = media.parse(header)
    assert name is None or parsed.name == name
    assert parameters.items() <= parsed.parameters.items()


HEADER = st.text() | st.lists(
    st.sampled_from(
        ["multipart/related", ";", ",", "=", '"', "\\", "q", "type", "*/*", DICOM, "transfer-syntax", " ", "0.5", "*"]
    )
).map("".join)


@given(header=HEADER, matrix=st.sampled_from([FILES, FILE, FRAMES, RENDERED]))
def test_no_header_breaks_the_negotiation(header: str, matrix: tuple[Representation, ...]) -> None:
    media.parse(header)
    try:
        assert acceptable_offers(matrix, header)
    except NotAcceptable:
        return


@pytest.mark.parametrize(
    "hostile", ['"\\"' * 50_000, '"' * 50_000, ";" * 50_000, "a,;" * 50_000, "a;b" * 50_000, " " * 50_000]
)
def test_a_hostile_header_costs_little(hostile: str) -> None:
    """Only linear time stays within the timeout of a test."""
    list(media.accept_entries(hostile))
    media.parse(hostile)
