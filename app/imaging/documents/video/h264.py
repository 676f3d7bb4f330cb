"""Parameter sets and slice headers of H.264, as far as a file of samples needs them (ITU-T H.264 §7.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.errors import ImageFailure

SLICE: Final = 1
IDR_SLICE: Final = 5
SPS: Final = 7
PPS: Final = 8
ACCESS_UNIT_DELIMITER: Final = 9
FIRST_OF_ACCESS_UNIT: Final = frozenset({6, SPS, PPS, ACCESS_UNIT_DELIMITER, 14, 15, 16, 17, 18})
"""NAL unit types that begin an access unit if they follow a slice (§7.4.1.2.3)."""

_WITH_CHROMA_FORMAT: Final = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
"""profile_idc of the sequence parameter sets that name a chroma format."""
_LARGEST: Final = 1 << 16
_SLICE_HEADER: Final = 40
"""Bytes of a slice that hold what is read of its header."""


class BitReader:
    """Reads the bits of a NAL unit without its emulation prevention bytes. Raises `ImageFailure` beyond the end."""

    def __init__(self, nal_unit: bytes) -> None:
        data = nal_unit[1:].replace(b"\0\0\3", b"\0\0")
        self._bits = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def bits(self, count: int) -> int:
        """Return the next bits as an unsigned number."""
        self._left -= count
        if self._left < 0:
            raise ImageFailure("The H.264 stream has a header that is cut short.")
        return self._bits >> self._left & ((1 << count) - 1)

    def golomb(self) -> int:
        """Return the next unsigned Exp-Golomb code (§9.1)."""
        zeros = 0
        while not self.bits(1):
            zeros += 1
            if zeros > 32:
                raise ImageFailure("The H.264 stream has a header that cannot be read.")
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed_golomb(self) -> int:
        """Return the next signed Exp-Golomb code."""
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceParameters:
    """What a sequence parameter set says of the pictures (§7.3.2.1.1). `order_bits` is 0 unless the type is 0."""

    width: int
    height: int
    frame_number_bits: int
    order_type: int
    order_bits: int
    frames_only: bool
    separate_planes: bool

    @classmethod
    def of(cls, nal_unit: bytes) -> SequenceParameters:
        """Return the parameters. Raises `ImageFailure` for a set that cannot be read."""
        read = BitReader(nal_unit)
        profile = read.bits(8)
        read.bits(16)
        read.golomb()
        chroma, separate = _chroma(read) if profile in _WITH_CHROMA_FORMAT else (1, False)
        frame_number_bits = read.golomb() + 4
        order_type, order_bits = _picture_order(read)
        read.golomb()
        read.bits(1)
        columns, rows = read.golomb() + 1, read.golomb() + 1
        frames_only = bool(read.bits(1))
        if not frames_only:
            rows *= 2
            read.bits(1)
        read.bits(1)
        width, height = 16 * columns, 16 * rows
        if read.bits(1):
            left, right, top, bottom = (read.golomb() for _ in range(4))
            width -= (left + right) * (2 if chroma in (1, 2) else 1)
            height -= (top + bottom) * (2 if chroma == 1 else 1) * (1 if frames_only else 2)
        if not (0 < width < _LARGEST and 0 < height < _LARGEST and frame_number_bits <= 16 and order_bits <= 16):
            raise ImageFailure("The H.264 stream has no usable sequence parameter set.")
        return cls(
            width=width,
            height=height,
            frame_number_bits=frame_number_bits,
            order_type=order_type,
            order_bits=order_bits,
            frames_only=frames_only,
            separate_planes=separate,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceHeader:
    """The begin of a slice header (§7.3.3). `order` is pic_order_cnt_lsb. `field` is "", "top" or "bottom"."""

    first_block: int
    frame_number: int
    field: str
    is_idr: bool
    is_reference: bool
    order: int

    @classmethod
    def of(cls, nal_unit: bytes, parameters: SequenceParameters) -> SliceHeader:
        """Return the header. Raises `ImageFailure` for one that cannot be read."""
        read = BitReader(nal_unit[:_SLICE_HEADER])
        first_block = read.golomb()
        read.golomb()
        read.golomb()
        if parameters.separate_planes:
            read.bits(2)
        frame_number = read.bits(parameters.frame_number_bits)
        field = ""
        if not parameters.frames_only and read.bits(1):
            field = "bottom" if read.bits(1) else "top"
        is_idr = nal_unit[0] & 0x1F == IDR_SLICE
        if is_idr:
            read.golomb()
        return cls(
            first_block=first_block,
            frame_number=frame_number,
            field=field,
            is_idr=is_idr,
            is_reference=bool(nal_unit[0] & 0x60),
            order=read.bits(parameters.order_bits),
        )


def _chroma(read: BitReader) -> tuple[int, bool]:
    """Read chroma format, bit depths and scaling lists. Return the format, and whether colours are separate planes."""
    chroma = read.golomb()
    separate = chroma == 3 and bool(read.bits(1))
    read.golomb()
    read.golomb()
    read.bits(1)
    if read.bits(1):
        for number in range(12 if chroma == 3 else 8):
            if read.bits(1):
                _skip_scaling_list(read, 16 if number < 6 else 64)
    return chroma, separate


def _skip_scaling_list(read: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + read.signed_golomb() + 256) % 256
        last = following or last


def _picture_order(read: BitReader) -> tuple[int, int]:
    """Return pic_order_cnt_type, and the bits of the count in slice headers."""
    order_type = read.golomb()
    if order_type == 0:
        return 0, read.golomb() + 4
    if order_type == 1:
        read.bits(1)
        read.signed_golomb()
        read.signed_golomb()
        for _ in range(min(read.golomb(), 256)):
            read.signed_golomb()
    return order_type, 0
