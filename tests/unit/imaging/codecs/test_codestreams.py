"""What the codecs make of codestreams of every syntax: signs, precision, padding, damage, and wrong sizes."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import ImageFailure
from app.imaging.codecs import codestreams, conversion, jpeg_xl_header
from app.imaging.codecs.syntaxes import SYNTAXES
from app.imaging.pixels.description import PixelDescription
from tests.support.codestreams import NAMES, compressed_frame
from tests.support.images import KINDS, description_of, native_frame, samples_of

LOSSLESS = [name for name in NAMES if not SYNTAXES[compressed_frame(name).description.transfer_syntax].lossy]
LOSSY = [name for name in NAMES if name not in LOSSLESS]
JPEG_FAMILY = [name for name in NAMES if name.startswith(("JPEG", "HTJ2K")) and not name.startswith("JPEG XL")]


def described(kind: str, syntax: str, **changes: Any) -> PixelDescription:
    """Return the description of a kind of images in a transfer syntax."""
    return replace(description_of(KINDS[kind]), transfer_syntax=f"1.2.840.10008.1.2.{syntax}", **changes)


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_lossless_frame_is_decoded_to_the_samples_that_were_encoded(name: str) -> None:
    frame = compressed_frame(name)
    decoded = conversion.decode(frame.description, frame.data)
    np.testing.assert_array_equal(decoded.samples, frame.samples)
    assert decoded.samples.dtype == frame.samples.dtype


@pytest.mark.parametrize("name", LOSSY)
def test_a_lossy_frame_is_decoded_to_similar_samples(name: str) -> None:
    frame = compressed_frame(name)
    decoded = conversion.decode(frame.description, frame.data)
    assert decoded.samples.dtype == frame.samples.dtype
    if decoded.photometric == "YBR_FULL":
        luminance = frame.samples @ np.array([0.299, 0.587, 0.114])
        difference = np.abs(decoded.samples[..., 0] - luminance)
    else:
        difference = np.abs(decoded.samples.astype(float) - frame.samples)
    assert difference.mean() < 0.05 * (1 << frame.description.bits_stored)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("padding", [b"\0", b"\0" * 40], ids=["one", "many"])
def test_padding_after_a_codestream_is_ignored(name: str, padding: bytes) -> None:
    if name.startswith("RLE") and len(padding) > 1:
        pytest.skip("PS3.5 pads an RLE frame to an even length only")
    frame = compressed_frame(name)
    decoded = conversion.decode(frame.description, frame.data + padding)
    np.testing.assert_array_equal(decoded.samples, conversion.decode(frame.description, frame.data).samples)


@pytest.mark.parametrize("name", JPEG_FAMILY)
@pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
def test_a_codestream_that_is_cut_off_is_refused(name: str, part: float) -> None:
    frame = compressed_frame(name)
    with pytest.raises(ImageFailure, match=r"cut off|is not a JPEG codestream|has no JPEG 2000 codestream"):
        conversion.decode(frame.description, frame.data[: int(len(frame.data) * part)])


def test_an_error_in_the_middle_of_an_htj2k_frame_is_not_ignored() -> None:
    frame = compressed_frame("HTJ2K, RGB")
    damaged = frame.data[: len(frame.data) // 2] + frame.data[len(frame.data) // 2 + 9 :]
    with pytest.raises(RuntimeError, match="ojph error"):
        conversion.decode(frame.description, damaged)


@pytest.mark.parametrize("name", ["HTJ2K", "HTJ2K, RGB", "JPEG baseline", "JPEG lossless", "JPEG 2000"])
def test_codecs_decode_into_cleared_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a codec does not write is 0, and never a part of another image."""
    frame = compressed_frame(name)
    for codec in ("htj2k_decode", "jpeg8_decode", "jpeg2k_decode"):
        monkeypatch.setattr(imagecodecs, codec, lambda data, out, **options: out)
    assert not conversion.decode(frame.description, frame.data).samples.any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factor", [(200, 1), (1, 200)])
def test_a_frame_of_another_size_is_refused(name: str, factor: tuple[int, int]) -> None:
    frame = compressed_frame(name)
    rows, columns = frame.description.rows * factor[0], frame.description.columns * factor[1]
    other = replace(frame.description, rows=rows, columns=columns)
    with pytest.raises((ImageFailure, imagecodecs.DicomrleError)):
        conversion.decode(other, frame.data)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"\xff" * 100, b"\xff\xd8" * 50, b"\xff\x4f\xff\x51" * 25])
def test_data_that_is_no_codestream_is_refused(name: str, data: bytes) -> None:
    with pytest.raises((ImageFailure, imagecodecs.JpegxlError, imagecodecs.DicomrleError)):
        conversion.decode(compressed_frame(name).description, data)


