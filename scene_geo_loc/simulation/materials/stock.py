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

"""Textures that many objects share, painted at their first use."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from scene_geo_loc.simulation.materials import patterns
from scene_geo_loc.simulation.materials.patterns import Image
from scene_geo_loc.simulation.materials.textures import TextureBank
from scene_geo_loc.simulation.randomness import stream

NEUTRAL = (200, 200, 200)
"""Colour of shared materials; `tint_of` gives the tint for any other colour."""


def tint_of(colour: ArrayLike) -> NDArray[np.float32]:
    """Returns the tint (..., 3) in linear light that gives neutral material an sRGB colour in [0, 255]."""
    return ((np.asarray(colour, np.float32) / np.float32(NEUTRAL[0])) ** np.float32(2.2)).astype(np.float32)


class Stock:
    """Shared textures by name, in a texture bank.

    Args:
        is_night: surfaces do not shine, and lamps glow.
    """

    def __init__(self, bank: TextureBank, seed: int, is_night: bool = False) -> None:
        self.bank = bank
        self.seed = seed
        self.is_night = is_night

    def __getitem__(self, name: str) -> int:
        found = self.bank.shared(name)
        if found is not None:
            return found
        rng = stream(self.seed, "stock", name)
        image, texel_m, shine = _PAINTERS[name](rng)
        extra = np.full(image.shape[:2], shine if self.is_night == (name in _GLOWING) else 0, np.uint8)
        return self.bank.share(name, self.bank.add(image, texel_m, extra))


def _material(
    paint: patterns.Material, size_m: float, texel_m: float, colour: ArrayLike = NEUTRAL
) -> Callable:
    def painter(rng: np.random.Generator) -> tuple[Image, float, int]:
        pixels = round(size_m / texel_m)
        return paint(rng, pixels, pixels, texel_m, colour), texel_m, 0

    return painter


def _grain(rng: np.random.Generator, h: int, w: int, texel_m: float, colour: ArrayLike) -> Image:
    return patterns.shade(colour, 1 + 0.06 * patterns.noise(rng, h, w, 0.4 / texel_m))


def _bark(rng: np.random.Generator, h: int, w: int, texel_m: float, colour: ArrayLike) -> Image:
    ridges = cv2.resize(patterns.noise(rng, max(2, h // 6), w, 3, 2), (w, h))
    return patterns.shade(colour, 1 + 0.25 * ridges)


def _stripes(rng: np.random.Generator, h: int, w: int, texel_m: float, colour: ArrayLike) -> Image:
    bands = np.arange(w) * texel_m % 0.5 < 0.25
    image = np.where(bands[None, :, None], np.asarray(colour), 235) * np.ones((h, 1, 1))
    return patterns.modulate(image.astype(np.uint8), 1 + 0.04 * patterns.noise(rng, h, w, 8))


def _glossy(colour: ArrayLike, shine: int) -> Callable:
    def painter(rng: np.random.Generator) -> tuple[Image, float, int]:
        return patterns.shade(colour, 1 + 0.02 * patterns.noise(rng, 16, 16, 4)), 0.05, shine

    return painter


_PAINTERS: dict[str, Callable[[np.random.Generator], tuple[Image, float, int]]] = {
    "plain": _material(_grain, 2.56, 0.02),
    "plaster": _material(patterns.plaster, 12.0, 0.04),
    "brick": _material(patterns.brick, 12.0, 0.03),
    "ashlar": _material(patterns.ashlar, 8.0, 0.03),
    "panels": _material(patterns.panels, 9.0, 0.04),
    "boards": _material(patterns.boards, 4.0, 0.03),
    "timber": _material(patterns.timber_frame, 5.8, 0.03),
    "roof": _material(patterns.roof_tiles, 6.0, 0.03),
    "asphalt": _material(patterns.asphalt, 12.0, 0.04),
    "cobbles": _material(patterns.cobbles, 9.6, 0.04),
    "slabs": _material(patterns.slabs, 9.6, 0.04),
    "grass": _material(patterns.grass, 9.6, 0.04),
    "snow": _material(_grain, 7.68, 0.06, (232, 236, 242)),
    "bark": _material(_bark, 2.56, 0.02),
    "leaf": _material(_grain, 1.28, 0.02),
    "stripes": _material(_stripes, 2.0, 0.02),
    "glass": _glossy((30, 36, 42), 200),
    "paint": _glossy(NEUTRAL, 60),
    "rubber": _glossy((26, 26, 27), 0),
    "lamp": _glossy((255, 235, 200), 255),
}

_GLOWING = frozenset({"lamp"})
"""Textures whose `extra` is the glow at night; that of all others is the shine by day."""
