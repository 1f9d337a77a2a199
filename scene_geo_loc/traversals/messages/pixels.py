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

"""Arrays of the data of image messages."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def fields_of(message: Any) -> tuple[str, int, int, int, bool, Any]:
    """Returns encoding, width, height, step, byte order (true: big-endian) and data of an Image."""
    return (
        message.encoding,
        message.width,
        message.height,
        message.step,
        bool(message.is_bigendian),
        message.data,
    )


def pixels_of(
    encoding: str,
    kind: str,
    channels: int,
    width: int,
    height: int,
    step: int,
    is_bigendian: bool,
    data: Any,
) -> NDArray[Any]:
    """Returns the pixels (H, W) or (H, W, C) of the data, in the byte order of this machine.

    Args:
        kind: NumPy's name of the type of a channel, without the byte order.

    Raises:
        ValueError: the data do not have the message's size.
    """
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


def planes_of(encoding: str, width: int, height: int, step: int, data: Any) -> NDArray[np.uint8]:
    """Returns luma and chroma (1.5 H, W) of an image in a planar encoding with chroma of 2 x 2 pixels.

    The message's height is that of the image; some drivers give that of the planes, 1.5 times as much.
    Of nv24, with chroma of each pixel, every second one is taken.

    Raises:
        ValueError: the data do not have the message's size, or the size is odd.
    """
    raw = np.frombuffer(data, np.uint8)
    if encoding == "nv24":
        luma = pixels_of(encoding, "u1", 1, width, height, step, False, raw)
        chroma = pixels_of(encoding, "u1", 2, width, height, 2 * step, False, raw[step * height :])
        _check_even(encoding, width, height)
        return np.concatenate([luma, chroma[::2, ::2].reshape(height // 2, width)])
    if len(raw) < step * height + step * (height // 2) and height % 3 == 0:
        height = height // 3 * 2
    _check_even(encoding, width, height)
    return pixels_of(encoding, "u1", 1, width, height + height // 2, step, False, raw)


def imdecode(data: Any, flags: int, format: str) -> NDArray[Any]:
    """Decodes the bytes of an image file by OpenCV. Raises ValueError."""
    raw = np.frombuffer(data, np.uint8)
    try:
        image = cv2.imdecode(raw, flags) if len(raw) else None
    except cv2.error as error:  # for example of more pixels than OpenCV allows
        raise ValueError(f"compressed image data ({format!r}) cannot be decoded ({error.err})") from error
    if image is None:
        raise ValueError(f"{len(raw)} bytes of compressed image data ({format!r}) cannot be decoded")
    return image


def _check_even(encoding: str, width: int, height: int) -> None:
    if width % 2 or height % 2:
        raise ValueError(
            f"an image of {width} x {height} pixels in {encoding}, which shares colours of 2 x 2"
        )
