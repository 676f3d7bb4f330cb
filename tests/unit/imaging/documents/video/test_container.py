"""What a stored video is, by its first bytes."""

from __future__ import annotations

import pytest

from app.imaging.documents.video.container import Container, container

MPEG_2, H264, H265 = (f"1.2.840.10008.1.2.4.{number}" for number in (100, 102, 107))
PACKET = b"\x47" + bytes(187)


@pytest.mark.parametrize(
    ("begin", "syntax", "expected"),
    [
        (b"\0\0\0\x18ftypmp42", H264, Container.MP4),
        (b"\0\0\0\x18ftypmp42", H265, Container.MP4),
        (b"\0\0\0\x14ftypqt  ", H264, Container.QUICKTIME),
        (b"\0\0\1\xb3\0\0\0\0", MPEG_2, Container.MPEG_2),
        (b"\0\0\1\xba\0\0\0\0", MPEG_2, Container.PROGRAM_STREAM),
        (PACKET * 3, H264, Container.TRANSPORT_STREAM),
        (b"\0\0\0\0" + (PACKET + b"\0\0\0\0") * 3, H264, Container.TRANSPORT_STREAM),
        (b"\0\0\0\1\x67\x42", H264, Container.H264),
        (b"\0\0\1\x09\x10", H264 + ".1", Container.H264),
        (b"\0\0\0\1\x40\1", H265, Container.H265),
        (b"\0\0\0\1\x40\1", "1.2.840.10008.1.2.4.108.1", Container.H265),
        (b"\0\0\0\1\x67\x42", MPEG_2, None),
        (b"\x1a\x45\xdf\xa3webm", H264, None),
        (b"<html><script>", H264, None),
        (b"", H264, None),
        (b"\0" * 500, H264, None),
        (b"\0\0\1", H264, None),
    ],
)
def test_the_form_of_a_stream(begin: bytes, syntax: str, expected: Container | None) -> None:
    assert container(begin, syntax) is expected


def test_each_form_has_its_own_media_type() -> None:
    assert Container.MP4.media_type == Container.H264.media_type == "video/mp4"
    assert Container.TRANSPORT_STREAM.media_type == "video/mp2t"
    assert Container.H265.media_type == "video/H265"
