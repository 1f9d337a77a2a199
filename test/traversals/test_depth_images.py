# Copyright 2026 The scene_geo_loc authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Depth maps of image messages."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_messages import SIZES, message, pack

from scene_geo_loc.traversals.messages.depth import (
    DepthDecoder,
    decode_compressed_depth,
    decode_depth,
    depth_of,
)


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


def rvl(values: np.ndarray) -> bytes:
    """Encodes an image as the header and the data of compressed_depth_image_transport in RVL."""
    numbers: list[int] = []
    flat, at, before = values.reshape(-1).astype(int), 0, 0
    while at < len(flat):
        for zeros in (True, False):
            end = at
            while end < len(flat) and (flat[end] == 0) == zeros:
                end += 1
            numbers.append(end - at)
            if not zeros:
                for value in flat[at:end]:
                    change = int(value) - before
                    numbers.append(2 * change if change >= 0 else -2 * change - 1)
                    before = int(value)
            at = end
    nibbles: list[int] = []
    for number in numbers:
        while True:
            low, number = number & 7, number >> 3
            nibbles.append(low | (8 if number else 0))
            if not number:
                break
    nibbles += [0] * (-len(nibbles) % 8)
    words = [
        int("".join(f"{nibble:x}" for nibble in nibbles[i : i + 8]), 16) for i in range(0, len(nibbles), 8)
    ]
    size = np.array([values.shape[1], values.shape[0]], "<u4").tobytes()
    return bytes(12) + size + np.array(words, "<u4").tobytes()


def test_the_rvl_of_a_known_image_is_that_of_the_paper() -> None:
    # Two zeros, then the three pixels 3, 1, 9 as differences +3, -2, +8: zigzag 6, 3, 16.
    # Nibbles 2 | 3 | 6 | 3 | 8 + 0, 2 of 16 = 2 * 8: 2 3 6 3 8 2, filled up to a word.
    data = bytes(12) + np.array([5, 1, 0x23638200], "<u4").tobytes()
    assert rvl(np.array([[0, 0, 3, 1, 9]])) == data
    np.testing.assert_allclose(
        decode_compressed_depth(data, "16UC1; compressedDepth rvl"),
        [[np.nan, np.nan, 0.003, 0.001, 0.009]],
        rtol=1e-6,
    )


@given(SIZES, st.integers(0, 999), st.sampled_from([2, 4000, 65536]))
def test_rvl_round_trip(size: Any, seed: int, largest: int) -> None:
    rng = np.random.default_rng(seed)
    millimetres = (rng.integers(0, largest, size) * (rng.random(size) > 0.4)).astype(np.uint16)
    depth = decode_compressed_depth(rvl(millimetres), "16UC1; compressedDepth rvl")
    expected = np.where(millimetres == 0, np.nan, millimetres / 1000)
    np.testing.assert_allclose(depth, expected, rtol=1e-6)


@given(st.binary(max_size=60), st.integers(0, 99))
def test_data_that_are_no_rvl_are_refused_or_an_image(data: bytes, width: int) -> None:
    header = bytes(12) + np.array([width, 7], "<u4").tobytes()
    with suppress(ValueError):
        assert decode_compressed_depth(header + data, "16UC1; compressedDepth rvl").shape == (7, width)


def test_a_plain_png_of_depth_is_metres_and_a_jpeg_is_refused() -> None:
    millimetres = np.array([[0, 1500], [3000, 65000]], np.uint16)
    png = cv2.imencode(".png", millimetres)[1].tobytes()
    for format in ("16UC1; png compressed ", "16UC1; compressedDepth", "png"):
        np.testing.assert_allclose(decode_compressed_depth(png, format), [[np.nan, 1.5], [3.0, 65.0]])
    jpeg = cv2.imencode(".jpg", (millimetres >> 8).astype(np.uint8))[1].tobytes()
    with pytest.raises(ValueError, match="compressedDepth"):
        decode_compressed_depth(jpeg, "16UC1; jpeg compressed ")


@pytest.mark.parametrize(("factor", "expected"), [(1.0, 1.0), (1000.0, 1.0), (0.05, 0.05)])
def test_floating_point_millimetres_are_told_from_metres(factor: float, expected: float) -> None:
    metres = np.linspace(0.4, 12.0, 64, dtype=np.float32).reshape(8, 8)
    decoded = depth_of(message(metres * np.float32(factor), "32FC1"))
    np.testing.assert_allclose(decoded, metres * expected, rtol=1e-5)


def test_the_unit_of_a_topic_is_told_once() -> None:
    decoder = DepthDecoder()
    unknown = message(np.zeros((8, 8), np.float32), "32FC1")
    assert np.isnan(decoder(unknown)).all()
    far = message(np.full((8, 8), 4000, np.float32), "32FC1")
    near = message(np.full((8, 8), 60, np.float32), "32FC1")
    assert decoder(far)[0, 0] == pytest.approx(4.0)
    assert decoder(near)[0, 0] == pytest.approx(0.06)
    assert depth_of(near)[0, 0] == 60.0


def test_a_compressed_message_is_depth_too() -> None:
    compressed = SimpleNamespace(data=rvl(np.full((2, 3), 2500)), format="16UC1; compressedDepth rvl")
    np.testing.assert_allclose(depth_of(compressed), np.full((2, 3), 2.5))
