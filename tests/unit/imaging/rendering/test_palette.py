"""Palettes, by PS3.3 C.7.9, C.7.9.2 and C.7.6.19."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from app.errors import ImageFailure
from app.imaging.rendering.lookup_table import Descriptor
from app.imaging.rendering.segmented_palette import expanded
from tests.unit.imaging.rendering.images import image, rendered

NAMES = ("Red", "Green", "Blue")


def with_palette(
    samples: Any,
    descriptor: list[int],
    tables: list[bytes],
    segmented: bool = False,
    photometric: str = "PALETTE COLOR",
) -> Dataset:
    """Return the attributes of an image with a palette."""
    dataset = image(samples, photometric)
    for name, table in zip(NAMES, tables, strict=True):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", descriptor)
        prefix = "Segmented" if segmented else ""
        setattr(dataset, f"{prefix}{name}PaletteColorLookupTableData", table)
    return dataset


def words(*numbers: int) -> bytes:
    return np.array(numbers, "<u2").tobytes()


def colours(samples: Any, *rest: Any, **options: Any) -> list[list[int]]:
    """Return the colours of a row of pixels."""
    array = np.array([samples], options.pop("dtype", "uint8"))
    dataset = with_palette(array, *rest, **options)
    return rendered(array, dataset).pixels.reshape(-1, 3).tolist()


def test_entries_of_16_bits_keep_their_upper_byte() -> None:
    tables = [words(0, 0x80FF, 0xFFFF), words(1, 2, 0x1234), words(0xFF00, 0, 0)]
    assert colours([0, 1, 2], [3, 0, 16], tables) == [[0, 0, 255], [128, 0, 0], [255, 18, 0]]


def test_entries_of_8_bits_in_bytes_and_in_words() -> None:
    expected = [[1, 4, 7], [2, 5, 8], [3, 6, 9]]
    packed = [bytes([1, 2, 3, 0]), bytes([4, 5, 6, 0]), bytes([7, 8, 9, 0])]
    assert colours([0, 1, 2], [3, 0, 8], packed) == expected
    assert colours([0, 1, 2], [3, 0, 8], [words(1, 2, 3), words(4, 5, 6), words(7, 8, 9)]) == expected


def test_entries_said_to_have_16_bits_that_are_all_below_256_have_8() -> None:
    assert colours([0, 1], [2, 0, 16], [words(9, 200)] * 3) == [[9, 9, 9], [200, 200, 200]]


def test_samples_outside_of_the_palette_have_the_nearest_entry() -> None:
    assert [red for red, _, _ in colours([0, 9, 10, 11, 12, 200], [2, 10, 8], [bytes([50, 60])] * 3)] == [
        50, 50, 50, 60, 60, 60,
    ]  # fmt: skip


def test_the_first_entry_of_signed_samples_can_be_negative() -> None:
    found = colours([-3, -2, -1, 0], [3, -2, 8], [bytes([1, 2, 3, 0])] * 3, dtype="int16")
    assert [red for red, _, _ in found] == [1, 1, 2, 3]


def test_a_palette_of_65536_entries_says_0() -> None:
    table = np.arange(65536, dtype="<u2").tobytes()
    assert [red for red, _, _ in colours([0, 256, 65535], [0, 0, 16], [table] * 3, dtype="uint16")] == [0, 1, 255]


def test_tables_that_are_shorter_than_they_say() -> None:
    found = colours([0, 1, 2], [3, 0, 8], [words(1, 2, 3), words(4), words(7, 8, 9, 9)])
    assert found == [[1, 4, 7], [2, 4, 8], [3, 4, 9]]


@pytest.mark.parametrize("missing", range(3))
def test_a_palette_without_a_colour_is_an_image_failure(missing: int) -> None:
    tables = [bytes([1, 2])] * 3
    tables[missing] = b""
    with pytest.raises(ImageFailure, match=r"^The palette is missing\.$"):
        colours([0], [2, 0, 8], tables)


@pytest.mark.parametrize(("dtype", "first"), [("uint32", 65535), ("int32", -1)])
def test_samples_of_32_bits(dtype: str, first: int) -> None:
    found = colours([0, first + 1, 70000], [2, first, 8], [bytes([50, 60])] * 3, dtype=dtype)
    assert [red for red, _, _ in found] == ([50, 60, 60] if first != -1 else [60, 60, 60])


def test_a_palette_for_floating_point_samples_is_an_image_failure() -> None:
    with pytest.raises(ImageFailure, match=r"^A palette needs pixels that are integers\.$"):
        colours([0], [2, 0, 8], [bytes([1, 2])] * 3, dtype="float32")


def test_a_palette_is_that_of_pydicom() -> None:
    random = np.random.default_rng(5)
    samples = random.integers(0, 256, (9, 11)).astype(np.uint8)
    tables = [random.integers(0, 65536, 200).astype("<u2").tobytes() for _ in NAMES]
    dataset = with_palette(samples, [200, 30, 16], tables)
    assert np.array_equal(rendered(samples, dataset).pixels, apply_color_lut(samples, dataset) >> 8)


def test_alpha_is_shown_on_black() -> None:
    array = np.array([[0, 1, 2]], np.uint8)
    dataset = with_palette(array, [3, 0, 8], [bytes([200, 200, 200, 0])] * 3)
    dataset.AlphaPaletteColorLookupTableDescriptor = [3, 0, 8]
    dataset.AlphaPaletteColorLookupTableData = bytes([0, 51, 255, 0])
    assert [red for red, _, _ in rendered(array, dataset).pixels.reshape(-1, 3).tolist()] == [0, 40, 200]
    dataset.AlphaPaletteColorLookupTableData = bytes(4)
    assert [red for red, _, _ in rendered(array, dataset).pixels.reshape(-1, 3).tolist()] == [200, 200, 200]


def test_discrete_and_linear_segments() -> None:
    """A discrete segment of 2, a line of 4 from 10 to 50, and a discrete one of 1."""
    data = words(0, 2, 7, 10, 1, 4, 50, 0, 1, 3)
    assert expanded(data, Descriptor(7, 0, 16)).tolist() == [7, 10, 20, 30, 40, 50, 3]


def test_an_indirect_segment_repeats_segments_from_a_byte_offset() -> None:
    """The indirect segment repeats the line, which begins at byte 8, from the last entry (PS3.3 C.7.9.2.3)."""
    data = words(0, 2, 0, 10, 1, 2, 30, 2, 1, 8, 0)
    assert expanded(data, Descriptor(6, 0, 16)).tolist() == [0, 10, 20, 30, 30, 30]


def test_segments_of_8_bits() -> None:
    data = bytes([0, 2, 0, 10, 1, 2, 30, 2, 1, 4, 0, 0, 0, 0])
    assert expanded(data, Descriptor(6, 0, 8)).tolist() == [0, 10, 20, 30, 30, 30]


def test_segments_are_used_for_a_picture() -> None:
    found = colours([0, 1, 2], [3, 0, 16], [words(0, 1, 0, 1, 2, 0xFF00)] * 3, segmented=True)
    assert found == [[0, 0, 0], [127, 127, 127], [255, 255, 255]]


@pytest.mark.parametrize(
    "data",
    [
        words(2, 65535, 0, 0),  # an indirect segment that refers to itself
        words(0, 1, 5, 2, 65535, 6, 0),  # one that refers to itself after an entry
        words(0, 1, 5, 2, 1, 65535, 65535),  # an offset behind the end
        words(0, 60000, 5),  # a discrete segment that is cut short
        words(1, 0, 5),  # a line without entries
        words(9, 9, 9),  # an unknown segment
        words(0, 0, 0, 0),  # a segment without entries
        words(0, 1, 5, 1),  # half a segment
    ],
)
def test_damaged_segments_end_the_palette(data: bytes) -> None:
    assert expanded(data, Descriptor(4, 0, 16)).tolist() in ([], [5])


def test_segments_without_entries_are_not_read_for_ever() -> None:
    """The entry behind a thousand indirect segments of no segments is left out."""
    assert expanded(words(0, 1, 7) + words(2, 0, 0, 0) * 1000 + words(0, 1, 9), Descriptor(100, 0, 16)).tolist() == [7]


def test_no_more_entries_than_described() -> None:
    assert expanded(words(0, 1, 0, 1, 60000, 9, 2, 60000, 6, 0), Descriptor(100, 0, 16)).size == 100


def test_a_supplemental_palette_colours_the_samples_above_its_first_entry() -> None:
    samples = np.array([[0, 50, 99, 100, 101, 200]], np.uint8)
    dataset = with_palette(
        samples, [2, 100, 8], [bytes([1, 2]), bytes([3, 4]), bytes([5, 6])], photometric="MONOCHROME2"
    )
    dataset.PixelPresentation = "MIXED"
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = 50, 100, "LINEAR_EXACT"
    found = rendered(samples, dataset).pixels.reshape(-1, 3).tolist()
    assert found == [[0] * 3, [128] * 3, [252] * 3, [1, 3, 5], [2, 4, 6], [2, 4, 6]]


def test_the_automatic_window_of_a_supplemental_palette_leaves_out_its_samples() -> None:
    samples = np.array([[0, 100, 1000, 1001]], np.uint16)
    dataset = with_palette(samples, [2, 1000, 8], [bytes([1, 2])] * 3, photometric="MONOCHROME2")
    dataset.PixelPresentation = "COLOR"
    assert [red for red, _, _ in rendered(samples, dataset).pixels[0].tolist()] == [0, 255, 1, 2]


def test_a_grayscale_image_with_a_palette_that_is_not_supplemental_stays_gray() -> None:
    samples = np.array([[0, 255]], np.uint8)
    dataset = with_palette(samples, [2, 0, 8], [bytes([1, 2])] * 3, photometric="MONOCHROME2")
    assert rendered(samples, dataset).pixels.tolist() == [[0, 255]]
