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

"""Pixels of image messages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_messages import SIZES, message, pack

from scene_geo_loc.traversals.messages.depth import decode_depth
from scene_geo_loc.traversals.messages.images import (
    ImageDecoder,
    ImageKind,
    decode_compressed,
    decode_image,
    image_of,
    kind_of,
)


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


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_fewer_bits_in_a_container_of_16_are_told_from_the_values(bits: int) -> None:
    eight = np.arange(256).reshape(16, 16)
    expected = grey(eight)
    values = (eight << (bits - 8)).astype(np.uint16)
    np.testing.assert_array_equal(image_of(message(values, "mono16")), expected)
    np.testing.assert_array_equal(ImageDecoder(bits)(message(values // 2, "mono16")), grey(eight // 2))
    png = SimpleNamespace(data=cv2.imencode(".png", values)[1].tobytes(), format="mono16; png compressed ")
    np.testing.assert_array_equal(image_of(png), expected)
    if 8 < bits < 16:
        np.testing.assert_array_equal(image_of(message(values // 2, f"mono{bits}")), grey(eight // 2))


def test_all_images_of_a_topic_are_reduced_by_the_brightest() -> None:
    dark, bright = (message(np.full((4, 4), value, np.uint16), "mono16") for value in (200, 4000))
    decoder = ImageDecoder()
    decoder.observe(bright)
    assert decoder(dark)[0, 0].tolist() == [12] * 3
    assert image_of(dark)[0, 0].tolist() == [200] * 3


@pytest.mark.parametrize("encoding", ["16UC1", "mono16", "32FC1"])
def test_images_of_thermal_cameras_are_stretched(encoding: str) -> None:
    counts = np.linspace(7000, 8000, 1024).reshape(32, 32)
    decoded = image_of(message(counts.astype("f4" if encoding == "32FC1" else "u2"), encoding))
    assert decoded.min() == 0
    assert decoded.max() == 255
    assert abs(int(decoded[16, 0, 0]) - 128) <= 2


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_a_bayer_mosaic_in_a_grey_file_becomes_the_colour_that_the_sensor_saw(kind: str) -> None:
    mosaic = np.tile(np.array([[200, 120], [120, 40]], np.uint8), (8, 8))
    for pixels in (mosaic, np.repeat(mosaic[..., None], 3, axis=2)):
        data = cv2.imencode(f".{kind}", pixels, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
        decoded = decode_compressed(data, f"bayer_rggb8; {kind} compressed ")
        assert np.abs(decoded[4:-4, 4:-4].astype(int) - (200, 120, 40)).max() <= 12
    colour = np.full((8, 8, 3), (10, 100, 200), np.uint8)
    png = cv2.imencode(".png", colour)[1].tobytes()
    assert decode_compressed(png, "bayer_rggb8; png compressed bgr8")[4, 4].tolist() == [200, 100, 10]
    assert decode_compressed(png, "rgb8; png compressed rgb8")[4, 4].tolist() == [10, 100, 200]


@pytest.mark.parametrize(
    ("encoding", "order"), [("nv12", "uv"), ("nv21", "vu"), ("nv24", "uv"), ("i420", "u v"), ("yv12", "v u")]
)
def test_planar_encodings_have_their_chroma_in_their_own_order(encoding: str, order: str) -> None:
    height, width = 4, 6
    # BT.601 in video range: Y 81, U 90, V 240 is pure red.
    chroma = {"u": 90, "v": 240}
    samples = height * width if encoding == "nv24" else height * width // 4
    if " " in order:
        planes = np.concatenate([np.full(samples, chroma[plane]) for plane in order.split()])
    else:
        planes = np.tile([chroma[letter] for letter in order], samples)
    data = np.concatenate([np.full(height * width, 81), planes]).astype(np.uint8).tobytes()
    decoded = decode_image(encoding, width, height, width, False, data)
    assert decoded.shape == (height, width, 3)
    assert np.abs(decoded.astype(int) - (254, 0, 0)).max() <= 3
    if encoding == "nv12":
        assert decode_image(encoding, width, height * 3 // 2, width, False, data).shape == decoded.shape
    with pytest.raises(ValueError, match="bytes"):
        decode_image(encoding, width, height, width, False, data[:-1])
    with pytest.raises(ValueError, match=r"5 x 4|does not fit"):
        decode_image(encoding, 5, height, 5, False, data)


@pytest.mark.parametrize(
    ("encoding", "order"), [("rgba16", "rgba"), ("bgra16", "bgra"), ("16UC3", "bgr"), ("16UC4", "bgra")]
)
def test_colours_of_16_bits_come_out_as_rgb(encoding: str, order: str) -> None:
    planes = {"r": 60000, "g": 30000, "b": 300, "a": 65535}
    pixels = np.tile(np.array([planes[letter] for letter in order], np.uint16), (3, 5, 1))
    assert image_of(message(pixels, encoding))[1, 1].tolist() == [60000 >> 8, 30000 >> 8, 300 >> 8]


def test_four_channels_without_a_name_are_those_of_opencv() -> None:
    pixels = np.tile(np.array([1, 2, 3, 4], np.uint8), (2, 2, 1))
    assert image_of(message(pixels, "8UC4"))[0, 0].tolist() == [3, 2, 1]


def test_colours_that_are_shared_by_two_columns_need_an_even_width() -> None:
    with pytest.raises(ValueError, match="5 columns"):
        decode_image("yuyv", 5, 2, 10, False, bytes(20))


@pytest.mark.parametrize(
    ("topic", "encoding", "expected"),
    [
        ("/camera/depth/image_raw", "16UC1", ImageKind.DEPTH),
        ("/camera/depth/image_raw", "mono16", ImageKind.DEPTH),
        ("/camera/depth/image_raw", "mono16; png compressed ", ImageKind.DEPTH),
        ("/camera/depth/image_raw/compressedDepth", "16UC1; compressedDepth rvl", ImageKind.DEPTH),
        ("/stereo/image_raw", "16UC1", ImageKind.DEPTH),
        ("/camera/image_raw", "mono16", ImageKind.PICTURE),
        ("/depth_camera/ir/image_raw", "mono16", ImageKind.PICTURE),
        ("/thermal/image_raw", "16UC1", ImageKind.PICTURE),
        ("/flir_boson/image16", "16UC1", ImageKind.PICTURE),
        ("/tof/intensity", "16UC1", ImageKind.PICTURE),
        ("/zed/confidence/confidence_map", "32FC1", ImageKind.OTHER),
        ("/camera/depth/image_raw", "rgb8", ImageKind.PICTURE),
        ("/camera/depth/image_raw/compressed", "png", ImageKind.DEPTH),
        ("/depth_camera/image_raw/compressed", "jpeg", ImageKind.PICTURE),
        ("/camera/image_raw/compressed", "rgb8; jpeg compressed bgr8", ImageKind.PICTURE),
    ],
)
def test_depth_images_are_told_by_encoding_and_name(topic: str, encoding: str, expected: ImageKind) -> None:
    assert kind_of(topic, encoding) is expected
