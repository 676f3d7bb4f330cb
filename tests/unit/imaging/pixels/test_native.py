"""Uncompressed frames: every kind of samples, to samples and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.errors import ImageFailure
from app.imaging.pixels import native
from app.imaging.pixels.frame import DecodedFrame
from tests.support.images import KINDS, description_of, native_frame, samples_of


@pytest.mark.parametrize("name", KINDS)
def test_a_frame_is_decoded_to_its_samples(name: str) -> None:
    kind = KINDS[name]
    samples = samples_of(kind)
    decoded = native.decode(description_of(kind), native_frame(kind, samples))
    assert decoded.samples.dtype == samples.dtype
    np.testing.assert_array_equal(decoded.samples, samples)
    assert decoded.photometric == ("YBR_FULL" if kind.photometric == "YBR_FULL_422" else kind.photometric)


@pytest.mark.parametrize("name", KINDS)
def test_encoded_samples_are_decoded_to_themselves(name: str) -> None:
    kind = KINDS[name]
    description = description_of(kind)
    samples = samples_of(kind)
    encoded = native.encode(description, DecodedFrame(samples=samples, photometric=description.photometric))
    encoded_as = replace(description, planar=encoded.planar, high_bit=description.bits_stored - 1)
    np.testing.assert_array_equal(native.decode(encoded_as, encoded.data).samples, samples)


def test_bits_above_high_bit_are_not_part_of_a_sample() -> None:
    description = description_of(KINDS["12 of 16 bit"])
    noise = np.full((description.rows, description.columns), 0xF123, "<u2").tobytes()
    assert np.unique(native.decode(description, noise).samples) == 0x123
    assert np.unique(native.words(description, noise)) == 0xF123


def test_a_negative_sample_of_twelve_bits_keeps_its_sign() -> None:
    description = description_of(KINDS["12 of 16 bit signed"])
    data = np.full((description.rows, description.columns), 0x0FFF, "<u2").tobytes()
    assert np.unique(native.decode(description, data).samples) == -1


@pytest.mark.parametrize("name", ["16 bit", "1 bit odd, 3 frames", "RGB planar", "double"])
def test_a_frame_that_is_too_short_is_refused(name: str) -> None:
    kind = KINDS[name]
    data = native_frame(kind, samples_of(kind))
    with pytest.raises(ImageFailure, match=rf"The frame has {len(data) - 1} bytes. Its description needs {len(data)}."):
        native.decode(description_of(kind), data[:-1])


def test_bytes_after_the_frame_are_ignored() -> None:
    kind = KINDS["16 bit"]
    samples = samples_of(kind)
    np.testing.assert_array_equal(
        native.decode(description_of(kind), native_frame(kind, samples) + b"x").samples, samples
    )


def test_ybr_full_422_with_all_colour_samples_is_read_as_it_is() -> None:
    kind = KINDS["YBR_FULL"]
    samples = samples_of(kind)
    description = replace(description_of(kind), photometric="YBR_FULL_422")
    np.testing.assert_array_equal(native.decode(description, native_frame(kind, samples)).samples, samples)


def test_ybr_full_422_with_an_odd_number_of_columns_is_refused() -> None:
    description = replace(description_of(KINDS["YBR_FULL_422"]), rows=2, columns=5)
    with pytest.raises(ImageFailure, match="YBR_FULL_422 needs an even number of columns, not 5"):
        native.decode(description, bytes(20))
