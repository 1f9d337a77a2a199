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

"""Textures of house fronts: masonry, windows, doors, shops, lettering and dirt."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from scene_geo_loc.simulation.materials.canvas import Canvas, Colour
from scene_geo_loc.simulation.materials.patterns import WALLS, modulate, noise, shade, snow_cover
from scene_geo_loc.simulation.town.houses.architecture import SHOP_NAMES, Finish, House, Opening

GLOW = 255
SHINE = 150
_AT_HOME, _LIT_WINDOW, _LIT_SHOP, _LIT_BOARD, _LIT_DOOR = 0.45, 0.22, 0.22, 0.1, 0.15
"""Lit shares at night: of the houses, of their windows, of shops, of their fascias, and of doors."""


def _dimmed(colour: Colour, factor: float) -> Colour:
    return factor * colour[0], factor * colour[1], factor * colour[2]


def paint_front(
    house: House, finish: Finish, rng: np.random.Generator, texel_m: float, is_night: bool, snow: bool
) -> Canvas:
    """Returns the painted front of a house up to the eaves, or to the ridge of a gable front."""
    width = house.plot.width
    canvas = Canvas.blank(width, front_height(house), texel_m)
    h, w = canvas.image.shape[:2]
    canvas.image[:] = WALLS[house.wall](rng, h, w, texel_m, finish.wall)
    if house.wall_below != house.wall:
        below = canvas.region(0, width, 0, house.floors[1])
        rows, columns = below[0].stop - below[0].start, below[1].stop - below[1].start
        canvas.image[below] = WALLS[house.wall_below](rng, rows, columns, texel_m, finish.wall_below)
    _weather(canvas, house, rng)
    if house.string_course:
        for floor in house.floors[1:-1]:
            canvas.fill(0, width, floor - 0.12, floor + 0.08, finish.trim)
            canvas.darken(0, width, floor - 0.22, floor - 0.12, 0.7)
    if house.has_shop:
        _fascia(canvas, house, finish, rng, is_night)
    at_home = rng.random() < _AT_HOME
    for opening in house.openings:
        if opening.kind == "window":
            _window(canvas, house, finish, opening, rng, is_night, at_home)
        elif opening.kind == "shop":
            _shop_window(canvas, finish, opening, rng, is_night)
        elif opening.kind == "garage":
            _garage(canvas, finish, opening)
        else:
            _door(canvas, finish, opening, rng, is_night)
    _bills_and_graffiti(canvas, house, np.random.default_rng(finish.details))
    if snow:
        drift = 1.5 * np.linspace(0, 1, h)[:, None] ** 30 - 0.75
        canvas.image = snow_cover(rng, canvas.image, texel_m, drift + 0.35 * noise(rng, h, w, 0.9 / texel_m))
    return canvas


def front_height(house: House) -> float:
    """Returns the height of the front's texture in metres."""
    if house.roof in ("gable", "stepped"):
        return house.height + house.plot.width / 2 * np.tan(house.roof_pitch) + 1.0
    return house.height + (1.0 if house.roof == "flat" else 0.3)


def _weather(canvas: Canvas, house: House, rng: np.random.Generator) -> None:
    """Paints dirt: a dark base, shade under the eaves, stains that run down."""
    h, w = canvas.image.shape[:2]
    z = canvas.height - np.arange(h) * canvas.texel_m
    tone = 1 - 0.28 * np.exp(-z / 0.5) - 0.2 * np.exp(-np.abs(house.height - z) / 0.35)
    stain = np.clip(noise(rng, h, w, 2.2 / canvas.texel_m) - 0.9, 0, 1.2)
    tone = tone[:, None] * (1 - 0.22 * stain)
    for _ in range(int(rng.integers(2, 7))):
        x, top = int(rng.integers(w)), int(rng.integers(h))
        length, half = (
            int(rng.uniform(0.8, 3.0) / canvas.texel_m),
            int(rng.uniform(0.05, 0.25) / canvas.texel_m) + 1,
        )
        rows = slice(top, min(h, top + length))
        fade = np.linspace(0.24, 0, length)[: rows.stop - rows.start]
        tone[rows, max(0, x - half) : x + half] *= 1 - fade[:, None]
    canvas.image = modulate(canvas.image, tone)


