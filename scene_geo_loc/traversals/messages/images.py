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

"""Pixels of ROS image messages, without cv_bridge.

Messages are read by their fields, so that those of rclpy and of rosbags both work.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.traversals.messages.depth import DEPTH_ENCODINGS
from scene_geo_loc.traversals.messages.pixels import fields_of, imdecode, pixels_of, planes_of
from scene_geo_loc.traversals.messages.video import VideoImage

_LAYOUTS: dict[str, tuple[str, int]] = {
    "mono8": ("u1", 1),
    "mono16": ("u2", 1),
    "8UC1": ("u1", 1),
    "16UC1": ("u2", 1),
    "32FC1": ("f4", 1),
    "rgb8": ("u1", 3),
    "bgr8": ("u1", 3),
    "8UC3": ("u1", 3),
    "rgba8": ("u1", 4),
    "bgra8": ("u1", 4),
    "8UC4": ("u1", 4),
    "rgb16": ("u2", 3),
    "bgr16": ("u2", 3),
    "16UC3": ("u2", 3),
    "rgba16": ("u2", 4),
    "bgra16": ("u2", 4),
    "16UC4": ("u2", 4),
    "yuv422": ("u1", 2),
    "uyvy": ("u1", 2),
    "yuv422_yuy2": ("u1", 2),
    "yuyv": ("u1", 2),
    **{f"mono{bits}": ("u2", 1) for bits in (10, 12, 14)},
    **{
        f"bayer_{pattern}{bits}": ("u1" if bits == 8 else "u2", 1)
        for pattern in ("rggb", "bggr", "gbrg", "grbg")
        for bits in (8, 10, 12, 14, 16)
    },
}
"""Type and channels of the supported encodings: those of sensor_msgs/image_encodings.hpp and of OpenCV, and
those by which drivers name fewer bits in a container of 16."""

# OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the first four.
_TO_RGB: dict[str, int] = {
    "mono": cv2.COLOR_GRAY2RGB,
    "8UC1": cv2.COLOR_GRAY2RGB,
    "bgr": cv2.COLOR_BGR2RGB,
    "8UC3": cv2.COLOR_BGR2RGB,
    "16UC3": cv2.COLOR_BGR2RGB,
    "rgba": cv2.COLOR_RGBA2RGB,
    "bgra": cv2.COLOR_BGRA2RGB,
    "8UC4": cv2.COLOR_BGRA2RGB,
    "16UC4": cv2.COLOR_BGRA2RGB,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    "bayer_rggb": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg": cv2.COLOR_BayerGB2RGB,
}

_PLANAR: dict[str, int] = {
    "nv12": cv2.COLOR_YUV2RGB_NV12,
    "nv21": cv2.COLOR_YUV2RGB_NV21,
    "nv24": cv2.COLOR_YUV2RGB_NV12,
    "i420": cv2.COLOR_YUV2RGB_I420,
    "yv12": cv2.COLOR_YUV2RGB_YV12,
}
"""Encodings with a plane of luma followed by the chroma of 2 x 2 pixels; of nv24 of each pixel."""

_BITS = (8, 10, 12, 14, 16)
"""Numbers of bits that sensors have, in a container of 16."""

_STRETCH_PERCENT = (1.0, 99.0)
"""Percentiles of a measured image, such as a thermal one, that become black and white."""


class ImageKind(Enum):
    """Content of the images of a topic."""

    PICTURE = "picture"
    DEPTH = "depth"
    OTHER = "other"


_MEASURED = {"ir", "infra", "infra1", "infra2", "infrared", "amplitude", "intensity"} | {
    "thermal",
    "lwir",
    "flir",
    "boson",
    "lepton",
    "temperature",
}
"""Words of topics whose single-channel images are pictures, although they have an encoding of depth."""
_UNTOLD = ("jpeg", "jpg", "png", "tiff")
"""Formats of compressed images that do not say the encoding of the pixels."""
_OTHER = {"confidence", "statemap", "disparity", "labels", "segmentation"}
"""Words of topics whose single-channel images are neither pictures nor depth."""


def kind_of(topic: str, encoding: str) -> ImageKind:
    """Returns what the images of a topic are, by their encoding (or format) and by words of the topic's name.

    16UC1 and 32FC1 are depth (REP-118) unless the name says otherwise, mono16 only where it says `depth`.
    """
    layout = encoding.partition(";")[0].strip()
    if "compressedDepth" in encoding:
        return ImageKind.DEPTH
    if layout in _UNTOLD and any(_is_depth_word(part) for part in topic.lower().split("/")):
        return ImageKind.DEPTH
    if layout not in (*DEPTH_ENCODINGS, "mono16"):
        return ImageKind.PICTURE
    for part in reversed(topic.lower().split("/")):
        words = set(part.split("_"))
        if words & _OTHER:
            return ImageKind.OTHER
        if words & _MEASURED:
            return ImageKind.PICTURE
        if "depth" in part:
            return ImageKind.DEPTH
    return ImageKind.PICTURE if layout == "mono16" else ImageKind.DEPTH


def _is_depth_word(part: str) -> bool:
    words = set(part.split("_"))
    return "depth" in words and not words & {"camera", "cam"}


class ImageDecoder:
    """Decodes the pictures of one topic, in the same way all along.

    Of 16-bit pixels the number of bits in use is the smallest of 8, 10, 12, 14 and 16 that holds all values
    so far.  Images of measurements, such as those of thermal cameras, are stretched one by one: 16UC1, 32FC1,
    and grey ones of 16 bits that use few values far from black.

    Args:
        bits: number of bits in use; None to tell it from the values.
    """

    def __init__(self, bits: int | None = None) -> None:
        self._bits = bits
        self._largest = 0

    def observe(self, message: Any) -> None:
        """Takes the values of an Image into account without decoding it. Raises ValueError."""
        if self._bits is None and hasattr(message, "encoding") and _is_16_bit(message.encoding):
            self._largest = max(self._largest, int(_raw(message).max()))

    def __call__(self, message: Any) -> NDArray[np.uint8]:
        """Returns the (H, W, 3) uint8 RGB image of an Image or CompressedImage message, or of a video.

        Raises ValueError.
        """
        if isinstance(message, VideoImage):
            return message.pixels
        if hasattr(message, "encoding") and message.encoding in _PLANAR:
            return _decode_planar(*fields_of(message))
        raw = _raw(message) if hasattr(message, "encoding") else None
        if raw is None:
            encoding, raw = _decompressed(message.data, message.format)
        else:
            encoding = message.encoding
        if raw.dtype == np.uint16:
            self._largest = max(self._largest, int(raw.max()))
        if self._bits is not None and encoding not in DEPTH_ENCODINGS:
            return _to_rgb(encoding, raw, self._bits, stretch=False)
        return _to_rgb(encoding, raw, bits_of(self._largest), stretch=True)


def bits_of(largest: int) -> int:
    """Returns the smallest number of bits of a sensor that holds a value."""
    return next(bits for bits in _BITS if largest < 1 << bits)


def decode_image(
    encoding: str, width: int, height: int, step: int, is_bigendian: bool, data: Any, bits: int = 16
) -> NDArray[np.uint8]:
    """Decodes an (H, W, 3) uint8 RGB image from the fields of sensor_msgs/Image.

    Grey becomes RGB, Bayer patterns are interpolated, 16 bits are reduced to the upper eight of `bits`.

    Raises:
        ValueError: the encoding is neither colour nor grey, or the data do not have the message's size.
    """
    if encoding in _PLANAR:
        return _decode_planar(encoding, width, height, step, is_bigendian, data)
    _check_encoding(encoding)
    kind, channels = _LAYOUTS[encoding]
    pixels = pixels_of(encoding, kind, channels, width, height, step, is_bigendian, data)
    return _to_rgb(encoding, pixels, bits, stretch=False)


def decode_compressed(data: Any, format: str = "", bits: int = 16) -> NDArray[np.uint8]:
    """Decodes an (H, W, 3) uint8 RGB image from the data of sensor_msgs/CompressedImage (JPEG, PNG, ...).

    The format may say, as image_transport writes it, that a grey image is a Bayer mosaic, and that colours
    are in the order of RGB.

    Raises:
        ValueError: OpenCV cannot decode the data.
    """
    encoding, pixels = _decompressed(data, format)
    return _to_rgb(encoding, pixels, bits, stretch=False)


def image_of(message: Any) -> NDArray[np.uint8]:
    """Returns the (H, W, 3) uint8 RGB image of a single message; see `ImageDecoder`. Raises ValueError."""
    return ImageDecoder()(message)


def _decompressed(data: Any, format: str) -> tuple[str, NDArray[Any]]:
    """Returns the encoding of decompressed pixels, and the pixels. Raises ValueError."""
    pixels = imdecode(data, cv2.IMREAD_UNCHANGED, format)
    told, _, transport = format.partition(";")
    wide = "16" if pixels.dtype == np.uint16 else "8"
    mosaic = re.fullmatch(r"(bayer_(?:rggb|bggr|gbrg|grbg))\d+", told.strip())
    if mosaic and pixels.ndim == 3 and (pixels[..., :1] == pixels[..., 1:3]).all():
        pixels = pixels[..., 0]
    if pixels.ndim == 2:
        if pixels.dtype == np.float32:
            return "32FC1", pixels
        measured = told.strip() if told.strip() in DEPTH_ENCODINGS else f"mono{wide}"
        return (mosaic[1] + wide if mosaic else measured), pixels
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"a compressed image ({format!r}) with pixels of {pixels.dtype} cannot be shown as RGB"
        )
    order = "rgb" if "compressed rgb" in transport else "bgr"
    return f"{order}{'a' * (pixels.shape[2] == 4)}{wide}", pixels


def _to_rgb(encoding: str, pixels: NDArray[Any], bits: int, *, stretch: bool) -> NDArray[np.uint8]:
    """Converts pixels of an encoding to RGB; `stretch` allows those of measurements."""
    if stretch and (encoding in DEPTH_ENCODINGS or _is_faint(pixels, bits)):
        return np.asarray(cv2.cvtColor(_stretched(pixels), cv2.COLOR_GRAY2RGB), np.uint8)
    _check_encoding(encoding)
    if pixels.dtype == np.uint16:
        named = int((re.findall(r"(10|12|14)$", encoding) or [0])[0])
        shifted = pixels >> max((named or bits) - 8, 0)
        pixels = np.minimum(shifted, 255).astype(np.uint8)
    name = _name(encoding)
    if name == "rgb":
        return np.asarray(pixels, np.uint8).copy()
    if name in ("yuv422", "uyvy", "yuv422_yuy2", "yuyv") and pixels.shape[1] % 2:
        raise ValueError(f"an image of {pixels.shape[1]} columns in {encoding}, which shares colours of two")
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), _TO_RGB[name]), np.uint8)


def _is_faint(pixels: NDArray[Any], bits: int) -> bool:
    """Returns whether a grey image of 16 bits uses few values far from black, as those of thermal cameras."""
    if pixels.ndim != 2 or pixels.dtype != np.uint16 or bits <= 8:
        return False
    low, high = np.percentile(pixels, _STRETCH_PERCENT)
    faint = (1 << bits) / 8
    return bool(low > faint and 0 < high - low < faint)


def _stretched(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Returns a measured image (H, W) as uint8, from black to white over its usual values."""
    known = np.isfinite(values) & (values != 0)
    if not known.any():
        return np.zeros(values.shape, np.uint8)
    low, high = np.percentile(values[known], _STRETCH_PERCENT)
    scaled = (np.nan_to_num(values.astype(np.float32), nan=low) - low) * (255.0 / max(high - low, 1e-6))
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _decode_planar(
    encoding: str, width: int, height: int, step: int, is_bigendian: bool, data: Any
) -> NDArray[np.uint8]:
    planes = planes_of(encoding, width, height, step, data)
    return np.asarray(cv2.cvtColor(planes, _PLANAR[encoding]), np.uint8)


def _check_encoding(encoding: str) -> None:
    """Raises ValueError where an encoding is neither colour nor grey."""
    name = _name(encoding)
    if encoding not in _LAYOUTS or (name not in _TO_RGB and name != "rgb"):
        raise ValueError(f"image encoding {encoding!r} cannot be converted to RGB")


def _name(encoding: str) -> str:
    return encoding if encoding in _TO_RGB else encoding.rstrip("0123456789")


def _is_16_bit(encoding: str) -> bool:
    return encoding in _LAYOUTS and _LAYOUTS[encoding][0] == "u2" and encoding not in DEPTH_ENCODINGS


def _raw(message: Any) -> NDArray[Any]:
    """Returns the pixels of an Image as they are. Raises ValueError."""
    if message.encoding not in _LAYOUTS:
        raise ValueError(f"image encoding {message.encoding!r} cannot be converted to RGB")
    kind, channels = _LAYOUTS[message.encoding]
    encoding, *layout = fields_of(message)
    return pixels_of(encoding, kind, channels, *layout)
