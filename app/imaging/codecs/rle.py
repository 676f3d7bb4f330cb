"""RLE Lossless (PS3.5 Annex G): one segment for each byte of a pixel, the most significant byte first."""

from __future__ import annotations

from struct import Struct
from typing import Final

import imagecodecs
import numpy as np

from app.errors import ImageFailure
from app.imaging.pixels import native
from app.imaging.pixels.description import PixelDescription
from app.imaging.pixels.frame import DecodedFrame, EncodedFrame

_HEADER: Final = Struct("<16I")
MAX_SEGMENTS: Final = 15


def decode(description: PixelDescription, data: bytes) -> DecodedFrame:
    """Return the samples of an RLE frame. Raises `ImageFailure` if the segments do not fit the description."""
    kind = native.container(description)
    segments = description.samples * kind.itemsize
    if len(data) < _HEADER.size:
        raise ImageFailure("The header of the RLE frame is cut off.")
    number, *offsets = _HEADER.unpack_from(data)
    if number != segments:
        raise ImageFailure(f"The RLE frame has {number} segments; {segments} are needed.")
    places = [*offsets[:number], len(data)]
    if places[0] < _HEADER.size or places != sorted(places):
        raise ImageFailure("The offsets of the RLE segments are not ascending.")
    planes = bytearray(description.rows * description.columns * segments)
    decoded = imagecodecs.dicomrle_decode(data, kind.newbyteorder("=").str, out=planes)
    if len(decoded) != len(planes):
        raise ImageFailure(f"The RLE frame has {len(decoded)} bytes; {len(planes)} are needed.")
    words = native.stored_bits(description, np.frombuffer(planes, kind))
    samples = words.reshape(description.samples, description.rows, description.columns)
    return DecodedFrame(
        samples=np.ascontiguousarray(np.moveaxis(samples, 0, -1)).reshape(native.shape(description)),
        photometric=native.decoded_photometric(description),
    )


def encode(description: PixelDescription, frame: DecodedFrame) -> EncodedFrame:
    """Return an RLE frame. Each row is compressed by itself (PS3.5 §G.3.1). Segments have even lengths."""
    words = np.ascontiguousarray(frame.samples).astype(frame.samples.dtype.newbyteorder(">"))
    planes = words.view(np.uint8).reshape(description.rows, description.columns, -1)
    header = [planes.shape[-1]]
    segments = []
    offset = _HEADER.size
    for plane in range(planes.shape[-1]):
        segment = bytes(imagecodecs.packbits_encode(np.ascontiguousarray(planes[:, :, plane])))
        segment += b"\0" * (len(segment) % 2)
        segments.append(segment)
        header.append(offset)
        offset += len(segment)
    packed = _HEADER.pack(*header, *[0] * (MAX_SEGMENTS + 1 - len(header)))
    return EncodedFrame(data=packed + b"".join(segments), photometric=frame.photometric, planar=False)