def _claiming(name: str, rows: int, columns: int) -> bytes:
    """Return a codestream whose header claims another size."""
    data = compressed_frame(name).data
    if name.startswith(("JPEG 2000", "HTJ2K")):
        return data[:8] + struct.pack(">IIIIII", columns, rows, 0, 0, columns, rows) + data[32:]
    marker = data.index(b"\xff\xf7") if name.startswith("JPEG-LS") else data.index(b"\xff\xc3")
    return data[: marker + 5] + struct.pack(">HH", rows, columns) + data[marker + 9 :]


@pytest.mark.parametrize("name", ["JPEG lossless", "JPEG-LS", "JPEG 2000", "HTJ2K"])
def test_a_small_codestream_that_claims_a_huge_image_is_refused_before_a_codec_sees_it(name: str) -> None:
    frame = compressed_frame(name)
    with pytest.raises(
        ImageFailure, match="The codestream has 60000 rows, 60000 columns and 1 samples; the image has 16"
    ):
        conversion.decode(frame.description, _claiming(name, 60000, 60000))


def test_a_jpeg_2000_codestream_with_very_many_tiles_is_refused() -> None:
    frame = compressed_frame("JPEG 2000")
    data = frame.data[:8] + struct.pack(">IIIIII", 4000, 4000, 0, 0, 1, 1) + frame.data[32:]
    with pytest.raises(ImageFailure, match="more than 65535 tiles"):
        conversion.decode(replace(frame.description, rows=4000, columns=4000), data)


def test_components_of_different_precisions_are_refused() -> None:
    frame = compressed_frame("JPEG 2000, RGB")
    data = frame.data[:45] + b"\x0b" + frame.data[46:]
    with pytest.raises(ImageFailure, match="The components of the JPEG 2000 codestream have different sizes"):
        conversion.decode(frame.description, data)


def test_more_bits_than_bits_allocated_are_refused() -> None:
    frame = compressed_frame("JPEG lossless")
    with pytest.raises(ImageFailure, match="16 bits for each sample; Bits Allocated is 8"):
        conversion.decode(replace(frame.description, bits_allocated=8, bits_stored=8, high_bit=7), frame.data)


@pytest.mark.parametrize(("rows", "columns"), [(60000, 60000), (300, 300), (8, 8), (256, 128), (513, 7)])
def test_the_size_of_jpeg_xl_images(rows: int, columns: int) -> None:
    if rows * columns > 1 << 24:
        wide = _bits([(0, 1), (2, 2), (rows - 1, 18), (1, 3)])
        assert jpeg_xl_header.size(b"\xff\x0a" + wide) == (rows, columns)
    else:
        for container in (False, True):
            data = imagecodecs.jpegxl_encode(np.zeros((rows, columns), np.uint8), lossless=True, usecontainer=container)
            assert jpeg_xl_header.size(bytes(data)) == (rows, columns)


def _bits(fields: list[tuple[int, int]]) -> bytes:
    number, position = 0, 0
    for value, width in fields:
        number |= value << position
        position += width
    return number.to_bytes(8, "little")


def test_a_jpeg_xl_image_that_claims_to_be_huge_is_refused() -> None:
    frame = compressed_frame("JPEG XL")
    with pytest.raises(ImageFailure, match="The codestream has 60000 rows and 60000 columns; the image has 16 and 20"):
        conversion.decode(frame.description, b"\xff\x0a" + _bits([(0, 1), (2, 2), (59999, 18), (1, 3)]))


def test_a_deflated_frame_is_not_inflated_beyond_its_size() -> None:
    frame = compressed_frame("Deflate")
    bomb = zlib.compress(bytes(100 << 20), wbits=-15)
    assert conversion.decode(frame.description, bomb).samples.sum() == 0


@pytest.mark.parametrize("header", [(3, 64, 70, 80), (2, 80, 64), (2, 64, 10_000), (2, 0, 64), (2**32 - 1, 64)])
def test_rle_headers_that_do_not_fit_are_refused(header: tuple[int, ...]) -> None:
    frame = compressed_frame("RLE")
    data = struct.pack("<16I", *header, *[0] * (16 - len(header))) + frame.data[64:]
    with pytest.raises(ImageFailure, match=r"The RLE frame has|The offsets of the RLE segments are not ascending"):
        conversion.decode(frame.description, data)


def test_an_unsigned_codestream_of_signed_samples() -> None:
    """Some writers encode two's complement numbers as unsigned ones."""
    kind = KINDS["12 of 16 bit signed"]
    unsigned = (samples_of(kind) & 0xFFF).astype(np.uint16)
    for syntax, data in (
        ("4.90", imagecodecs.jpeg2k_encode(unsigned, codecformat="J2K", reversible=True, bitspersample=12)),
        ("4.91", imagecodecs.jpeg2k_encode(unsigned, codecformat="J2K", reversible=True, bitspersample=12)),
        ("4.80", imagecodecs.jpegls_encode(unsigned)),
        ("4.70", imagecodecs.jpeg8_encode(unsigned, lossless=True, predictor=1, bitspersample=12)),
    ):
        decoded = conversion.decode(described("12 of 16 bit signed", syntax), bytes(data))
        np.testing.assert_array_equal(decoded.samples, samples_of(kind))


