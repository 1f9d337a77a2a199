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

"""Image messages of arrays."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import strategies as st

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def pack(pixels: np.ndarray, padding: int, big: bool, last_row_padded: bool = True) -> tuple[int, bytes]:
    """The step and data of an image message with padded rows."""
    order = pixels.dtype.newbyteorder(">" if big else "<")
    rows = np.ascontiguousarray(pixels.astype(order)).view(np.uint8).reshape(len(pixels), -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xAB)
    data = padded.tobytes()
    return padded.shape[1], data if last_row_padded else data[: len(data) - padding]


def message(pixels: np.ndarray, encoding: str, height: int | None = None) -> Any:
    """An Image without padding."""
    step, data = pack(pixels, 0, False)
    return SimpleNamespace(
        encoding=encoding,
        width=pixels.shape[1],
        height=height or len(pixels),
        step=step,
        is_bigendian=0,
        data=data,
    )
