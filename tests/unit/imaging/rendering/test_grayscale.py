"""The grayscale pipeline, by values that were computed by hand from PS3.3 C.11 and PS3.4 N.2."""

from __future__ import annotations

import numpy as np
import pytest

from app.imaging.rendering.parameters import Window
from tests.unit.imaging.rendering.images import image, rendered, sequence_item, shades


def test_a_linear_window_is_one_narrower_than_it_says() -> None:
    """PS3.3 C.11.2.1.2.1: center 40 and width 400 reach from -160 to 239."""
    found = shades([-161, -160, 39, 40, 239, 240], WindowCenter=40, WindowWidth=400)
    assert found == [0, 0, 127, 128, 255, 255]


def test_a_linear_exact_window_is_as_wide_as_it_says() -> None:
    found = shades([0, 50, 100, 150, 200], WindowCenter=100, WindowWidth=200, VOILUTFunction="LINEAR_EXACT")
    assert found == [0, 64, 128, 191, 255]


def test_a_sigmoid_window() -> None:
    """255 / (1 + exp(-4 (x - 100) / 200))."""
    found = shades([-500, 0, 100, 200, 700], WindowCenter=100, WindowWidth=200, VOILUTFunction="SIGMOID")
    assert found == [0, 30, 128, 225, 255]


def test_the_window_applies_to_modality_values() -> None:
    found = shades([0, 500, 1000], RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=0.5, WindowWidth=2001)
    assert found == [0, 128, 255]


def test_the_first_window_of_several_counts() -> None:
    assert shades([0, 100, 1000], WindowCenter=[50.5, 500], WindowWidth=[101, 1001]) == [0, 255, 255]


def test_a_requested_window_replaces_that_of_the_attributes() -> None:
    assert shades([0, 5, 10], WindowCenter=500, WindowWidth=3, window=Window(5, 10, "linear-exact")) == [0, 128, 255]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
def test_every_type_of_samples_gives_the_same_shades(dtype: str) -> None:
    found = shades([0, 50, 100], dtype, WindowCenter=50, WindowWidth=100, VOILUTFunction="LINEAR_EXACT")
    assert found == [0, 128, 255]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floating_point_samples(dtype: str) -> None:
    found = shades([-1, 0, 0.25, 1, np.nan, np.inf, -np.inf], dtype, WindowCenter=0.5, WindowWidth=1,
                   VOILUTFunction="LINEAR_EXACT")  # fmt: skip
    assert found == [0, 0, 64, 255, 0, 255, 0]


def test_a_modality_lut_replaces_slope_and_intercept() -> None:
    """Inputs below the first are the first, those above the last are the last (PS3.3 C.11.1.1)."""
    table = sequence_item(LUTDescriptor=[3, 10, 8], ModalityLUTType="US", LUTData=b"\x00\x00\x64\x00\xc8\x00")
    table[0]["LUTData"].VR = "OW"
    found = shades(
        [0, 10, 11, 12, 99], ModalityLUTSequence=table, RescaleSlope=50, window=Window(100, 200, "linear-exact")
    )
    assert found == [0, 0, 128, 255, 255]


def test_a_modality_lut_of_signed_pixels_begins_at_a_negative_value() -> None:
    table = sequence_item(LUTDescriptor=[3, -1, 8], ModalityLUTType="US", LUTData=b"\x00\x01\x02\x00")
    assert shades([-2, -1, 0, 1], ModalityLUTSequence=table, window=Window(1, 2, "linear-exact")) == [0, 0, 128, 255]


def test_a_voi_lut_comes_before_a_window() -> None:
    table = sequence_item(LUTDescriptor=[4, 100, 8], LUTData=bytes([0, 255, 128, 64]))
    found = shades([99, 100, 101, 102, 103, 200], "uint16", VOILUTSequence=table, WindowCenter=5, WindowWidth=2)
    assert found == [0, 0, 255, 128, 64, 64]


