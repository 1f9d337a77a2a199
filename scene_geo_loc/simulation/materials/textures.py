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

"""Anisotropic mip-maps: textures that stay sharp on oblique walls without aliasing.

Each texture is stored reduced along u and along v separately (Heckbert, Survey of Texture Mapping,
1986, and the rip-maps of Larson and Shah), because the façades and the road are seen almost edge-on:
one direction needs strong reduction, the other none.  The direction u, along the street, is reduced
up to 8 times more than v.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

V_LEVELS = 6
U_EXTRA_LEVELS = 4
_LEVELS = V_LEVELS * U_EXTRA_LEVELS
_EVEN, _BYTE = np.uint32(0x00FF00FF), np.uint32(8)
"""Mask of every other byte of a packed texel, and a byte in bits."""


class TextureBank:
    """All textures of a scene in one flat array, by texture index."""

    def __init__(self) -> None:
        self._chunks: list[NDArray[np.uint32]] = []
        self._end = 0
        self._tables: list[NDArray[np.float64]] = []
        self._shared: dict[str, int] = {}
        self._frozen: tuple[NDArray, ...] | None = None

    def __len__(self) -> int:
        return len(self._tables)

    @property
    def nbytes(self) -> int:
        """Memory of the texels in bytes."""
        return 4 * self._end

    def add(self, rgb: NDArray[np.uint8], texel_m: float, extra: NDArray[np.uint8] | None = None) -> int:
        """Adds an image (H, W, 3), first row on top, and returns its index.

        Args:
            texel_m: side of a texel in metres.
            extra: (H, W) shine by day, glow at night; None for zeros.
        """
        if extra is None:
            extra = np.zeros(rgb.shape[:2], np.uint8)
        level0 = row = level = np.ascontiguousarray(np.dstack([rgb, extra])[::-1])
        table = np.zeros((_LEVELS, 5))
        for j in range(V_LEVELS):
            for k in range(U_EXTRA_LEVELS):
                h, w = max(1, level0.shape[0] >> j), max(1, level0.shape[1] >> (j + k))
                # Along k from the previous level; along j from the first level of the previous row.
                level = cv2.resize(row if k == 0 else level, (w, h), interpolation=cv2.INTER_AREA)
                if k == 0:
                    row = level
                scale_u = w / (level0.shape[1] * texel_m)
                scale_v = h / (level0.shape[0] * texel_m)
                table[j * U_EXTRA_LEVELS + k] = self._end, w, h, scale_u, scale_v
                self._chunks.append(level.view(np.uint32).ravel())
                self._end += w * h
        self._tables.append(table)
        self._frozen = None
        return len(self._tables) - 1

    def shared(self, name: str) -> int | None:
        """Returns the index of a shared texture, or None before it is painted."""
        return self._shared.get(name)

    def share(self, name: str, index: int) -> int:
        """Names a texture for sharing; returns its index."""
        self._shared[name] = index
        return index

    def freeze(self) -> None:
        """Joins the textures for `sample`; worker processes then share the memory."""
        texels = np.concatenate(self._chunks)
        self._chunks = [texels]
        table = np.concatenate(self._tables)
        self._frozen = (
            texels,
            table[:, 0].astype(np.int64),
            np.ascontiguousarray(table[:, 1:], np.float32),
            np.ascontiguousarray(table[::_LEVELS, 4], np.float32),
        )

    def sample(
        self,
        texture: NDArray[np.int32],
        u: NDArray[np.float32],
        v: NDArray[np.float32],
        footprint_u: NDArray[np.float32],
        footprint_v: NDArray[np.float32],
        dither: NDArray[np.float32],
    ) -> NDArray[np.uint8]:
        """Returns filtered texels (N, 4), RGB and extra; textures repeat.

        Args:
            texture: (N,) indices.
            u, v: (N,) metres.
            footprint_u, footprint_v: (N,) footprint of a pixel in metres.
            dither: (N,) in [0, 1), chooses between two levels, which hides the steps between levels.
        """
        if self._frozen is None:
            self.freeze()
        assert self._frozen is not None
        texels, start, sizes, density = self._frozen
        # The exponent of a number is its logarithm to base 2, rounded down.
        density_now = density.take(texture) * np.exp2(dither)
        j = np.clip(_exponent(footprint_v * density_now), 0, V_LEVELS - 1)
        k = np.clip(_exponent(footprint_u * density_now), 0, 16)
        k -= j
        row = texture * np.int32(_LEVELS) + j * np.int32(U_EXTRA_LEVELS) + np.clip(k, 0, U_EXTRA_LEVELS - 1)
        width, height, scale_u, scale_v = cv2.transpose(sizes.take(row, axis=0))
        x0, x1, wx = _neighbours(u * scale_u, width)
        y0, y1, wy = _neighbours(v * scale_v, height)
        w = width.astype(np.int64)
        below, above = start.take(row) + y0 * w, start.take(row) + y1 * w
        red_blue = np.zeros(len(x0), np.uint32)
        green_extra = np.zeros(len(x0), np.uint32)
        for line, weight in ((below, 16 - wy), (above, wy)):
            for column, share in ((x0, 16 - wx), (x1, wx)):
                texel, part = texels.take(line + column), weight * share
                red_blue += (texel & _EVEN) * part
                green_extra += ((texel >> _BYTE) & _EVEN) * part
        packed = ((red_blue >> _BYTE) & _EVEN) | (green_extra & ~_EVEN)
        return packed.view(np.uint8).reshape(-1, 4)


def _exponent(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Returns the logarithm to base 2 of positive numbers, rounded down."""
    return (values.view(np.int32) >> np.int32(23)) - np.int32(127)


def _neighbours(
    position: NDArray[np.float32], size: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]:
    """Returns the texels before and after positions in a repeating row, and the weight of the latter.

    The weight is in sixteenths of a texel, so that four weighted bytes fit 16 bits.
    """
    position = position - np.float32(0.5)
    low = np.floor(position)
    weight = ((position - low) * np.float32(16)).astype(np.uint32)
    before = np.clip(low - np.floor(low / size) * size, 0, size - 1)
    after = before + 1
    after[after >= size] = 0
    return before.astype(np.int64), after.astype(np.int64), weight
