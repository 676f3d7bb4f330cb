"""What a stored video is, by its first bytes. The transfer syntax alone does not say it (PS3.5 §8.2.5 to §8.2.8)."""

from __future__ import annotations

from enum import Enum
from typing import Final

NEEDED: Final = 3 * 188 + 1
"""Bytes from the start of the stream that `container` needs."""

_PACKET: Final = 188
_LONG_PACKET: Final = 192
"""Bytes of a packet of a transport stream, without and with a time stamp before it."""


class Container(Enum):
    """A form of a stored video: its media type (PS3.18 Table 8.7.4-1, RFC 4337, RFC 3555), and what people call it."""

    MP4 = ("video/mp4", "an MP4 file")
    QUICKTIME = ("video/quicktime", "a QuickTime file")
    TRANSPORT_STREAM = ("video/mp2t", "an MPEG-2 transport stream")
    PROGRAM_STREAM = ("video/mpeg", "an MPEG-2 program stream")
    MPEG_2 = ("video/mpeg", "a raw MPEG-2 video stream")
    H264 = ("video/mp4", "a raw H.264 stream")
    H265 = ("video/H265", "a raw H.265 stream")

    @property
    def media_type(self) -> str:
        return self.value[0]

    @property
    def description(self) -> str:
        return self.value[1]


def container(begin: bytes, transfer_syntax: str) -> Container | None:
    """Return what a stream is that begins with these bytes, None if it is no known form of a video."""
    if begin[4:8] == b"ftyp":
        return Container.QUICKTIME if begin[8:12] == b"qt  " else Container.MP4
    if begin[4:8] in (b"moov", b"wide") or (begin[4:8] == b"mdat" and begin[:4] != b"\0\0\1\xb3"):
        return Container.QUICKTIME
    for packet, offset in ((_PACKET, 0), (_LONG_PACKET, 4)):
        if len(begin) > offset and all(each == 0x47 for each in begin[offset : offset + 2 * packet + 1 : packet]):
            return Container.TRANSPORT_STREAM
    stream = begin.lstrip(b"\0")
    if len(begin) - len(stream) < 2 or stream[:1] != b"\1" or len(stream) < 2:
        return None
    code = stream[1]
    if code == 0xBA:
        return Container.PROGRAM_STREAM
    if code == 0xB3:
        return Container.MPEG_2
    if _number(transfer_syntax) in (102, 103, 104, 105, 106):
        return Container.H264
    return Container.H265 if _number(transfer_syntax) in (107, 108) else None


def _number(transfer_syntax: str) -> int:
    """Return the number after 1.2.840.10008.1.2.4, 0 for another UID."""
    number = transfer_syntax.removeprefix("1.2.840.10008.1.2.4.").removesuffix(".1")
    return int(number) if number.isascii() and number.isdecimal() else 0
