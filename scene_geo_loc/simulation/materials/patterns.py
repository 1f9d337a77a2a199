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

"""Images of materials: bricks, plaster, stone, tiles, asphalt, leaves."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Image = NDArray[np.uint8]


def noise(rng: np.random.Generator, h: int, w: int, cell: float, octaves: int = 3) -> NDArray[np.float32]:
    """Returns smooth noise (h, w) of about unit variance, with coarsest cells of `cell` pixels."""
    sizes = [max(cell / 2**octave, 1.0) for octave in range(octaves)]
    weight = sum(0.6 ** (2 * octave) for octave in range(octaves))
    # Coarse octaves are enlarged to the cells of the finest, and their sum once to pixels.
    finest = sizes[-1]
    rows, columns = int(h / finest) + 2, int(w / finest) + 2
    total = np.zeros((rows, columns), np.float32)
    for octave, size in enumerate(sizes):
        grid = rng.standard_normal((int(h / size) + 3, int(w / size) + 3), dtype=np.float32)
        scale = size / finest
        if scale > 1:
            grid = np.asarray(cv2.resize(grid, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC))
        total += np.float32(0.6**octave) * grid[:rows, :columns]
    total /= np.float32(0.75 * weight**0.5)
    if finest == 1:
        return total[:h, :w]
    big = cv2.resize(total, None, fx=finest, fy=finest, interpolation=cv2.INTER_CUBIC)
    return np.asarray(big[:h, :w], np.float32)


def shade(colour: ArrayLike, brightness: NDArray) -> Image:
    """Returns an image of one colour times a brightness (h, w) around 1."""
    bright = np.asarray(brightness, np.float32)
    coloured = np.asarray(cv2.merge([bright * np.float32(value) for value in np.asarray(colour)]))
    return np.clip(coloured, 0, 255, out=coloured).astype(np.uint8)


def modulate(image: Image, brightness: NDArray) -> Image:
    """Returns an image times a brightness (h, w) around 1."""
    bright = cv2.merge([np.asarray(brightness, np.float32)] * 3)
    return np.asarray(cv2.multiply(image, bright, dtype=cv2.CV_8U), np.uint8)


def blend(image: Image, other: ArrayLike, share: NDArray) -> Image:
    """Returns an image with `other` (a colour or an image) blended over it by a share (h, w) in [0, 1]."""
    over = np.asarray(other, np.float32)
    return (image + (over - image) * np.clip(share, 0, 1)[..., None]).astype(np.uint8)


def courses(
    rng: np.random.Generator,
    h: int,
    w: int,
    size: tuple[float, float],
    joint: float,
    contrast: float,
    colour: ArrayLike,
    joint_colour: ArrayLike,
) -> Image:
    """Returns bricks, stones or slabs in running bond.

    Args:
        size: width and height of a stone in pixels.
        joint: width of a joint in pixels.
        contrast: spread of the stones' brightness.
    """
    bw, bh = size
    y = np.arange(h, dtype=np.float32)
    row = (y / bh).astype(np.int32)
    # Every second row is shifted by half a stone.
    x = np.arange(w, dtype=np.float32) + np.array([[0], [bw / 2]], np.float32)
    column = (x / bw).astype(np.int32)
    tones = 1 + contrast * rng.standard_normal((int(row.max()) + 1, int(column.max()) + 1)).astype(np.float32)
    hues = rng.normal(0, contrast * 26, (*tones.shape, 3)).astype(np.float32)
    hues -= hues.mean(2, keepdims=True)
    stones = np.asarray(colour, np.float32) * tones[..., None] + hues
    # A joint thinner than a pixel is drawn fainter, as its area average.
    cover_x, cover_y = np.clip(joint - (x - column * bw), 0, 1), np.clip(joint - (y - row * bh), 0, 1)
    mortar = np.asarray(joint_colour, np.float32)
    painted = np.empty((len(stones), w, 3), np.float32)
    for parity in range(2):
        part = stones[parity::2].take(column[parity], axis=1)
        painted[parity::2] = part + (mortar - part) * cover_x[parity][:, None]
    wall = painted.take(row, axis=0)
    for line in np.flatnonzero(cover_y):
        parity = row[line] % 2
        plain = stones[row[line]].take(column[parity], axis=0)
        wall[line] = plain + (mortar - plain) * np.maximum(cover_x[parity], cover_y[line])[:, None]
    grain = 1 + np.float32(0.05) * rng.standard_normal((h, w), dtype=np.float32)
    return np.asarray(cv2.multiply(wall, cv2.merge([grain] * 3), dtype=cv2.CV_8U), np.uint8)


def plaster(rng: np.random.Generator, h: int, w: int, texel_m: float, colour: ArrayLike) -> Image:
    """Painted plaster with blotches, fine grain and streaks of rain."""
    tone = 1 + 0.045 * noise(rng, h, w, 1.6 / texel_m) + 0.03 * rng.standard_normal((h, w), dtype=np.float32)
    streaks = noise(rng, 1 + h // 40, w, 6, 2)
    tone += 0.035 * cv2.resize(streaks, (w, h), interpolation=cv2.INTER_LINEAR)
    return shade(colour, tone)


def brick(rng: np.random.Generator, h: int, w: int, texel_m: float, colour: ArrayLike) -> Image:
    """Brickwork, 25 cm by 8.3 cm with its joints."""
    mortar = np.asarray(colour, float) * 0.45 + np.array([105, 102, 96])
    wall = courses(rng, h, w, (0.25 / texel_m, 0.0833 / texel_m), 0.016 / texel_m, 0.13, colour, mortar)
    return modulate(wall, 1 + 0.06 * noise(rng, h, w, 2.0 / texel_m))


def ashlar(rng: np.random.Generator, h: int, w: int, texel_m: float, colour: ArrayLike) -> Image:
    """Dressed stone blocks."""
    joint = np.asarray(colour, float) * 0.62
    size = (rng.uniform(0.6, 1.0) / texel_m, rng.uniform(0.3, 0.45) / texel_m)
    wall = courses(rng, h, w, size, 0.025 / texel_m, 0.055, colour, joint)
    return modulate(wall, 1 + 0.05 * noise(rng, h, w, 0.8 / texel_m))


def panels(rng: np.random.Generator, h: int, w: int, texel_m: float, colour: ArrayLike) -> Image:
    """Concrete or metal panels with open joints."""
    joint = np.asarray(colour, float) * 0.4
    wall = courses(
        rng,
        h,
        w,
        (rng.uniform(1.2, 3.0) / texel_m, rng.uniform(0.7, 1.6) / texel_m),
        1.3,
        0.04,
        colour,
        joint,
    )
    return modulate(wall, 1 + 0.03 * noise(rng, h, w, 1.2 / texel_m))


def boards(rng: np.random.Generator, h: int, w: int, texel_m: float, colour: ArrayLike) -> Image:
    """Horizontal or upright wooden boards."""
    size = rng.uniform(0.14, 0.24) / texel_m
    if rng.random() < 0.5:
        wall = courses(rng, h, w, (9.0 / texel_m, size), 0.9, 0.06, colour, np.asarray(colour, float) * 0.5)
    else:
        wall = courses(rng, w, h, (9.0 / texel_m, size), 0.9, 0.06, colour, np.asarray(colour, float) * 0.5)
        wall = np.ascontiguousarray(wall.transpose(1, 0, 2))
    return modulate(wall, 1 + 0.05 * noise(rng, h, w, 0.5 / texel_m))


def timber_frame(rng: np.random.Generator, h: int, w: int, texel_m: float, colour: ArrayLike) -> Image:
    """Plaster fields between dark beams."""
    wall = plaster(rng, h, w, texel_m, colour)
    beam = tuple(int(c) for c in rng.integers((50, 30, 20), (95, 65, 55)))
    thick = max(1, round(0.2 / texel_m))
    xs = np.arange(0, w + 1, w / max(2, round(w * texel_m / 1.4)))
    ys = np.arange(0, h + 1, 1.45 / texel_m)
    for x in xs:
        cv2.line(wall, (int(x), 0), (int(x), h), beam, thick)
    for y in ys:
        cv2.line(wall, (0, int(y)), (w, int(y)), beam, thick)
    for y0, y1 in pairwise(ys):
        for x0, x1 in pairwise(xs):
            kind = rng.random()
            if kind < 0.25:
                cv2.line(wall, (int(x0), int(y0)), (int(x1), int(y1)), beam, thick, cv2.LINE_AA)
            if kind > 0.8 or kind < 0.08:
                cv2.line(wall, (int(x0), int(y1)), (int(x1), int(y0)), beam, thick, cv2.LINE_AA)
    return wall


def roof_tiles(rng: np.random.Generator, h: int, w: int, texel_m: float, colour: ArrayLike) -> Image:
    """Rows of roof tiles, each shading the next."""
    roof = courses(
        rng, h, w, (0.24 / texel_m, 0.3 / texel_m), 1.0, 0.1, colour, np.asarray(colour, float) * 0.55
    )
    return modulate(roof, 1 + 0.08 * noise(rng, h, w, 1.5 / texel_m))


def asphalt(rng: np.random.Generator, h: int, w: int, texel_m: float, colour: ArrayLike) -> Image:
    """Asphalt with its aggregate."""
    tone = (
        1 + 0.03 * noise(rng, h, w, 0.16 / texel_m, 2) + 0.07 * rng.standard_normal((h, w), dtype=np.float32)
    )
    return shade(colour, tone)


def cobbles(rng: np.random.Generator, h: int, w: int, texel_m: float, colour: ArrayLike) -> Image:
    """Setts in rows."""
    stones = courses(
        rng,
        h,
        w,
        (0.2 / texel_m, 0.16 / texel_m),
        0.035 / texel_m,
        0.13,
        colour,
        np.asarray(colour, float) * 0.5,
    )
    return modulate(stones, 1 + 0.07 * noise(rng, h, w, 1.5 / texel_m))


def slabs(rng: np.random.Generator, h: int, w: int, texel_m: float, colour: ArrayLike) -> Image:
    """Pavement slabs."""
    size = rng.uniform(0.4, 0.75) / texel_m
    stones = courses(
        rng,
        h,
        w,
        (size, size * rng.uniform(0.6, 1.0)),
        0.028 / texel_m,
        0.06,
        colour,
        np.asarray(colour, float) * 0.62,
    )
    return modulate(stones, 1 + 0.05 * noise(rng, h, w, 1.0 / texel_m))


def grass(rng: np.random.Generator, h: int, w: int, texel_m: float, colour: ArrayLike) -> Image:
    """A lawn."""
    return shade(
        colour,
        1 + 0.14 * noise(rng, h, w, 1.0 / texel_m) + 0.16 * rng.standard_normal((h, w)).astype(np.float32),
    )


Material = Callable[[np.random.Generator, int, int, float, ArrayLike], Image]

WALLS: dict[str, Material] = {
    "plaster": plaster,
    "brick": brick,
    "ashlar": ashlar,
    "panels": panels,
    "boards": boards,
    "timber": timber_frame,
}
PAVINGS: dict[str, Material] = {"asphalt": asphalt, "cobbles": cobbles, "slabs": slabs, "grass": grass}


def snow_cover(rng: np.random.Generator, image: Image, texel_m: float, depth: NDArray) -> Image:
    """Returns a surface under snow of a depth (h, w) from 0 (bare) to 1 (fully covered)."""
    h, w = image.shape[:2]
    white = shade((226, 231, 238), 1 + 0.035 * noise(rng, h, w, 0.5 / texel_m))
    return blend(image, white, depth)
