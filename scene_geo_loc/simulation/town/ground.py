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

"""Carriageway and pavements: their shape follows the loop, their textures are painted piece by piece."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.simulation.conditions import Condition
from scene_geo_loc.simulation.materials.canvas import Canvas
from scene_geo_loc.simulation.materials.patterns import PAVINGS, blend, modulate, noise, snow_cover
from scene_geo_loc.simulation.materials.stock import Stock
from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.rendering.mesh import MeshBuilder
from scene_geo_loc.simulation.town.plan import StreetPlan

KERB_M = 0.12
PIECE_M = 24.0
_NEAR_TEXEL_M, _FAR_TEXEL_M = 0.025, 0.07
_SEAM_M = 3.0
_PAINT = (214, 214, 206)


@dataclass(frozen=True)
class RoadUse:
    """Use of the road: crossings by distance, parked cars by (distance, lateral), in metres."""

    crossings: NDArray[np.float64]
    cars: NDArray[np.float64]


def add_ground(
    mesh: MeshBuilder,
    stock: Stock,
    plan: StreetPlan,
    pieces: NDArray[np.int64],
    is_near: NDArray[np.bool_],
    use: RoadUse,
    condition: Condition,
) -> None:
    """Adds the pieces of road and pavement with the given numbers, about PIECE_M long each.

    Args:
        is_near: mask of the pieces near the drive, which are painted in finer detail.
    """
    length = plan.length / piece_count(plan)
    for piece, near in zip(pieces, is_near, strict=True):
        texel_m = _NEAR_TEXEL_M if near else _FAR_TEXEL_M
        start = piece * length
        s = np.linspace(start, start + length, 13)
        half = plan.half_road(s)
        road = _paint_road(plan, int(piece), start, length, texel_m, use, condition)
        texture = stock.bank.add(road.image, texel_m)
        wide = road.height / 2
        _strip(mesh, plan, s, -half - 0.02, half + 0.02, 0.0, 0.0, texture, s - start, wide)
        for side in (1, -1):
            inner, width = side * half, plan.pavement(s) + 0.6
            pavement = _paint_pavement(
                plan, int(piece), side, start, length, float(width.max()), texel_m, condition
            )
            texture = stock.bank.add(pavement.image, texel_m)
            _strip(
                mesh,
                plan,
                s,
                inner,
                inner + side * width,
                KERB_M,
                KERB_M + 0.02,
                texture,
                s - start,
                0.0,
                side,
            )
            _kerb(mesh, plan, s, inner, texture, s - start)


def piece_count(plan: StreetPlan) -> int:
    """Returns the number of road pieces of the loop."""
    return round(plan.length / PIECE_M)


def _strip(
    mesh: MeshBuilder, plan: StreetPlan, s: NDArray, near: NDArray, far: NDArray, z_near: float, z_far: float,
    texture: int, u: NDArray, v_zero: float, side: int = 1,
) -> None:  # fmt: skip
    """Adds a band along the loop between two lateral offsets; v counts from the kerb, or from `v_zero`."""
    a = np.column_stack([plan.at(s, near), np.full(len(s), z_near)])
    b = np.column_stack([plan.at(s, far), np.full(len(s), z_far)])
    corners = np.stack([a[:-1], a[1:], b[1:], b[:-1]], 1)
    v_near = v_zero + near if v_zero else np.zeros(len(s))
    v_far = v_zero + far if v_zero else side * (far - near)
    uv = np.stack(
        [np.column_stack([u[:-1], v_near[:-1]]), np.column_stack([u[1:], v_near[1:]]),
         np.column_stack([u[1:], v_far[1:]]), np.column_stack([u[:-1], v_far[:-1]])], 1,
    )  # fmt: skip
    mesh.quads(corners, uv, texture)


def _kerb(
    mesh: MeshBuilder, plan: StreetPlan, s: NDArray, lateral: NDArray, texture: int, u: NDArray
) -> None:
    foot, lift = np.column_stack([plan.at(s, lateral), np.zeros(len(s))]), np.array([0, 0, KERB_M])
    corners = np.stack([foot[:-1], foot[1:], foot[1:] + lift, foot[:-1] + lift], 1)
    uv = np.zeros((len(s) - 1, 4, 2))
    uv[:, [0, 3], 0], uv[:, [1, 2], 0] = u[:-1, None], u[1:, None]
    uv[:, :2, 1], uv[:, 2:, 1] = 0.03, 0.1
    mesh.quads(corners, uv, texture)


def _running_noise(
    plan: StreetPlan, purpose: str, piece: int, canvas: Canvas, cell_m: float
) -> NDArray[np.float32]:
    """Returns smooth noise (h, w) for a piece that continues without a seam in the next piece."""
    h, w = canvas.image.shape[:2]
    texel_m, blend_width = canvas.texel_m, int(_SEAM_M / canvas.texel_m)
    out = noise(stream(plan.seed, purpose, piece), h, w, cell_m / texel_m, 4)
    share = np.linspace(0, 1, blend_width, dtype=np.float32)
    keep = np.sqrt(share**2 + (1 - share) ** 2)
    for end, seam in ((0, piece), (1, (piece + 1) % piece_count(plan))):
        # Both sides of a seam are cut from one patch, aligned at its lower edge, so that they agree.
        patch = noise(
            stream(plan.seed, purpose, "seam", seam), int(14 / texel_m), 2 * blend_width, cell_m / texel_m, 4
        )[-h:]
        if end == 0:
            out[:, :blend_width] = (
                out[:, :blend_width] * share + patch[:, blend_width:] * share[::-1]
            ) / keep
        else:
            out[:, -blend_width:] = (
                out[:, -blend_width:] * share[::-1] + patch[:, :blend_width] * share
            ) / keep
    return out


def _paint_road(
    plan: StreetPlan,
    piece: int,
    start: float,
    length: float,
    texel_m: float,
    use: RoadUse,
    condition: Condition,
) -> Canvas:
    rng = stream(plan.seed, "road", piece)
    middle = start + length / 2
    edge = plan.edge_at(middle)
    half = float(plan.half_road(np.linspace(start, start + length, 9)).max()) + 0.1
    canvas = Canvas.blank(length, 2 * half, texel_m)
    h, w = canvas.image.shape[:2]
    street = stream(plan.seed, "surface", round(float(edge.length * 1000)))
    is_cobbled = edge.district == "old town" and street.random() < 0.6
    grey = street.uniform(62, 96)
    tone = np.array([grey, grey, grey + street.uniform(-4, 4)])
    canvas.image[:] = PAVINGS["cobbles" if is_cobbled else "asphalt"](
        rng, h, w, texel_m, tone * (1.25 if is_cobbled else 1)
    )
    _wear(canvas, half, _running_noise(plan, "wear", piece, canvas, 3.2))
    if not is_cobbled:
        _repairs(canvas, rng, length, half)
    _covers(canvas, rng, length, half)
    _markings(canvas, street, rng, start, length, half, use, is_cobbled)
    if condition.foliage == "autumn":
        _scatter(canvas, rng, 260, ((150, 96, 40), (170, 130, 50), (110, 70, 36)))
    _contact_shadows(canvas, start, half, use, plan.length)
    if condition.has_snow:
        y = (np.arange(h) + 0.5) * texel_m - half
        ruts = sum(np.exp(-(((-y - centre) / 0.3) ** 2)) for centre in (-1.9, -0.4, 0.5, 2.0))
        depth = (1.0 - 1.35 * ruts)[:, None] + 0.33 * _running_noise(plan, "road snow", piece, canvas, 0.9)
        canvas.image = snow_cover(rng, canvas.image, texel_m, depth)
    return canvas


def _wear(canvas: Canvas, half: float, blotches: NDArray[np.float32]) -> None:
    y = (np.arange(len(blotches)) + 0.5) * canvas.texel_m - half
    tracks = sum(np.exp(-(((y - centre) / 0.35) ** 2)) for centre in (-2.0, -0.5, 0.5, 2.0))
    gutter = np.exp(-(half - np.abs(y)) / 0.25)
    tone = (1 - 0.07 * tracks - 0.3 * gutter)[:, None] * (1 + 0.04 * blotches)
    canvas.image = modulate(canvas.image, tone)


def _repairs(canvas: Canvas, rng: np.random.Generator, length: float, half: float) -> None:
    """Paints patches of newer asphalt, cracks and stains of oil."""
    for _ in range(int(rng.integers(1, 5))):
        w, h = rng.uniform(0.6, 5.0), rng.uniform(0.5, 2.2)
        x, z = rng.uniform(0.2, length - w - 0.2), rng.uniform(0, 2 * half)
        canvas.darken(x, x + w, z, z + h, rng.uniform(0.62, 1.22))
        canvas.darken(x - 0.04, x + w + 0.04, z - 0.04, z, 0.6)
        canvas.darken(x - 0.04, x + w + 0.04, z + h, z + h + 0.04, 0.6)
    for _ in range(int(rng.integers(1, 6))):
        steps = np.cumsum(rng.normal((0.12, 0.0), (0.2, 0.14), (40, 2)), axis=0)
        points = steps + rng.uniform((0, 0), (max(0.1, length - steps[-1, 0]), 2 * half))
        pixels = np.array([(canvas.column(x), canvas.row(z)) for x, z in points], np.int32)
        cv2.polylines(canvas.image, [pixels], False, (40, 40, 42), 1 + int(rng.integers(2)), cv2.LINE_AA)
    for _ in range(int(rng.integers(1, 5))):
        centre = canvas.column(rng.uniform(0.8, length - 0.8)), canvas.row(rng.uniform(0, 2 * half))
        overlay = canvas.image.copy()
        axes = tuple(int(v) for v in rng.uniform(0.15, 0.7, 2) / canvas.texel_m)
        cv2.ellipse(overlay, centre, axes, 0, 0, 360, (36, 36, 38), -1, cv2.LINE_AA)
        canvas.image = np.asarray(cv2.addWeighted(canvas.image, 0.6, overlay, 0.4, 0), np.uint8)


def _covers(canvas: Canvas, rng: np.random.Generator, length: float, half: float) -> None:
    """Paints manhole covers and the gullies along the kerb."""
    for _ in range(int(rng.integers(1, 4))):
        centre = (
            canvas.column(rng.uniform(1, length - 1)),
            canvas.row(half + rng.uniform(-half + 1, half - 1)),
        )
        radius = int(0.36 / canvas.texel_m)
        cv2.circle(canvas.image, centre, radius + 2, (96, 96, 94), -1, cv2.LINE_AA)
        cv2.circle(canvas.image, centre, radius, (52, 50, 48), -1, cv2.LINE_AA)
        for ring in range(2, radius, 4):
            cv2.circle(canvas.image, centre, ring, (78, 76, 72), 1, cv2.LINE_AA)
    for side in (0.32, 2 * half - 0.32):
        x = rng.uniform(1, length - 1)
        canvas.fill(x, x + 0.5, side - 0.18, side + 0.18, (44, 44, 44))
        for bar in np.arange(x + 0.05, x + 0.5, 0.11):
            canvas.fill(bar, bar + 0.05, side - 0.16, side + 0.16, (92, 90, 88))


def _markings(
    canvas: Canvas,
    street: np.random.Generator,
    rng: np.random.Generator,
    start: float,
    length: float,
    half: float,
    use: RoadUse,
    is_cobbled: bool,
) -> None:
    style, bays = street.random(), street.random() < 0.6
    painted = canvas.image.copy()
    bare, canvas.image = canvas.image, painted
    if not is_cobbled and style < 0.75:
        for x in np.arange(-(start % 6.0), length, 6.0):
            canvas.fill(
                max(0, x), max(0, x + (6.0 if style < 0.15 else 3.0)), half - 0.06, half + 0.06, _PAINT
            )
    if not is_cobbled and bays:
        for z in (2.2, 2 * half - 2.2):
            for x in np.arange(-(start % 6.2), length, 6.2):
                canvas.fill(max(0, x), max(0, x + 0.6), z - 0.05, z + 0.05, _PAINT)
    if not is_cobbled and rng.random() < 0.22:
        _arrow(canvas, rng.uniform(4, length - 6), half - 1.3, 1)
    if not is_cobbled and rng.random() < 0.12:
        x = rng.uniform(2, length - 8)
        canvas.write(
            str(rng.choice(["30", "BUS", "SLOW", "SCHOOL"])), x, x + 4.5, half + 0.5, half + 2.2, _PAINT, 0
        )
    for crossing in use.crossings:
        x = crossing - start
        if -4 < x < length + 4:
            for z in np.arange(0.5, 2 * half - 0.5, 1.0):
                canvas.fill(max(0, x - 1.5), min(length, max(0, x + 1.5)), z, z + 0.5, (222, 222, 216))
            canvas.fill(max(0, x - 2.9), max(0, x - 2.5), 0.3, half - 0.1, _PAINT)
    h, w = bare.shape[:2]
    wear = np.clip(0.82 + 0.25 * noise(rng, h, w, 0.5 / canvas.texel_m, 3), 0, 1)
    canvas.image = blend(bare, canvas.image, wear)


def _arrow(canvas: Canvas, x: float, z: float, direction: int) -> None:
    tip = [(0, 0.08), (2.2, 0.08), (2.2, 0.35), (3.4, 0), (2.2, -0.35), (2.2, -0.08), (0, -0.08)]
    pixels = np.array([(canvas.column(x + direction * a), canvas.row(z + b)) for a, b in tip], np.int32)
    cv2.fillPoly(canvas.image, [pixels], _PAINT, cv2.LINE_AA)


def _contact_shadows(canvas: Canvas, start: float, half: float, use: RoadUse, loop: float) -> None:
    """Darkens the road under parked cars, with a soft edge."""
    shadow = np.zeros(canvas.image.shape[:2], np.float32)
    length = canvas.image.shape[1] * canvas.texel_m
    for distance, lateral in use.cars:
        x = (distance - start + loop / 2) % loop - loop / 2
        if -4 < x < length + 4:
            shadow[canvas.region(x - 2.15, x + 2.15, half + lateral - 0.95, half + lateral + 0.95)] = 0.75
    canvas.image = modulate(canvas.image, 1 - cv2.GaussianBlur(shadow, (0, 0), 0.16 / canvas.texel_m))


def _paint_pavement(
    plan: StreetPlan,
    piece: int,
    side: int,
    start: float,
    length: float,
    width: float,
    texel_m: float,
    condition: Condition,
) -> Canvas:
    """Paints a pavement; x along the loop, z from the kerb."""
    rng = stream(plan.seed, "pavement", piece, side + 1)
    edge = plan.edge_at(start + length / 2)
    street = stream(plan.seed, "paving", round(float(edge.length * 1000)))
    kind = str(street.choice(["slabs", "slabs", "cobbles", "asphalt"]))
    canvas = Canvas.blank(length, width, texel_m)
    h, w = canvas.image.shape[:2]
    colour = np.array([150, 147, 140]) * street.uniform(0.78, 1.08) + street.uniform(-8, 8, 3)
    # The same pattern on every piece of a street, so that the joints continue; the dirt differs.
    canvas.image[:] = PAVINGS[kind](street, h, w, texel_m, colour)
    z = width - (np.arange(h) + 0.5) * texel_m
    tone = (1 - 0.32 * np.exp(-(width - 0.6 - z).clip(0) / 0.28))[:, None] * (
        1 + 0.09 * _running_noise(plan, f"pavement {side}", piece, canvas, 2.1)
    )
    canvas.image = modulate(canvas.image, tone)
    for _ in range(int(rng.integers(6, 26))):
        centre = canvas.column(rng.uniform(0, length)), canvas.row(rng.uniform(0.3, width))
        cv2.circle(
            canvas.image,
            centre,
            int(rng.integers(1, 4)),
            tuple(int(v) for v in colour * rng.uniform(0.5, 0.75)),
            -1,
            cv2.LINE_AA,
        )
    if rng.random() < 0.7:
        x, y = rng.uniform(1, length - 2), rng.uniform(0.5, width - 1)
        canvas.fill(x, x + rng.uniform(0.5, 1.2), y, y + 0.5, (96, 94, 90))
    canvas.fill(0, length, 0, 0.15, (176, 174, 168))
    for x in np.arange(0, length, 1.0):
        canvas.darken(x, x + 0.03, 0, 0.15, 0.65)
    canvas.darken(0, length, 0.15, 0.18, 0.65)
    if condition.foliage == "autumn":
        _scatter(canvas, rng, 200, ((150, 96, 40), (170, 130, 50), (110, 70, 36)))
    if condition.has_snow:
        trodden = np.exp(-(((z - width * 0.5) / 0.5) ** 2))
        depth = (1.25 - 0.9 * trodden)[:, None] + 0.33 * _running_noise(
            plan, f"pavement snow {side}", piece, canvas, 0.9
        )
        canvas.image = snow_cover(rng, canvas.image, texel_m, depth)
    return canvas


def _scatter(canvas: Canvas, rng: np.random.Generator, count: int, colours: tuple) -> None:
    """Paints fallen leaves."""
    h, w = canvas.image.shape[:2]
    for _ in range(count):
        centre = (
            int(rng.integers(w)),
            int(
                min(h - 1, abs(rng.normal(0, h / 4)) if rng.random() < 0.5 else h - abs(rng.normal(0, h / 4)))
            ),
        )
        cv2.circle(
            canvas.image, centre, int(rng.integers(1, 4)), colours[int(rng.integers(len(colours)))], -1
        )