def test_a_voi_lut_of_16_bits_is_scaled_by_its_bits() -> None:
    table = sequence_item(LUTDescriptor=[3, 0, 12], LUTData=np.array([0, 2048, 4095], "<u2").tobytes())
    assert shades([0, 1, 2], "uint16", VOILUTSequence=table) == [0, 128, 255]


def test_entries_larger_than_their_bits_say_widen_the_bits() -> None:
    table = sequence_item(LUTDescriptor=[3, 0, 8], LUTData=np.array([0, 2048, 4095], "<u2").tobytes())
    assert shades([0, 1, 2], "uint16", VOILUTSequence=table) == [0, 128, 255]


def test_the_first_input_of_a_voi_lut_is_negative_if_modality_values_can_be() -> None:
    """The VR of the descriptor is US in many files."""
    table = sequence_item(LUTDescriptor=[3, 65536 - 1000, 8], LUTData=bytes([0, 100, 255]))
    found = shades([0, 24, 25, 26, 99], "uint16", VOILUTSequence=table, RescaleIntercept=-1024, RescaleSlope=1)
    assert found == [0, 0, 100, 255, 255]


def test_a_lut_with_one_entry() -> None:
    table = sequence_item(LUTDescriptor=[1, 0, 8], LUTData=b"\x80\x00")
    assert shades([0, 1, 9], "uint16", VOILUTSequence=table) == [128, 128, 128]


def test_a_lut_shorter_than_its_descriptor_says_uses_the_entries_that_there_are() -> None:
    table = sequence_item(LUTDescriptor=[4000, 0, 16], LUTData=np.array([0, 65535], "<u2").tobytes())
    assert shades([0, 1, 3999], "uint16", VOILUTSequence=table) == [0, 255, 255]


def test_a_lut_without_entries_is_ignored() -> None:
    for table in (sequence_item(LUTDescriptor=[4, 0, 8], LUTData=b""), sequence_item(LUTExplanation="none"), []):
        found = shades([0, 100], "uint16", VOILUTSequence=table, WindowCenter=50, WindowWidth=100)
        assert found == [0, 255]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, [0, 128, 255]),
        ({"PresentationLUTShape": "IDENTITY"}, [0, 128, 255]),
        ({"PresentationLUTShape": "INVERSE"}, [255, 127, 0]),
        ({"PhotometricInterpretation": "MONOCHROME1"}, [255, 127, 0]),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, [255, 127, 0]),
    ],
)
def test_presentation(attributes: dict[str, str], expected: list[int]) -> None:
    found = shades([0, 128, 255], "uint8", **attributes)
    assert found == expected


def test_a_presentation_lut_spreads_over_the_output_of_the_window() -> None:
    table = sequence_item(LUTDescriptor=[3, 0, 8], LUTData=bytes([255, 0, 51]))
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        found = shades([0, 128, 255], "uint8", PresentationLUTSequence=table, PhotometricInterpretation=photometric)
        assert found == [255, 0, 51]


def test_padding_is_black() -> None:
    found = shades([-2000, 0, 100], PixelPaddingValue=-2000, PhotometricInterpretation="MONOCHROME1",
                   WindowCenter=50, WindowWidth=100, VOILUTFunction="LINEAR_EXACT")  # fmt: skip
    assert found == [0, 255, 0]


def test_a_range_of_padding_is_black() -> None:
    found = shades([10, 11, 12, 13], "uint16", PixelPaddingValue=12, PixelPaddingRangeLimit=11, window=Window(5, 2))
    assert found == [255, 0, 0, 255]


def test_padding_of_floating_point_samples() -> None:
    found = shades([-5, 0, 1], "float32", FloatPixelPaddingValue=1.0, window=Window(0, 2, "linear-exact"))
    assert found == [0, 128, 0]


def test_an_automatic_window_leaves_out_padding() -> None:
    values = [-2000] * 500 + list(range(101))
    found = shades(values, PixelPaddingValue=-2000)[500:]
    assert found == pytest.approx([value * 2.55 for value in range(101)], abs=0.51)


