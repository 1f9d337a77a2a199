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
        sizes = table[:, 1:3].astype(np.int32)
        self._frozen = (
            texels,
            table[:, 0].astype(np.int64),
            np.ascontiguousarray(sizes[:, 0]),
            np.ascontiguousarray(sizes[:, 1]),
            table[:, 3].astype(np.float32),
            table[:, 4].astype(np.float32),
            np.log2(table[::_LEVELS, 4]).astype(np.float32),
        )

    def sample(
        self,
        texture: NDArray[np.int32],
        u: NDArray[np.float32],
        v: NDArray[np.float32],
        footprint_u: NDArray[np.float32],
        footprint_v: NDArray[np.float32],
        dither: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Returns filtered texels (N, 4), RGB and extra in [0, 255]; textures repeat.

        Args:
            texture: (N,) indices.
            u, v: (N,) metres.
            footprint_u, footprint_v: (N,) footprint of a pixel in metres.
            dither: (N,) in [0, 1), chooses between two levels, which hides the steps between levels.
        """
        if self._frozen is None:
            self.freeze()
        assert self._frozen is not None
        texels, start, width, height, scale_u, scale_v, log_density = self._frozen
        density = log_density[texture] + dither
        j = np.clip(np.log2(footprint_v) + density, 0, V_LEVELS - 1).astype(np.int32)
        i = np.clip(np.log2(footprint_u) + density, 0, 16).astype(np.int32)
        row = texture * _LEVELS + j * U_EXTRA_LEVELS + np.clip(i - j, 0, U_EXTRA_LEVELS - 1)
        w, h, base = width[row], height[row], start[row]
        x = u * scale_u[row] - np.float32(0.5)
        y = v * scale_v[row] - np.float32(0.5)
        x_low, y_low = np.floor(x), np.floor(y)
        fx, fy = (x - x_low)[:, None], (y - y_low)[:, None]
        x0, y0 = x_low.astype(np.int32) % w, y_low.astype(np.int32) % h
        x1, y1 = x0 + 1, y0 + 1
        x1[x1 == w] = 0
        y1[y1 == h] = 0
        below, above = base + y0 * w, base + y1 * w

        def texel(index: NDArray) -> NDArray[np.float32]:
            return texels[index].view(np.uint8).reshape(-1, 4).astype(np.float32)

        low = texel(below + x0)
        low += (texel(below + x1) - low) * fx
        high = texel(above + x0)
        high += (texel(above + x1) - high) * fx
        low += (high - low) * fy
        return low