def test_a_signed_codestream_of_unsigned_samples() -> None:
    samples = samples_of(KINDS["16 bit signed"])
    data = imagecodecs.jpeg2k_encode(samples, codecformat="J2K", reversible=True)
    decoded = conversion.decode(described("16 bit", "4.90"), bytes(data))
    np.testing.assert_array_equal(decoded.samples, samples.view(np.uint16))


@pytest.mark.parametrize("name", ["12 of 16 bit, high bit 15", "12 of 16 bit signed, high bit 13"])
def test_codestreams_of_whole_words(name: str) -> None:
    """Lossless encoders may compress the words as stored, with High Bit above Bits Stored - 1."""
    kind = KINDS[name]
    words = np.frombuffer(native_frame(kind, samples_of(kind)), np.uint16).reshape(kind.shape)
    plain = replace(description_of(KINDS["16 bit"]), rows=kind.shape[0], columns=kind.shape[1])
    for syntax, data in (
        ("4.70", bytes(imagecodecs.jpeg8_encode(words, lossless=True, predictor=1, bitspersample=16))),
        ("4.80", bytes(imagecodecs.jpegls_encode(words))),
        ("5", conversion.transcode(plain, words.tobytes(), "1.2.840.10008.1.2.5").data),
    ):
        decoded = conversion.decode(described(name, syntax), data)
        np.testing.assert_array_equal(decoded.samples, samples_of(kind))


def test_bits_of_an_overlay_in_a_lossless_codestream_are_removed() -> None:
    kind = KINDS["12 of 16 bit"]
    words = samples_of(kind) | 0x8000
    decoded = conversion.decode(described("12 of 16 bit", "4.80"), bytes(imagecodecs.jpegls_encode(words)))
    np.testing.assert_array_equal(decoded.samples, samples_of(kind))


def _in_planes(samples: NDArray[Any]) -> bytes:
    """Return a JPEG-LS codestream with a scan for each colour (interleave mode "none")."""
    scans = b""
    for plane in range(3):
        encoded = bytes(imagecodecs.jpegls_encode(np.ascontiguousarray(samples[:, :, plane])))
        scan = encoded[encoded.index(b"\xff\xda") : -2]
        scans += scan[:5] + bytes([plane + 1]) + scan[6:]
    size = struct.pack(">BHHB", 8, *samples.shape)
    components = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    return b"\xff\xd8\xff\xf7" + struct.pack(">H", 17) + size + components + scans + b"\xff\xd9"


@pytest.mark.parametrize("interleave", ["plane", "line", "sample"])
def test_interleave_modes_of_jpeg_ls(interleave: str) -> None:
    samples = samples_of(KINDS["RGB"])
    if interleave == "plane":
        data = _in_planes(samples)
    else:
        mode = {"line": 1, "sample": 2}[interleave]
        data = bytes(pytest.importorskip("jpeg_ls").encode_array(samples, interleave_mode=mode))
        assert data[data.index(b"\xff\xda") + 12] == mode
    np.testing.assert_array_equal(conversion.decode(described("RGB", "4.80"), data).samples, samples)


@pytest.mark.parametrize("bits", range(2, 17))
def test_lossless_jpeg_of_every_precision(bits: int) -> None:
    samples = (np.arange(320, dtype=np.uint32).reshape(16, 20) * 7919 % (1 << bits)).astype(
        np.uint8 if bits <= 8 else np.uint16
    )
    data = imagecodecs.jpeg8_encode(samples, lossless=True, predictor=1, bitspersample=bits)
    description = described("16 bit", "4.70", bits_stored=bits, high_bit=bits - 1)
    decoded = conversion.decode(description, bytes(data))
    np.testing.assert_array_equal(decoded.samples, samples)
    assert decoded.samples.dtype == np.uint16


def test_the_precision_of_an_htj2k_codestream_is_bits_stored() -> None:
    kind = KINDS["12 of 16 bit"]
    description = description_of(kind)
    data = conversion.transcode(description, native_frame(kind, samples_of(kind)), "1.2.840.10008.1.2.4.201").data
    assert codestreams.jpeg_2000(data).precision == 12
    np.testing.assert_array_equal(imagecodecs.htj2k_decode(data), samples_of(kind))
    np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(data), samples_of(kind))


def test_a_jpeg_ls_codestream_has_no_header_of_a_file() -> None:
    assert compressed_frame("JPEG-LS, RGB").data.startswith(b"\xff\xd8\xff\xf7")


def test_a_lossy_value_that_is_too_large_for_bits_stored_survives_encoding() -> None:
    description = described("12 of 16 bit", "4.91", rows=2, columns=2)
    words = np.array([[4100, 0], [5, 4095]], np.uint16)
    lossy = bytes(imagecodecs.jpeg2k_encode(words, codecformat="J2K", reversible=True))
    for target in ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201"):
        encoded = conversion.transcode(description, lossy, target)
        np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(encoded.data), words)
