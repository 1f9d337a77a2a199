"""Pixels of ROS image messages, without cv_bridge.

Messages are read by their fields, so that those of rclpy and of rosbags both work.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

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
    "rgb16": ("u2", 3),
    "bgr16": ("u2", 3),
    "yuv422": ("u1", 2),
    "uyvy": ("u1", 2),
    "yuv422_yuy2": ("u1", 2),
    "yuyv": ("u1", 2),
    **{
        f"bayer_{pattern}{bits}": (f"u{bits // 8}", 1)
        for pattern in ("rggb", "bggr", "gbrg", "grbg")
        for bits in (8, 16)
    },
}
"""Type and channels of the supported encodings of sensor_msgs/image_encodings.hpp."""

# OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the first four.
_TO_RGB: dict[str, int] = {
    "mono": cv2.COLOR_GRAY2RGB,
    "8UC1": cv2.COLOR_GRAY2RGB,
    "bgr": cv2.COLOR_BGR2RGB,
    "8UC3": cv2.COLOR_BGR2RGB,
    "rgba": cv2.COLOR_RGBA2RGB,
    "bgra": cv2.COLOR_BGRA2RGB,
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    "bayer_rggb": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg": cv2.COLOR_BayerGB2RGB,
}

DEPTH_ENCODINGS = ("16UC1", "32FC1")
"""Encodings of depth images, REP-118: millimetres and metres."""


def decode_image(
    encoding: str, width: int, height: int, step: int, is_bigendian: bool, data: Any
) -> NDArray[np.uint8]:
    """Decodes an (H, W, 3) uint8 RGB image from the fields of sensor_msgs/Image.

    Grey becomes RGB, Bayer patterns are interpolated, 16 bits are reduced to their upper eight.

    Raises:
        ValueError: the encoding is neither colour nor grey, or the data do not have the message's size.
    """
    name = encoding if encoding in _TO_RGB else encoding.rstrip("0123456789")
    if encoding not in _LAYOUTS or (name not in _TO_RGB and name != "rgb"):
        raise ValueError(f"image encoding {encoding!r} cannot be converted to RGB")
    pixels = _pixels(encoding, width, height, step, is_bigendian, data)
    if pixels.dtype.itemsize == 2:
        pixels = (pixels >> 8).astype(np.uint8)
    if name == "rgb":
        return pixels.copy()
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(pixels), _TO_RGB[name]), np.uint8)


def decode_depth(
    encoding: str, width: int, height: int, step: int, is_bigendian: bool, data: Any
) -> NDArray[np.float32]:
    """Decodes an (H, W) float32 depth map in metres, NaN where unknown, from sensor_msgs/Image fields.

    16UC1 (also called mono16) is millimetres with 0 for unknown, 32FC1 is metres (REP-118).

    Raises:
        ValueError: another encoding, or the data do not have the message's size.
    """
    if encoding not in (*DEPTH_ENCODINGS, "mono16"):
        raise ValueError(
            f"depth image encoding {encoding!r} is neither 16UC1 (millimetres) nor 32FC1 (metres)"
        )
    values = _pixels(encoding, width, height, step, is_bigendian, data)
    depth = values.astype(np.float32)
    if encoding != "32FC1":
        depth /= 1000.0
    depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return depth


def decode_compressed(data: Any, format: str = "") -> NDArray[np.uint8]:
    """Decodes an (H, W, 3) uint8 RGB image from the data of sensor_msgs/CompressedImage (JPEG, PNG, ...).

    Raises:
        ValueError: OpenCV cannot decode the data.
    """
    bgr = _imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, format)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def decode_compressed_depth(data: Any, format: str) -> NDArray[np.float32]:
    """Decodes an (H, W) float32 depth map in metres of compressed_depth_image_transport, NaN where unknown.

    The data are 12 bytes of header and a PNG: millimetres for 16UC1, and for 32FC1 quantized
    inverse depth, `depth = A / (value - B)`, with A and B in the header.

    Raises:
        ValueError: the data are not such a PNG (the transport's RVL format is not read).
    """
    values = _imdecode(np.frombuffer(data, np.uint8)[12:], cv2.IMREAD_UNCHANGED, format)
    if values.ndim != 2 or values.dtype != np.uint16:
        raise ValueError(f"the PNG of a compressed depth image ({format!r}) should be grey with 16 bits")
    if not format.startswith("32FC1"):
        height, width = values.shape
        return decode_depth(
            "16UC1", width, height, 2 * width, False, values.astype("<u2").reshape(-1).view(np.uint8)
        )
    A, B = np.frombuffer(data, "<f4", count=2, offset=4)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = (A / (values.astype(np.float32) - B)).astype(np.float32)
    depth[(values == 0) | ~np.isfinite(depth) | (depth <= 0)] = np.nan
    return depth


def image_of(message: Any) -> NDArray[np.uint8]:
    """Returns the (H, W, 3) uint8 RGB image of an Image or CompressedImage message. Raises ValueError."""
    if hasattr(message, "encoding"):
        return decode_image(*_fields(message))
    return decode_compressed(message.data, message.format)


def depth_of(message: Any) -> NDArray[np.float32]:
    """Returns the (H, W) float32 metres of a depth image, raw or of compressed_depth_image_transport.

    Raises ValueError.
    """
    if hasattr(message, "encoding"):
        return decode_depth(*_fields(message))
    return decode_compressed_depth(message.data, message.format)


def _fields(message: Any) -> tuple[str, int, int, int, bool, Any]:
    return (
        message.encoding,
        message.width,
        message.height,
        message.step,
        bool(message.is_bigendian),
        message.data,
    )


def _pixels(encoding: str, width: int, height: int, step: int, is_bigendian: bool, data: Any) -> NDArray[Any]:
    """Returns the pixels (H, W) or (H, W, C) of the data, in the byte order of this machine."""
    kind, channels = _LAYOUTS[encoding]
    dtype = np.dtype((">" if is_bigendian else "<") + kind)
    row = width * channels * dtype.itemsize
    raw = np.frombuffer(data, np.uint8)
    # Some drivers omit the padding of the last row.
    if width <= 0 or height <= 0 or step < row or len(raw) < step * (height - 1) + row:
        raise ValueError(
            f"an image of {width} x {height} pixels in {encoding} with rows of {step} bytes does not fit "
            f"its {len(raw)} bytes of data"
        )
    rows = np.lib.stride_tricks.as_strided(raw, (height, row), (step, 1), writeable=False)
    pixels = np.ascontiguousarray(rows).view(dtype).reshape(height, width, channels)
    pixels = pixels.astype(dtype.newbyteorder("="), copy=False)
    return pixels[..., 0] if channels == 1 else pixels


def _imdecode(data: Any, flags: int, format: str) -> NDArray[Any]:
    raw = np.frombuffer(data, np.uint8)
    image = cv2.imdecode(raw, flags) if len(raw) else None
    if image is None:
        raise ValueError(f"{len(raw)} bytes of compressed image data ({format!r}) cannot be decoded")
    return image
