"""Raw H.264 streams made by hand: grey pictures of uncompressed blocks (I_PCM), and slices that nobody decodes."""

from __future__ import annotations

from collections.abc import Sequence

START = b"\0\0\0\1"


class BitWriter:
    """Writes bits, the most significant one first."""

    def __init__(self) -> None:
        self._bits: list[int] = []

    def bits(self, value: int, count: int) -> BitWriter:
        self._bits += [value >> shift & 1 for shift in range(count - 1, -1, -1)]
        return self

    def golomb(self, *values: int) -> BitWriter:
        """Write unsigned Exp-Golomb codes."""
        for value in values:
            length = (value + 1).bit_length()
            self.bits(0, length - 1).bits(value + 1, length)
        return self

    def aligned(self) -> BitWriter:
        return self.bits(0, -len(self._bits) % 8)

    def data(self) -> bytes:
        """Return the bytes, with the stop bit."""
        self.bits(1, 1).aligned()
        whole = int("".join(map(str, self._bits)), 2)
        return whole.to_bytes(len(self._bits) // 8, "big")


def nal_unit(header: int, content: bytes) -> bytes:
    """Return a start code and a NAL unit with its emulation prevention bytes."""
    protected, zeros = bytearray(), 0
    for byte in content:
        if zeros >= 2 and byte <= 3:
            protected.append(3)
            zeros = 0
        protected.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return START + bytes([header]) + bytes(protected)


def sequence_parameters(columns: int = 1, rows: int = 1, *, order_type: int = 2, right: int = 0) -> bytes:
    """Return a sequence parameter set of pictures of 16x16 blocks. `right` is what is cropped, in 2 pixels."""
    write = BitWriter().bits(66, 8).bits(0, 8).bits(10, 8).golomb(0, 0, order_type)
    if order_type == 0:
        write.golomb(0)
    write.golomb(1).bits(0, 1).golomb(columns - 1, rows - 1).bits(1, 1).bits(0, 1)
    if right:
        write.bits(1, 1).golomb(0, right, 0, 0)
    else:
        write.bits(0, 1)
    return nal_unit(0x67, write.bits(0, 1).data())


def picture_parameters() -> bytes:
    """Return a picture parameter set."""
    write = BitWriter().golomb(0, 0).bits(0, 2).golomb(0, 0, 0).bits(0, 3).golomb(0, 0, 0).bits(0, 3)
    return nal_unit(0x68, write.data())


def grey_stream(levels: Sequence[int], columns: int = 1, rows: int = 1) -> bytes:
    """Return a stream of one picture for each level of grey. Every picture can be decoded alone."""
    pictures = []
    for number, level in enumerate(levels):
        write = BitWriter().golomb(0, 7, 0).bits(0, 4).golomb(number % 2).bits(0, 2).golomb(0)
        for _ in range(columns * rows):
            write.golomb(25).aligned()
            for value, count in ((level, 256), (128, 128)):
                for _ in range(count):
                    write.bits(value, 8)
        pictures.append(nal_unit(0x65, write.data()))
    return sequence_parameters(columns, rows) + picture_parameters() + b"".join(pictures)


def slice_unit(*, order: int, idr: bool = False, reference: bool = True, first: int = 0, number: int = 0) -> bytes:
    """Return a slice whose header counts pictures in 4 bits (`order_type` 0). Its blocks are not decodable."""
    write = BitWriter().golomb(first, 0, 0).bits(number, 4)
    if idr:
        write.golomb(0)
    write.bits(order, 4).bits(0x5A5A, 16)
    return nal_unit((0x60 if reference else 0) | (5 if idr else 1), write.data())
