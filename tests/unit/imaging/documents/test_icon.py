"""Icons of kinds of objects."""

from __future__ import annotations

import numpy as np
import pytest

from app.imaging.documents.icon import SIZE, icon
from app.imaging.documents.kinds import ObjectKind, Source, kind_of

PDF = kind_of("1.2.840.10008.5.1.4.1.1.104.1", "1.2.840.10008.1.2.1", has_frames=False)


@pytest.mark.parametrize(("columns", "rows"), [(SIZE, SIZE), (128, 100), (1, 1), (1, 300), (600, 400)])
def test_an_icon_has_the_size_that_is_asked_for(columns: int, rows: int) -> None:
    assert PDF is not None
    pixels = icon(PDF, columns, rows)
    assert pixels.shape == (rows, columns, 3)
    assert pixels.dtype == np.uint8


def test_the_text_of_an_icon_lies_within_its_band() -> None:
    """A long code gets a smaller font. The columns beside the band have no text."""
    kind = ObjectKind(code="AVERYLONGCODEOFAKIND", name="a " * 200, source=Source.NOTHING)
    pixels = icon(kind)
    band = pixels[106]
    assert (band[30:40] == band[30]).all()
    assert (band > 200).all(axis=1).any(), "the code is white"
    assert (pixels[:, :20] == pixels[0, 0]).all()


def test_kinds_differ_in_their_icons() -> None:
    one, two = (ObjectKind(code=code, name="n") for code in ("RAW", "REG"))
    assert (icon(one) != icon(two)).any()