def _window(
    canvas: Canvas,
    house: House,
    finish: Finish,
    o: Opening,
    rng: np.random.Generator,
    is_night: bool,
    at_home: bool,
) -> None:
    x0, x1, z0, z1, s = o.x0, o.x1, o.z0, o.z1, house.surround
    if house.shutters and o.x1 - o.x0 < 1.8:
        half = (x1 - x0) / 2
        for a, b in ((x0 - half - 0.05, x0 - 0.05), (x1 + 0.05, x1 + half + 0.05)):
            canvas.fill(a, b, z0, z1, finish.shutter)
            for z in np.arange(z0 + 0.1, z1 - 0.05, 0.13):
                canvas.darken(a + 0.06, b - 0.06, z, z + 0.05, 0.72)
    if s:
        canvas.fill(x0 - s, x1 + s, z0 - s * 0.4, z1 + s, finish.trim)
        canvas.darken(x0 - s, x1 + s, z0 - s * 0.4 - 0.08, z0 - s * 0.4, 0.75)
    middle, colour = (x0 + x1) / 2, tuple(int(c) for c in finish.trim)
    if house.lintel == "arch":
        axes = canvas.column(x1) - canvas.column(middle) + 3, max(2, int(0.32 / canvas.texel_m))
        centre = canvas.column(middle), canvas.row(z1)
        cv2.ellipse(
            canvas.image, centre, axes, 0, 180, 360, colour, max(2, int(0.18 / canvas.texel_m)), cv2.LINE_AA
        )
    elif house.lintel == "keystone":
        canvas.fill(x0 - 0.15, x1 + 0.15, z1, z1 + 0.24, finish.trim)
        canvas.fill(middle - 0.12, middle + 0.12, z1 - 0.02, z1 + 0.34, _dimmed(finish.trim, 0.8))
    elif house.lintel == "pediment" and o.floor > 0:
        points = [(x0 - 0.25, z1 + 0.08), (x1 + 0.25, z1 + 0.08), (middle, z1 + 0.42)]
        pixels = np.array([(canvas.column(x), canvas.row(z)) for x, z in points])
        cv2.fillPoly(canvas.image, [pixels], colour, cv2.LINE_AA)
    canvas.fill(x0, x1, z0, z1, finish.frame, 0)
    glass = _glass(rng, is_night, at_home)
    columns, rows = house.mullions
    columns = max(columns, round((x1 - x0) / 1.1))
    bar = 0.06
    xs, zs = np.linspace(x0, x1, columns + 1), np.linspace(z0, z1, rows + 1)
    for a, b in pairwise(xs):
        for low, high in pairwise(zs):
            part = canvas.region(a + bar, b - bar, low + bar, high - bar)
            shape = canvas.image[part].shape[:2]
            if not shape[0] or not shape[1]:
                continue
            slope = np.linspace(1.15, 0.8, shape[0])[:, None] * np.linspace(0.9, 1.1, shape[1])
            canvas.image[part] = shade(glass[0], slope)
            canvas.extra[part] = glass[1]
    _curtains(canvas, finish, o, rng, glass[1])
    canvas.darken(x0, x1, z1 - 0.12, z1, 0.5)
    canvas.darken(x0, x0 + 0.05, z0, z1, 0.7)


def _glass(rng: np.random.Generator, is_night: bool, at_home: bool) -> tuple[Colour, int]:
    """Returns the colour of a pane, and its shine by day or glow at night."""
    if not is_night:
        tone = rng.uniform(0.6, 1.3)
        return (44 * tone, 52 * tone, 60 * tone), SHINE
    if at_home and rng.random() < _LIT_WINDOW:
        warm = rng.uniform(0.55, 1.0)
        return ((255, 206, 140), (255, 226, 180), (220, 226, 240), (255, 180, 110))[
            int(rng.integers(4))
        ], int(GLOW * warm)
    return (18, 20, 26), 0


