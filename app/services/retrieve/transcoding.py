"""Instances and frames in another transfer syntax, decoded and encoded frame by frame (conformance §4.3, PS3.5 §8).

Neither a file nor its pixels are ever in memory as a whole. The first frame is encoded before an answer begins, because
the attributes of the result depend on it. So a file that cannot be decoded is refused with its status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from app.dicom.encoding import transcode
from app.dicom.encoding.elements import UNDEFINED
from app.dicom.encoding.frames import FrameTable
from app.dicom.encoding.part10 import PIXEL_DATA, Part10, parse
from app.dicom.encoding.uids import EXPLICIT_LITTLE, transfer_syntax
from app.errors import ImageFailure, InvalidInstance, NotAcceptable
from app.imaging.codecs.syntaxes import SYNTAXES, check_target
from app.imaging.pixels.description import PixelDescription
from app.services.instance_files import InstanceFiles
from app.services.parallel import prefetch
from app.services.retrieve.frames import MAX_FRAME_BYTES, UNSUPPORTED, FramePart, FrameReader, Frames
from app.services.retrieve.image_headers import ImageHeader, ImageHeaders
from app.services.retrieve.pixel_data import (
    encapsulated_value,
    fits_one_value,
    native_bytes,
    native_pixel_data,
    native_value,
)
from app.services.retrieve.result_attributes import hides_overlay, result_attributes
from app.storage.records.rows import InstanceRow
from app.storage.table.threads import ContextThreads

if TYPE_CHECKING:  # numpy is imported with the first frame that is decoded
    from app.imaging.pixels.frame import EncodedFrame

MAX_AROUND: Final = 33_554_432
"""The largest size of what is before or after the pixel data if it is rewritten in memory, in bytes."""
_MUCH_AROUND: Final = f"More than {MAX_AROUND} bytes are before or after the pixel data."
AHEAD: Final = 4
"""Frames of a request that are decoded at the same time, if they are small."""
AHEAD_BYTES: Final = 16_777_216
"""The largest size of the frames of a request that are decoded before they are sent, in bytes."""


class FrameTranscoder(Protocol):
    """The part of `FrameDecoder` that is used here."""

    def transcode(self, description: PixelDescription, data: bytes, target: str) -> EncodedFrame: ...


class TranscodedFile(NamedTuple):
    """A file in another transfer syntax: its length in bytes (None if unknown), and its bytes in chunks."""

    length: int | None
    chunks: Iterator[bytes]


class Transcoder:
    """Gives files and frames in other transfer syntaxes."""

    def __init__(
        self, *, files: InstanceFiles, frames: FrameReader, headers: ImageHeaders, decoder: FrameTranscoder
    ) -> None:
        self._files = files
        self._frames = frames
        self._headers = headers
        self._decoder = decoder

    def is_lossy(self, row: InstanceRow) -> bool:
        """Return whether the file has frames that may differ from the image that was encoded, or that no codec reads.

        A caller that names no transfer syntax gets it as stored. Raises `LostData` if the frame table is lost.
        """
        syntax = SYNTAXES.get(row.transfer_syntax)
        return (syntax is None or syntax.lossy) and self._frames.table(row).frames > 0

    def file(self, row: InstanceRow, target: str) -> TranscodedFile:
        """Return the file in a transfer syntax. The first frame is decoded here.

        Raises `NotAcceptable` for what cannot be transcoded, `LostData`, and `StorageUnavailable` if the spool folder
        is full or missing. An error in a later frame is raised while the chunks are taken.
        """
        table = self._frames.table(row)
        if not self._keeps_pixels(row, table, target):
            return self._encoded_file(row, self._image(row, table, target), target)
        if table.frames and not table.deflated and table.start <= MAX_AROUND:
            found = self._native_file(row, table)
            if found:
                return found
        return TranscodedFile(None, self._whole_file(row))

    def frames(self, row: InstanceRow, numbers: Sequence[int], target: str) -> Frames:
        """Return frames in a transfer syntax. The first one is decoded here, the others a little before they are taken.

        Raises `NotFound` for a number beyond the frames, `NotAcceptable` for what cannot be transcoded, `LostData`. An
        error in a later frame is raised while the parts or their chunks are taken.
        """
        table = self._frames.table(row)
        for number in numbers:
            table.ranges(number)
        first, others = self._encoded(row, self._image(row, table, target), numbers, target)
        encoded = chain((first,), others)
        if target != EXPLICIT_LITTLE:
            return Frames(target, (FramePart(len(each.data), iter((each.data,))) for each in encoded))
        return Frames(target, [FramePart(len(first.data), _next_data(encoded)) for _ in numbers])

    def _keeps_pixels(self, row: InstanceRow, table: FrameTable, target: str) -> bool:
        """Return whether only the dataset is rewritten, because the pixels of the result are native as those stored."""
        if target != EXPLICIT_LITTLE:
            return False
        return not table.frames or not transfer_syntax(row.transfer_syntax).encapsulated

    def _image(self, row: InstanceRow, table: FrameTable, target: str) -> ImageHeader:
        """Return the header of an image that can be transcoded, as far as its header tells."""
        is_native = not transfer_syntax(row.transfer_syntax).encapsulated
        if table.frames and is_native != bool(table.frame_bits):
            raise _refusal("The pixel data has another form than its transfer syntax says.")
        if table.start > MAX_AROUND:
            raise _refusal(_MUCH_AROUND)
        try:
            header = self._headers.read(row)
            check_target(header.description, target)
        except ImageFailure as error:
            raise _refusal(error) from error
        if native_bytes(header.description) > MAX_FRAME_BYTES:
            raise _refusal(f"A frame has more than {MAX_FRAME_BYTES} bytes.")
        if hides_overlay(header.attributes):
            raise _refusal("An overlay is in bits of the pixels that samples do not use.")
        return header

    def _encoded_file(self, row: InstanceRow, header: ImageHeader, target: str) -> TranscodedFile:
        count = header.frames.frames
        if target == EXPLICIT_LITTLE and not fits_one_value(header.description, count):
            raise _refusal("One value cannot hold the decoded frames. They can be retrieved one by one.")
        first, others = self._encoded(row, header, range(1, count + 1), target)
        changes = result_attributes(header, first, stored_bytes=sum(header.frames.sizes))
        head = b"".join(transcode.before_pixel_data(header.data, header.part10, target, changes))
        tail = b"".join(self._after_pixels(row, header.part10, header))
        if target == EXPLICIT_LITTLE:
            size = len(first.data) * count
            head += transcode.element_header(*native_pixel_data(header.description), size + size % 2)
            length: int | None = len(head) + size + size % 2 + len(tail)
            value = native_value(chain((first,), others), size)
        else:
            head += transcode.element_header(PIXEL_DATA, "OB", UNDEFINED)
            value = encapsulated_value(chain((first,), others), count)
            length = None
            if count == 1:  # the only frame is there already
                joined = b"".join(value)
                length, value = len(head) + len(joined) + len(tail), iter((joined,))
        return TranscodedFile(length, chain((head,), value, (tail,)))

    def _encoded(
        self, row: InstanceRow, header: ImageHeader, numbers: Sequence[int], target: str
    ) -> tuple[EncodedFrame, Iterator[EncodedFrame]]:
        """Return the first of the frames in the transfer syntax `target`, and an iterator that encodes the others.

        Several small ones are encoded at the same time. Raises `NotAcceptable` for a frame that cannot be decoded, or
        that does not have the form of the first one.
        """
        described = header.description
        read = self._reader_of_frames(row, header)

        def encode(number: int) -> EncodedFrame:
            try:
                return self._decoder.transcode(described, read(number), target)
            except ImageFailure as error:
                raise _refusal(error) from error

        first = encode(numbers[0])
        form = _form(first, target)

        def others() -> Iterator[EncodedFrame]:
            rest = numbers[1:]
            ahead = min(AHEAD, len(rest), AHEAD_BYTES // native_bytes(described))
            for frame in map(encode, rest) if ahead < 2 else prefetch(encode, rest, ahead=ahead, pool=_threads):
                if _form(frame, target) != form:
                    raise _refusal("The frames have different forms.")
                yield frame
                del frame  # it is not kept while the next one is awaited

        return first, others()

    def _reader_of_frames(self, row: InstanceRow, header: ImageHeader) -> Callable[[int], bytes]:
        """Return the function that reads the bytes of a frame by its number from 1."""
        table = header.frames
        if not table.deflated:
            return lambda number: self._frames.frame(row, table, number)

        def cut(number: int) -> bytes:
            ((start, length),) = table.ranges(number)
            return table.cut(number, bytes(header.data[start : start + length]))

        return cut

    def _native_file(self, row: InstanceRow, table: FrameTable) -> TranscodedFile | None:
        """Return a file with native pixels in Explicit VR Little Endian, read by byte range.

        None if what is before or after its pixels is unusual or large.
        """
        try:
            data, part10, _tag = self._headers.before_pixels(row, table.start)
        except InvalidInstance:
            return None
        tag, vr, length = transcode.native_element(data, part10)
        end = table.start + length
        if end > row.size or row.size - end > MAX_AROUND:
            return None
        padding = bytes(length % 2)
        head = b"".join(transcode.before_pixel_data(data, part10, EXPLICIT_LITTLE, {}))
        head += transcode.element_header(tag, vr, length + len(padding))
        tail = padding + b"".join(self._rewritten(row, part10, end))
        pixels = transcode.swapped_chunks(self._frames.chunks(row, [(table.start, length)]), table.word)
        return TranscodedFile(len(head) + length + len(tail), chain((head,), pixels, (tail,)))

    def _after_pixels(self, row: InstanceRow, part10: Part10, header: ImageHeader) -> Iterator[bytes]:
        """Yield the elements after the pixel data. Raises `NotAcceptable` if they are too large."""
        table = header.frames
        if table.deflated:
            return transcode.after_pixel_data(header.data, part10)
        if table.frame_bits:
            end = table.start + transcode.native_element(bytes(header.data), part10)[2]
        else:
            end = table.start + sum(table.sizes) + 8 * len(table.sizes)  # with the delimiter, without the first header
        if row.size - end > MAX_AROUND:
            raise _refusal(_MUCH_AROUND)
        return self._rewritten(row, part10, end)

    def _rewritten(self, row: InstanceRow, part10: Part10, start: int) -> Iterator[bytes]:
        data = b"".join(self._frames.chunks(row, [(start, row.size - start)])) if start < row.size else b""
        return transcode.after_pixel_data(data, part10)

    def _whole_file(self, row: InstanceRow) -> Iterator[bytes]:
        """Return the chunks of a file with native pixels, or without pixels. The first one is computed here."""
        chunks = self._chunks_of_whole_file(row)
        return chain((next(chunks),), chunks)

    def _chunks_of_whole_file(self, row: InstanceRow) -> Iterator[bytes]:
        """Yield the chunks from a mapped file, or from a copy in the spool folder."""
        with self._files.mapped(row) as data:
            yield from transcode.to_explicit_little(data, parse(data))


def _refusal(reason: object) -> NotAcceptable:
    """Return the error that says why an image is not transcoded."""
    return NotAcceptable(f"{UNSUPPORTED} {reason}")


def _form(frame: EncodedFrame, target: str) -> tuple[str, bool, int]:
    """Return what all frames of a result have in common: its attributes say it once. Native frames have one length."""
    return frame.photometric, frame.planar, len(frame.data) if target == EXPLICIT_LITTLE else 0


def _next_data(frames: Iterator[EncodedFrame]) -> Iterator[bytes]:
    yield next(frames).data


@cache  # made at the first use, because threads do not survive the fork of a server process
def _threads() -> ContextThreads:
    return ContextThreads(AHEAD, thread_name_prefix="transcode")
