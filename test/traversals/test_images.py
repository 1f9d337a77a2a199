"""Pixels of image messages."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scene_geo_loc.traversals.messages.images import (
    decode_compressed,
    decode_compressed_depth,
    decode_depth,
    decode_image,
)

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def pack(pixels: np.ndarray, padding: int, big: bool, last_row_padded: bool = True) -> tuple[int, bytes]:
    """The step and data of an image message with padded rows."""
    order = pixels.dtype.newbyteorder(">" if big else "<")
    rows = np.ascontiguousarray(pixels.astype(order)).view(np.uint8).reshape(len(pixels), -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xAB)
    data = padded.tobytes()
    return padded.shape[1], data if last_row_padded else data[: len(data) - padding]


@given(
    SIZES,
    st.sampled_from(["rgb", "bgr", "rgba", "bgra"]),
    st.integers(0, 5),
    st.booleans(),
    st.integers(0, 99),
)
def test_colours_come_out_as_rgb_whatever_the_order_and_padding(
    size: Any, order: Any, padding: int, last_row_padded: Any, seed: int
) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    planes = {"r": rgb[..., 0], "g": rgb[..., 1], "b": rgb[..., 2], "a": np.full(size, 255, np.uint8)}
    step, data = pack(
        np.stack([planes[letter] for letter in order], axis=-1), padding, False, last_row_padded
    )
    np.testing.assert_array_equal(decode_image(f"{order}8", size[1], size[0], step, False, data), rgb)


@given(SIZES, st.integers(0, 5), st.booleans(), st.integers(0, 99))
def test_sixteen_bits_are_cut_to_the_upper_eight_in_either_byte_order(
    size: Any, padding: int, big: bool, seed: int
) -> None:
    values = np.random.default_rng(seed).integers(0, 65536, size, dtype=np.uint16)
    step, data = pack(values, padding, big)
    decoded = decode_image("mono16", size[1], size[0], step, big, data)
    np.testing.assert_array_equal(decoded, np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_give_the_colour_that_the_sensor_saw(pattern: str, bits: int) -> None:
    colour = {"r": 200, "g": 120, "b": 40}
    cell = np.array([colour[letter] for letter in pattern]).reshape(2, 2)
    mosaic = np.tile(cell, (8, 8)).astype(np.uint8)
    pixels = mosaic if bits == 8 else mosaic.astype(np.uint16) << 8
    step, data = pack(pixels, 0, False)
    decoded = decode_image(f"bayer_{pattern}{bits}", 16, 16, step, False, data)
    np.testing.assert_array_equal(decoded[2:-2, 2:-2], np.broadcast_to((200, 120, 40), (12, 12, 3)))


@pytest.mark.parametrize(("encoding", "luma"), [("yuv422", 1), ("yuv422_yuy2", 0)])
def test_yuv_without_colour_is_grey(encoding: str, luma: int) -> None:
    pixels = np.full((4, 6, 2), 128, np.uint8)
    pixels[..., luma] = 180
    step, data = pack(pixels, 0, False)
    decoded = decode_image(encoding, 6, 4, step, False, data)
    assert decoded.shape == (4, 6, 3)
    assert np.ptp(decoded) <= 2


@given(SIZES, st.booleans(), st.integers(0, 5), st.integers(0, 99))
def test_depth_is_metres_and_zero_is_unknown(size: Any, big: bool, padding: int, seed: int) -> None:
    millimetres = np.random.default_rng(seed).integers(0, 4, size).astype(np.uint16) * 1500
    step, data = pack(millimetres, padding, big)
    depth = decode_depth("16UC1", size[1], size[0], step, big, data)
    expected = np.where(millimetres == 0, np.nan, millimetres / 1000).astype(np.float32)
    np.testing.assert_array_equal(depth, expected)
    metres = np.where(millimetres == 0, np.inf, expected).astype(np.float32)
    step, data = pack(metres, 4 * padding, big)
    np.testing.assert_array_equal(decode_depth("32FC1", size[1], size[0], step, big, data), expected)


def test_a_depth_image_is_not_shown_as_rgb_nor_colours_taken_for_depth() -> None:
    with pytest.raises(ValueError, match="16UC1"):
        decode_image("16UC1", 2, 2, 4, False, bytes(8))
    with pytest.raises(ValueError, match="rgb8"):
        decode_depth("rgb8", 2, 2, 6, False, bytes(12))


@pytest.mark.parametrize(
    ("width", "height", "step", "size"), [(4, 4, 12, 47), (4, 4, 11, 48), (0, 4, 0, 0), (4, 0, 12, 0)]
)
def test_data_that_do_not_fit_the_size_are_refused(width: int, height: int, step: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes"):
        decode_image("rgb8", width, height, step, False, bytes(size))


def test_compressed_images_are_rgb_and_damaged_ones_refused() -> None:
    rgb = np.zeros((20, 30, 3), np.uint8)
    rgb[..., 0] = 200
    png = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()
    np.testing.assert_array_equal(decode_compressed(png, "png"), rgb)
    for data in (b"", b"no image at all"):
        with pytest.raises(ValueError, match="cannot be decoded"):
            decode_compressed(data, "jpeg")


def test_compressed_depth_is_metres_for_millimetres_and_for_inverse_depth() -> None:
    millimetres = np.array([[0, 1500], [3000, 65000]], np.uint16)
    header = np.array([0], "<i4").tobytes()
    png = cv2.imencode(".png", millimetres)[1].tobytes()
    depth = decode_compressed_depth(header + bytes(8) + png, "16UC1; compressedDepth png")
    np.testing.assert_allclose(depth, [[np.nan, 1.5], [3.0, 65.0]])
    A, B = 100.0, -5.0
    metres = np.array([[np.nan, 1.0], [2.5, 4.0]])
    quantized = np.nan_to_num(A / metres + B).round().astype(np.uint16)
    png = cv2.imencode(".png", quantized)[1].tobytes()
    depth = decode_compressed_depth(
        header + np.array([A, B], "<f4").tobytes() + png, "32FC1; compressedDepth"
    )
    np.testing.assert_allclose(depth, metres, rtol=0.02)
