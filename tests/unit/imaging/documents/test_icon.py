"""Icons of kinds of objects."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from app.imaging.documents.icon import SIZE, icon, icon_file
from app.imaging.documents.kinds import ObjectKind, Source, kind_of

PDF = kind_of("1.2.840.10008.5.1.4.1.1.104.1")


@pytest.mark.parametrize(("asked", "side"), [(SIZE, SIZE), (100, 100), (1, 1), (8192, SIZE)])
@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/gif", "image/webp", "image/jp2"])
def test_an_icon_has_the_size_that_is_asked_for_up_to_its_own(asked: int, side: int, media_type: str) -> None:
    assert PDF is not None
    with Image.open(BytesIO(icon_file(PDF, media_type, asked))) as image:
        assert image.size == (side, side)
        assert image.get_format_mimetype() == media_type


def test_the_text_of_an_icon_lies_within_its_band() -> None:
    """A long code gets a smaller font. The columns beside the band have no text."""
    kind = ObjectKind(code="AVERYLONGCODEOFAKIND", name="a " * 200, source=Source.NOTHING)
    pixels = np.array(icon(kind))
    band = pixels[106]
    assert (band[30:40] == band[30]).all()
    assert (band > 200).all(axis=1).any(), "the code is white"
    assert (pixels[:, :20] == pixels[0, 0]).all()


def test_kinds_differ_in_their_icons() -> None:
    one, two = (ObjectKind(code=code, name="n") for code in ("RAW", "REG"))
    assert icon(one).tobytes() != icon(two).tobytes()
