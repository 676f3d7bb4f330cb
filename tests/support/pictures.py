"""Images whose rendered pictures are known, and the pixels of answers."""

from __future__ import annotations

import io
import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from werkzeug.test import TestResponse

from tests.support.instances import make_instance

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
IDENTITY = {"WindowCenter": "128", "WindowWidth": "256"}
"""A window that shows the values 0 to 255 as they are (PS3.3 C.11.2.1.2.1)."""


class PicturePart(NamedTuple):
    """One part of a multipart response."""

    headers: dict[str, str]
    body: bytes


def gradient(rows: int, columns: int, start: int = 0) -> NDArray[np.uint8]:
    """Return a smooth picture."""
    down, across = np.mgrid[:rows, :columns]
    return np.asarray((start + down * 100 // max(rows - 1, 1) + across * 100 // max(columns - 1, 1)) % 256, np.uint8)


def gray_image(*frames: NDArray[np.uint8], **attributes: Any) -> bytes:
    """Return an instance with these frames of 8 bits, which are shown as they are unless an attribute says otherwise.

    Attributes are as for `make_instance`.
    """
    rows, columns = frames[0].shape
    data = b"".join(frame.tobytes() for frame in frames)
    described: dict[str, Any] = {
        "SOPClassUID": SECONDARY_CAPTURE,
        "rows": rows,
        "columns": columns,
        "frames": len(frames),
        "pixel": False,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "Rows": rows,
        "Columns": columns,
        "NumberOfFrames": str(len(frames)) if len(frames) > 1 else None,
        "RescaleSlope": None,
        "RescaleIntercept": None,
        **IDENTITY,
        "PixelData": data + b"\0" * (len(data) % 2),
    }
    return make_instance(**(described | attributes))


def colour_image(picture: NDArray[np.uint8], **attributes: Any) -> bytes:
    """Return an instance with one frame in RGB."""
    rows, columns, _ = picture.shape
    described = {
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "WindowCenter": None,
        "WindowWidth": None,
        "PixelData": picture.tobytes() + b"\0" * (picture.size % 2),
    }
    return gray_image(np.zeros((rows, columns), np.uint8), **(described | attributes))


def pixels_of(data: bytes) -> NDArray[Any]:
    """Return the pixels of an image file, as numbers that can be subtracted."""
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


def picture(response: TestResponse, media_type: str = "image/png") -> NDArray[Any]:
    """Return the pixels of an answer. Assert that it is a picture of this media type."""
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == media_type
    return pixels_of(response.data)


def picture_parts(response: TestResponse) -> list[PicturePart]:
    """Return the parts of a multipart answer of pictures."""
    assert response.status_code == 200, response.text
    match = re.fullmatch(r'multipart/related; type="[^"]+"; boundary=(\w+)', response.headers["Content-Type"])
    assert match, response.headers["Content-Type"]
    opening, *found, closing = (b"\r\n" + response.data).split(f"\r\n--{match[1]}".encode())
    assert (opening.strip(), closing) == (b"", b"--\r\n")
    return [_part(each) for each in found]


def _part(raw: bytes) -> PicturePart:
    head, _, body = raw.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().strip().splitlines())
    assert headers["Content-Length"] == str(len(body))
    return PicturePart(headers, body)