def _curtains(canvas: Canvas, finish: Finish, o: Opening, rng: np.random.Generator, extra: int) -> None:
    """Paints curtains, a blind or plants behind glass with a shine or glow of `extra`."""
    kind = rng.random()
    x0, x1, z0, z1 = o.x0 + 0.09, o.x1 - 0.09, o.z0 + 0.09, o.z1 - 0.09
    if kind < 0.25 + 0.15 * finish.blind:
        side = (x1 - x0) * rng.uniform(0.15, 0.3)
        tone = rng.uniform(120, 215)
        cloth = tone, 0.96 * tone, 0.9 * tone
        for a, b in ((x0, x0 + side), (x1 - side, x1)):
            part = canvas.region(a, b, z0, z1)
            mixed = 0.45 * canvas.image[part] + 0.55 * np.array(cloth)
            canvas.image[part] = mixed.astype(np.uint8)
            canvas.extra[part] = (canvas.extra[part] * 0.7).astype(np.uint8)
    elif kind < 0.5:
        drop = (z1 - z0) * rng.uniform(0.2, 0.75)
        tone = rng.uniform(130, 205)
        canvas.fill(x0, x1, z1 - drop, z1, (tone, 0.97 * tone, rng.uniform(0.75, 0.95) * tone), extra // 5)
        for z in np.arange(z1 - drop, z1, 0.12):
            canvas.darken(x0, x1, z, z + 0.03, 0.8)
    elif kind < 0.58:
        for _ in range(4):
            x = rng.uniform(x0, x1)
            centre = canvas.column(x), canvas.row(z0 + rng.uniform(0, 0.35))
            cv2.circle(
                canvas.image,
                centre,
                int(rng.uniform(0.06, 0.16) / canvas.texel_m) + 1,
                (40, 88, 44),
                -1,
                cv2.LINE_AA,
            )


def _shop_window(
    canvas: Canvas, finish: Finish, o: Opening, rng: np.random.Generator, is_night: bool
) -> None:
    canvas.fill(o.x0 - 0.1, o.x1 + 0.1, 0.05, o.z1 + 0.06, finish.shop, 0)
    lit = is_night and rng.random() < _LIT_SHOP
    x0, x1, z0, z1 = o.x0 + 0.06, o.x1 - 0.06, o.z0 + 0.06, o.z1 - 0.06
    part = canvas.region(x0, x1, z0, z1)
    shape = canvas.image[part].shape[:2]
    back: Colour = (250, 226, 180) if lit else (40, 42, 44)
    canvas.image[part] = shade(back, np.linspace(1.2, 0.75, shape[0])[:, None] * np.ones(shape))
    canvas.extra[part] = 210 if lit else (0 if is_night else SHINE - 40)
    details = np.random.default_rng(finish.details)
    for _ in range(int(6 * (x1 - x0))):
        x, size = details.uniform(x0, x1), details.uniform(0.1, 0.4)
        z = z0 + details.choice([0.0, 0.55, 1.1]) * (z1 - z0) / 1.7
        colour = details.uniform(30, 235, 3) * (0.75 if lit else 0.6)
        if details.random() < 0.5:
            canvas.fill(
                max(x0, x - size / 2), min(x1, x + size / 2), z, min(z1, z + size * 1.3), tuple(colour)
            )
        else:
            centre, radius = (canvas.column(x), canvas.row(z + size / 2)), int(size / 2 / canvas.texel_m)
            cv2.circle(
                canvas.image[: canvas.row(z0)], centre, radius, tuple(int(c) for c in colour), -1, cv2.LINE_AA
            )
    for x in np.linspace(o.x0, o.x1, max(2, round((o.x1 - o.x0) / 1.6) + 1))[1:-1]:
        canvas.fill(x - 0.035, x + 0.035, z0, z1, finish.shop, 0)
    if details.random() < 0.5:
        word = SHOP_NAMES[int(details.integers(len(SHOP_NAMES)))].lower()
        canvas.write(word, x0 + 0.2, x1 - 0.2, z0 + 0.9, z0 + 1.25, (235, 230, 215), 6)
    canvas.darken(x0, x1, z1 - 0.18, z1, 0.55)


def _fascia(canvas: Canvas, house: House, finish: Finish, rng: np.random.Generator, is_night: bool) -> None:
    """Paints the fascia with the shop's name."""
    low, high = fascia_span(house)
    width = house.plot.width
    canvas.fill(0.2, width - 0.2, low, high, finish.shop, 90 if is_night and rng.random() < _LIT_BOARD else 0)
    canvas.fill(0.2, width - 0.2, low, low + 0.05, _dimmed(finish.shop, 0.6))
    text = finish.shop_name
    spread = min(width - 0.8, 0.62 * len(text))
    middle = width / 2 if finish.details % 3 else 0.6 + spread / 2
    fonts = (
        cv2.FONT_HERSHEY_DUPLEX,
        cv2.FONT_HERSHEY_TRIPLEX,
        cv2.FONT_HERSHEY_COMPLEX,
        cv2.FONT_HERSHEY_SIMPLEX,
    )
    font = fonts[finish.details % 4]
    canvas.write(
        text, middle - spread / 2, middle + spread / 2, low + 0.12, high - 0.08, finish.shop_text, font
    )


def fascia_span(house: House) -> tuple[float, float]:
    """Returns the lower and upper edge of a shop's fascia in metres above the ground."""
    top = max(o.z1 for o in house.openings if o.floor == 0)
    return top + 0.06, min(house.floors[1] - 0.1, top + 0.75)


def _door(canvas: Canvas, finish: Finish, o: Opening, rng: np.random.Generator, is_night: bool) -> None:
    canvas.fill(o.x0 - 0.12, o.x1 + 0.12, 0, o.z1 + 0.12, finish.trim)
    canvas.fill(o.x0, o.x1, o.z0, o.z1, finish.door)
    head = o.z1 - 0.45
    lit = is_night and rng.random() < _LIT_DOOR
    canvas.fill(
        o.x0 + 0.06,
        o.x1 - 0.06,
        head,
        o.z1 - 0.06,
        (255, 214, 150) if lit else (58, 66, 74),
        190 if lit else (0 if is_night else SHINE),
    )
    for low, high in ((o.z0 + 0.15, o.z0 + 0.9), (o.z0 + 1.05, head - 0.12)):
        for a, b in ((o.x0 + 0.1, (o.x0 + o.x1) / 2 - 0.05), ((o.x0 + o.x1) / 2 + 0.05, o.x1 - 0.1)):
            canvas.darken(a, b, low, high, 0.78)
    canvas.fill(o.x1 - 0.2, o.x1 - 0.14, o.z0 + 0.95, o.z0 + 1.1, (210, 190, 130))
    canvas.fill(o.x1 + 0.2, o.x1 + 0.42, o.z0 + 1.4, o.z0 + 1.62, (30, 50, 110))
    canvas.write(
        str(int(rng.integers(1, 99))), o.x1 + 0.21, o.x1 + 0.41, o.z0 + 1.44, o.z0 + 1.58, (240, 240, 240), 0
    )


def _garage(canvas: Canvas, finish: Finish, o: Opening) -> None:
    canvas.fill(o.x0 - 0.1, o.x1 + 0.1, 0, o.z1 + 0.1, finish.trim)
    canvas.fill(o.x0, o.x1, 0, o.z1, finish.door)
    for z in np.arange(o.z0, o.z1, 0.35):
        canvas.darken(o.x0, o.x1, z, z + 0.05, 0.65)


def _bills_and_graffiti(canvas: Canvas, house: House, rng: np.random.Generator) -> None:
    """Paints posters and graffiti on the free wall at eye level."""
    width = house.plot.width
    free = [
        x
        for x in np.arange(0.4, width - 0.4, 0.3)
        if all(x < o.x0 - 0.5 or x > o.x1 + 0.5 for o in house.openings if o.floor == 0)
    ]
    if not free:
        return
    for _ in range(int(rng.integers(0, 4))):
        x, z = float(rng.choice(free)), rng.uniform(0.8, 1.6)
        w, h = rng.uniform(0.3, 0.6), rng.uniform(0.5, 0.9)
        canvas.fill(x - w / 2, x + w / 2, z, z + h, tuple(rng.uniform(60, 245, 3)))
        canvas.fill(x - w / 3, x + w / 3, z + h * 0.45, z + h * 0.85, tuple(rng.uniform(20, 245, 3)))
        canvas.fill(x - w / 3, x + w / 3, z + h * 0.12, z + h * 0.25, (30, 30, 34))
    if rng.random() < 0.3:
        x, z = float(rng.choice(free)), rng.uniform(0.6, 1.4)
        steps = np.cumsum(rng.normal((0.05, 0), (0.12, 0.16), (22, 2)), axis=0) + np.array([x, z])
        points = np.array([(canvas.column(a), canvas.row(np.clip(b, 0.3, 2.2))) for a, b in steps], np.int32)
        cv2.polylines(
            canvas.image, [points], False, tuple(int(c) for c in rng.uniform(0, 230, 3)), 3, cv2.LINE_AA
        )