def test_an_automatic_window_leaves_out_values_that_are_not_finite() -> None:
    found = shades([np.nan] * 9 + [np.inf] * 9 + [-np.inf] * 9 + [0, 5, 10], "float32")
    assert found == [0] * 9 + [255] * 9 + [0] * 9 + [0, 128, 255]


def test_an_automatic_window_of_a_frame_with_few_values_reaches_from_the_smallest_to_the_largest() -> None:
    assert shades([0] * 1000 + [5, 10])[-2:] == [128, 255]


def test_a_value_that_is_no_number_is_black_with_any_presentation() -> None:
    table = sequence_item(LUTDescriptor=[2, 0, 8], LUTData=bytes([255, 51]))
    found = shades([np.nan, 0, 1], "float64", PresentationLUTSequence=table, window=Window(0.5, 1, "linear-exact"))
    assert found == [0, 255, 51]


def test_an_automatic_window_leaves_out_a_few_extremes() -> None:
    found = shades([30000, *range(1000), -30000])
    assert (found[1], found[500], found[1000]) == (0, 127, 255)


@pytest.mark.parametrize("value", [0, 7, -7])
def test_a_frame_of_one_value_is_black_at_zero(value: int) -> None:
    assert shades([value] * 3) == ([255] * 3 if value > 0 else [0] * 3)


def test_samples_of_few_bits_are_shown_in_their_whole_range() -> None:
    assert shades([0, 8, 15], "uint8", BitsStored=4, HighBit=3) == [0, 136, 255]
    assert shades([0, 1], "uint8", BitsStored=1, HighBit=0) == [0, 255]


def test_samples_of_8_bits_are_shown_as_they_are_with_any_positive_slope() -> None:
    assert shades([0, 100, 255], "uint8", RescaleSlope=3.7, RescaleIntercept=-5) == [0, 100, 255]
    assert shades([100, 110], "uint8") == [100, 110]


def test_a_negative_slope_inverts() -> None:
    assert shades([0, 100, 255], "uint8", RescaleSlope=-1, RescaleIntercept=0) == [255, 155, 0]


@pytest.mark.parametrize("slope", ["0", "0.0", "1e999"])
def test_a_slope_that_makes_no_sense_is_ignored(slope: str) -> None:
    dataset_values = {"RescaleSlope": slope, "RescaleIntercept": "0"}
    assert shades([0, 50, 100], window=Window(50, 100, "linear-exact"), **dataset_values) == [0, 128, 255]


def test_an_intercept_that_makes_no_sense_is_ignored() -> None:
    found = shades([0, 50, 100], window=Window(50, 100, "linear-exact"), RescaleIntercept="1e999", RescaleSlope="1")
    assert found == [0, 128, 255]


@pytest.mark.parametrize("width", [0, -5])
def test_a_window_that_makes_no_sense_is_ignored(width: int) -> None:
    assert shades([0, 50, 255], "uint8", WindowCenter=40, WindowWidth=width) == [0, 50, 255]


def test_a_window_one_wide_is_a_threshold() -> None:
    assert shades([4, 5, 6], WindowCenter=5, WindowWidth=1) == [0, 255, 255]
    found = shades([5, 6], WindowCenter=5.5, WindowWidth=1, PhotometricInterpretation="MONOCHROME1")
    assert found == [255, 0]


def test_a_narrow_window_of_fractions_is_exact() -> None:
    assert shades([0, 0.25, 0.5], "float32", WindowCenter=0.25, WindowWidth=0.5) == [0, 128, 255]


def test_an_image_of_16_bits_is_shown_by_a_table_for_all_stored_values() -> None:
    samples = np.arange(-32768, 32768, dtype=np.int16).reshape(256, 256)
    found = rendered(samples, image(samples, WindowCenter=0, WindowWidth=65536)).pixels.reshape(-1)
    assert found.tolist() == sorted(found.tolist())
    assert (found[0], found[-1]) == (0, 255)
