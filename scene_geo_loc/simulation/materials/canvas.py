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

"""Painting of images in metric coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.simulation.materials.patterns import Image

Colour = tuple[float, float, float]
"""Red, green and blue in [0, 255]."""


@dataclass
class Canvas:
    """An image with metric coordinates: x to the right, z up.

    `extra` holds the shine of glass by day and the glow of lit windows by night.
    """

    image: Image
    extra: NDArray[np.uint8]
    texel_m: float
    height: float

    @classmethod
    def blank(cls, width: float, height: float, texel_m: float) -> Canvas:
        """Returns a black canvas of a size in metres."""
        size = max(2, round(height / texel_m)), max(2, round(width / texel_m))
        return cls(np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), texel_m, height)

    def column(self, x: float) -> int:
        """Returns the pixel column at x metres, clamped to the image."""
        return min(max(round(x / self.texel_m), 0), self.image.shape[1])

    def row(self, z: float) -> int:
        """Returns the pixel row at z metres, clamped to the image."""
        return min(max(round((self.height - z) / self.texel_m), 0), self.image.shape[0])

    def region(self, x0: float, x1: float, z0: float, z1: float) -> tuple[slice, slice]:
        """Returns the rows and columns of a rectangle."""
        return slice(self.row(z1), self.row(z0)), slice(self.column(x0), self.column(x1))

    def fill(
        self, x0: float, x1: float, z0: float, z1: float, colour: Colour, extra: int | None = None
    ) -> None:
        """Fills a rectangle with one colour, and one value of shine or glow."""
        part = self.region(x0, x1, z0, z1)
        self.image[part] = [min(255, int(c)) for c in colour]
        if extra is not None:
            self.extra[part] = extra

    def darken(self, x0: float, x1: float, z0: float, z1: float, factor: float) -> None:
        """Multiplies a rectangle by a factor; above 1 it brightens."""
        part = self.region(x0, x1, z0, z1)
        self.image[part] = np.minimum(self.image[part] * factor, 255).astype(np.uint8)

    def write(
        self, text: str, x0: float, x1: float, z0: float, z1: float, colour: Colour, font: int = 2
    ) -> None:
        """Draws text that fits a rectangle."""
        (w, h), _ = cv2.getTextSize(text, font, 1.0, 1)
        scale = min((x1 - x0) / self.texel_m / w, (z1 - z0) / self.texel_m / h)
        if scale < 0.18:
            return
        thick = max(1, round(scale * 2.2))
        left = self.column((x0 + x1) / 2) - int(w * scale / 2)
        bottom = self.row((z0 + z1) / 2) + int(h * scale / 2)
        cv2.putText(
            self.image, text, (left, bottom), font, scale, tuple(int(c) for c in colour), thick, cv2.LINE_AA
        )
