"""Frames of an instance (conformance §4.6): each is read by its own byte range, whatever the size of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Final, NamedTuple

from app.dicom.encoding import transcode
from app.dicom.encoding.elements import Buffer
from app.dicom.encoding.frames import FrameTable, frame_table, is_frame_number_right
from app.dicom.encoding.part10 import inflated, parse
from app.dicom.encoding.uids import EXPLICIT_LITTLE, transfer_syntax
from app.errors import NotAcceptable
from app.services.instance_files import InstanceFiles, Ranges
from app.storage.records.documents import Documents
from app.storage.records.losses import FRAME_TABLE, LostObjects
from app.storage.records.rows import InstanceRow

MAX_TRANSCODED_BYTES: Final = 104_857_600
"""The largest deflated file that is read for its frames (conformance §1.8)."""
MAX_FRAME_BYTES: Final = 268_435_456
"""The largest frame that is decoded or encoded, as stored and decoded (conformance §1.8)."""

UNSUPPORTED: Final = transcode.UNSUPPORTED
TOO_LARGE: Final = (
    f"Requested DICOM instance size is above the supported limit of {MAX_TRANSCODED_BYTES}. The entire instance can "
    "be retrieved with the original transfer syntax by specifying 'transfer-syntax=*' in the Accept header."
)


class FramePart(NamedTuple):
    """One frame: its length in bytes, and its bytes in chunks. A stored frame is read with its first chunk.

    `read_range` takes the first byte and the number of bytes, and returns chunks that are read by byte range. It is
    None if the frame differs from the bytes in the file.
    """

    length: int
    chunks: Iterator[bytes]
    read_range: Callable[[int, int], Iterator[bytes]] | None = None


class Frames(NamedTuple):
    """Frames in the order of the request, all in one transfer syntax.

    A list, or an iterator that encodes each frame when it is taken.
    """

    transfer_syntax: str
    parts: list[FramePart] | Iterator[FramePart]


class FrameReader:
    """Reads frames of instances."""

    def __init__(self, documents: Documents, files: InstanceFiles, lost: LostObjects) -> None:
        self._documents = documents
        self._files = files
        self._lost = lost

    def can_read(self, row: InstanceRow, syntax_wanted: str) -> bool:
        """Return whether `read` gives frames in this transfer syntax (`*`: as stored). No codec is needed for them."""
        return syntax_wanted in ("*", row.transfer_syntax) or (
            syntax_wanted == EXPLICIT_LITTLE and not transfer_syntax(row.transfer_syntax).encapsulated
        )

    def read(self, row: InstanceRow, numbers: Sequence[int], syntax_wanted: str) -> Frames:
        """Return frames by their numbers from 1, as stored (`*`) or in Explicit VR Little Endian.

        `can_read` says which transfer syntaxes are possible. Raises `NotFound` for a number beyond the frames,
        `NotAcceptable` for a deflated file that is too large, `LostData` if the frame table or the file is lost.
        """
        table = self.table(row)
        ranges = {number: table.ranges(number) for number in numbers}
        if syntax_wanted in ("*", row.transfer_syntax):
            # Some big endian files name another transfer syntax. The frame has the byte order of the name.
            syntax, little = row.transfer_syntax, table.word == 1 or transfer_syntax(row.transfer_syntax).little
        else:
            syntax, little = EXPLICIT_LITTLE, True
        if table.deflated:
            return Frames(
                syntax, self._inflated_frames(row, table, [(number, *ranges[number][0]) for number in numbers])
            )
        return Frames(syntax, [self._part(row, table, number, ranges[number], little) for number in numbers])

    def table(self, row: InstanceRow) -> FrameTable:
        """Return where the frames of an instance are; a table of no frames if it has no pixel data.

        Raises `LostData`.
        """
        if row.native:
            frames, start, frame_bits, word = row.native
            return FrameTable(frames=frames, start=start, frame_bits=frame_bits, word=word)
        packed = self._documents.frames(row)
        return FrameTable.unpack(packed) if packed else self._table_of_file(row)

    def frame(self, row: InstanceRow, table: FrameTable, number: int) -> bytes:
        """Return the bytes of one frame of a file that is not deflated, as decoders take them.

        A native frame is in little endian. The fragments of a compressed frame are joined. Raises `NotAcceptable`
        if the frame has more than `MAX_FRAME_BYTES`.
        """
        ranges = table.ranges(number)
        size = sum(length for _, length in ranges)
        if size > MAX_FRAME_BYTES:
            raise NotAcceptable(f"{UNSUPPORTED} A frame has more than {MAX_FRAME_BYTES} bytes.")
        covering = self._bytes(row, ranges, size)
        return transcode.native_frame(table, number, covering, little=True) if table.frame_bits else covering

    def _bytes(self, row: InstanceRow, ranges: Ranges, size: int) -> bytes:
        """Return the bytes of the ranges, `size` in total.

        No list of chunks is joined: the allocator keeps the memory of many chunks for its thread, and a server process
        would keep as many large frames as it has threads.
        """
        data = bytearray(size)
        position = 0
        for chunk in self.chunks(row, ranges):
            data[position : position + len(chunk)] = chunk
            position += len(chunk)
        return bytes(data)

    def _table_of_file(self, row: InstanceRow) -> FrameTable:
        """Return the frame table of a file that release 0.1.0 stored without one, because it found no frames.

        An index row does not say whether there ever was a table. If the file has the frames that it claims, there was
        one, and it is lost. Uncompressed frames never need a table.
        """
        syntax = transfer_syntax(row.transfer_syntax)
        if not syntax.encapsulated and not syntax.deflated:
            return FrameTable()
        with self._files.mapped(row) as buffer:
            part10 = parse(buffer)
            table = frame_table(buffer, part10)
        if table.frames and is_frame_number_right(table, part10):
            self._lost.current_row(row, FRAME_TABLE)
        return table

    def _part(self, row: InstanceRow, table: FrameTable, number: int, ranges: Ranges, little: bool) -> FramePart:
        """Return one frame: streamed from the file, or read whole if it begins or ends within a word."""
        if table.whole_words and little == (table.word == 1):
            read_range = partial(self._files.joined_chunks, row, ranges)
            return FramePart(sum(length for _, length in ranges), self.chunks(row, ranges), read_range)
        length = (table.frame_bits + 7) // 8
        if table.whole_words and little:
            return FramePart(length, transcode.swapped_chunks(self.chunks(row, ranges), table.word))
        if not little:
            length += -length % table.word
        return FramePart(length, self._moved(row, table, number, ranges, little))

    def _moved(self, row: InstanceRow, table: FrameTable, number: int, ranges: Ranges, little: bool) -> Iterator[bytes]:
        yield transcode.native_frame(table, number, b"".join(self.chunks(row, ranges)), little=little)

    def chunks(self, row: InstanceRow, ranges: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the bytes of the ranges. Raises `StorageUnavailable` if the file ends before a range does."""
        for start, length in ranges:
            yield from self._files.chunks(row, start, length)

    def _inflated_frames(
        self, row: InstanceRow, table: FrameTable, wanted: Sequence[tuple[int, int, int]]
    ) -> list[FramePart]:
        """Return frames of a deflated file. They cannot be read by byte range, so the file is inflated in memory."""
        if row.size > MAX_TRANSCODED_BYTES:
            raise NotAcceptable(TOO_LARGE)

        @cache
        def whole() -> Buffer:
            with self._files.open(row) as stream:
                data = stream.read()
            return inflated(data, parse(data).dataset_offset)

        def cut(number: int, start: int, length: int) -> Iterator[bytes]:
            yield table.cut(number, bytes(whole()[start : start + length]))

        return [FramePart((table.frame_bits + 7) // 8, cut(*each)) for each in wanted]
