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

"""Street furniture on the pavements: lamps, signs, bins, benches, columns, shelters, planters."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.simulation.materials.canvas import Canvas
from scene_geo_loc.simulation.materials.stock import Stock, tint_of
from scene_geo_loc.simulation.rendering.mesh import MeshBuilder
from scene_geo_loc.simulation.town.houses.architecture import SHOP_NAMES

LAMP_HEIGHT_M = 6.6
LAMP_REACH_M = 1.5
_IRON = (52, 58, 58)

Furniture = Callable[[MeshBuilder, Stock, np.random.Generator], None]


def add_lamp(
    mesh: MeshBuilder, stock: Stock, rng: np.random.Generator, light: NDArray[np.float32] | None
) -> None:
    """Adds a street lamp at the origin, with its arm along -y over the road.

    Args:
        light: linear RGB (3,) of a burning lamp; None for one that is off.
    """
    plain, iron = stock["plain"], tint_of(_IRON)
    mesh.cylinder((0, 0, 0), (0, 0, 1.0), (0.12, 0.1), plain, iron)
    mesh.cylinder((0, 0, 1.0), (0, 0, LAMP_HEIGHT_M), (0.07, 0.05), plain, iron, sides=7)
    mesh.cylinder(
        (0, 0, LAMP_HEIGHT_M), (0, -LAMP_REACH_M, LAMP_HEIGHT_M + 0.3), (0.04, 0.03), plain, iron, sides=6
    )
    low = (-0.14, -LAMP_REACH_M - 0.6, LAMP_HEIGHT_M + 0.22)
    mesh.boxes([low], [(0.14, -LAMP_REACH_M + 0.05, LAMP_HEIGHT_M + 0.36)], plain, iron)
    glass = plain if light is None else stock["lamp"]
    mesh.boxes(
        [(-0.11, -LAMP_REACH_M - 0.55, LAMP_HEIGHT_M + 0.16)],
        [(0.11, -LAMP_REACH_M, LAMP_HEIGHT_M + 0.22)],
        glass,
        (1, 1, 1) if light is None else 7 * light,
    )
    if rng.random() < 0.3:
        mesh.cylinder(
            (0, -0.3, 2.9), (0, -0.3, 3.2), (0.32, 0.12), stock["leaf"], tint_of((150, 50, 90)), cap=True
        )


def _sign(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator) -> None:
    """Adds a traffic sign on a post that faces along x, towards the traffic on this side."""
    height = rng.uniform(2.2, 2.7)
    mesh.cylinder(
        (0, 0, 0), (0, 0, height + 0.35), (0.035, 0.035), stock["plain"], tint_of((150, 152, 152)), sides=6
    )
    canvas, outline = _sign_face(rng)
    texture = stock.bank.add(canvas.image, canvas.texel_m)
    corners = np.column_stack([np.full(len(outline), 0.05), outline[:, 0], height + outline[:, 1]])
    fan = [[0, i, i + 1] for i in range(1, len(outline) - 1)]
    mesh.triangles(corners[fan], (outline + 0.4)[fan], texture)
    mesh.polygon(corners - (0.03, 0, 0), stock["plain"], tint_of((140, 142, 144)))


def _sign_face(rng: np.random.Generator) -> tuple[Canvas, np.ndarray]:
    canvas = Canvas.blank(0.8, 0.8, 0.0125)
    image, kind = canvas.image, int(rng.integers(6))
    angle = np.linspace(0, 2 * np.pi, 17)[:-1]
    circle = 0.33 * np.stack([np.cos(angle), np.sin(angle)], 1)
    if kind == 0:
        image[:] = (186, 24, 30)
        cv2.circle(image, (32, 32), 19, (236, 236, 232), -1, cv2.LINE_AA)
        canvas.write(str(int(rng.choice([20, 30, 40, 50]))), 0.22, 0.58, 0.28, 0.52, (20, 20, 22), 2)
        return canvas, circle
    if kind == 1:
        image[:] = (24, 70, 160)
        cv2.arrowedLine(image, (32, 50), (32, 14), (236, 236, 236), 5, cv2.LINE_AA, tipLength=0.4)
        return canvas, circle
    if kind == 2:
        image[:] = (190, 26, 30)
        canvas.fill(0.16, 0.64, 0.35, 0.45, (238, 238, 236))
        return canvas, circle
    if kind == 3:
        image[:] = (190, 26, 30)
        cv2.fillPoly(image, [np.array([(32, 14), (14, 46), (50, 46)])], (238, 236, 230), cv2.LINE_AA)
        canvas.write("!", 0.34, 0.46, 0.25, 0.5, (20, 20, 22), 2)
        return canvas, 0.38 * np.array([(0.0, 1.0), (-0.95, -0.65), (0.95, -0.65)])
    if kind == 4:
        image[:] = (26, 78, 164)
        canvas.write("P", 0.25, 0.55, 0.2, 0.6, (238, 238, 236), 2)
    else:
        image[:] = (238, 238, 232)
        canvas.fill(0.05, 0.75, 0.48, 0.75, (40, 96, 60))
        canvas.write(SHOP_NAMES[int(rng.integers(len(SHOP_NAMES)))], 0.12, 0.68, 0.22, 0.4, (20, 20, 22), 0)
    return canvas, np.array([(-0.32, -0.32), (0.32, -0.32), (0.32, 0.32), (-0.32, 0.32)])


def _bin(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator) -> None:
    colour = tint_of(((40, 84, 56), (60, 62, 66), (186, 120, 30), (36, 60, 110))[int(rng.integers(4))])
    if rng.random() < 0.5:
        mesh.cylinder((0, 0, 0.08), (0, 0, 0.95), (0.24, 0.28), stock["plain"], colour, sides=10, cap=True)
    else:
        for x in range(int(rng.integers(1, 4))):
            mesh.boxes([(x * 0.65, -0.3, 0.08)], [(x * 0.65 + 0.56, 0.35, 1.05)], stock["plain"], colour)
            mesh.boxes(
                [(x * 0.65 - 0.02, -0.34, 1.05)],
                [(x * 0.65 + 0.58, 0.38, 1.12)],
                stock["plain"],
                colour * 0.6,
            )


def _bench(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator) -> None:
    wood = tint_of(np.array((140, 96, 60)) * rng.uniform(0.8, 1.2))
    mesh.boxes(
        [(-0.85, y, 0.44) for y in (-0.2, -0.05, 0.1)],
        [(0.85, y + 0.11, 0.49) for y in (-0.2, -0.05, 0.1)],
        stock["plain"],
        wood,
    )
    mesh.boxes(
        [(-0.85, 0.24, z) for z in (0.6, 0.76)],
        [(0.85, 0.28, z + 0.11) for z in (0.6, 0.76)],
        stock["plain"],
        wood,
    )
    mesh.boxes(
        [(x, -0.2, 0) for x in (-0.7, 0.62)],
        [(x + 0.08, 0.28, 0.44) for x in (-0.7, 0.62)],
        stock["plain"],
        tint_of(_IRON),
    )


def _column(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator) -> None:
    """Adds an advertising column with posters."""
    canvas = Canvas.blank(4.0, 2.6, 0.02)
    canvas.fill(0, 4, 0, 2.6, (196, 190, 176))
    for x in np.arange(0.05, 3.9, 0.66):
        for z in (0.25, 1.35):
            canvas.fill(x, x + 0.6, z, z + 1.0, tuple(rng.uniform(40, 240, 3)))
            canvas.fill(x + 0.08, x + 0.52, z + 0.45, z + 0.9, tuple(rng.uniform(20, 245, 3)))
            canvas.write(
                SHOP_NAMES[int(rng.integers(len(SHOP_NAMES)))],
                x + 0.05,
                x + 0.55,
                z + 0.12,
                z + 0.32,
                (20, 20, 24),
                2,
            )
    texture = stock.bank.add(canvas.image, canvas.texel_m)
    mesh.cylinder((0, 0, 0), (0, 0, 2.6), (0.6, 0.6), texture, sides=16)
    mesh.cylinder(
        (0, 0, 2.6), (0, 0, 3.1), (0.72, 0.1), stock["plain"], tint_of((50, 84, 64)), sides=16, cap=True
    )


def _shelter(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator) -> None:
    """Adds a bus shelter with a poster at its end."""
    plain, steel = stock["plain"], tint_of((70, 74, 80))
    mesh.boxes([(-1.8, -0.75, 2.3)], [(1.8, 0.75, 2.4)], plain, steel)
    mesh.boxes(
        [(x, 0.6, 0) for x in (-1.75, -0.05, 1.65)],
        [(x + 0.08, 0.68, 2.3) for x in (-1.75, -0.05, 1.65)],
        plain,
        steel,
    )
    mesh.boxes([(-1.6, 0.25, 0.45)], [(1.0, 0.6, 0.5)], plain, tint_of((150, 110, 70)))
    canvas = Canvas.blank(1.2, 1.9, 0.02)
    canvas.fill(0, 1.2, 0, 1.9, tuple(rng.uniform(40, 230, 3)))
    canvas.fill(0.12, 1.08, 0.8, 1.7, tuple(rng.uniform(60, 245, 3)))
    canvas.write(SHOP_NAMES[int(rng.integers(len(SHOP_NAMES)))], 0.1, 1.1, 0.25, 0.6, (240, 240, 236), 2)
    texture = stock.bank.add(canvas.image, canvas.texel_m)
    for x in (1.78, 1.9):
        corners = np.array([[(x, -0.6, 0.25), (x, 0.6, 0.25), (x, 0.6, 2.15), (x, -0.6, 2.15)]])
        mesh.quads(corners, corners[..., [1, 2]] + (0.6, -0.25), texture)


def _planter(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator) -> None:
    mesh.boxes(
        [(-0.6, -0.3, 0)],
        [(0.6, 0.3, 0.5)],
        stock["plain"],
        tint_of(np.array((150, 140, 126)) * rng.uniform(0.6, 1.1)),
    )
    count = 90
    centre = rng.uniform((-0.55, -0.25, 0.5), (0.55, 0.25, 0.95), (count, 3))
    corners = centre[:, None] + rng.normal(0, 0.09, (count, 3, 3))
    flowers = np.where(rng.random((count, 1)) < 0.25, rng.uniform(120, 240, 3), np.array((70, 110, 50)))
    mesh.triangles(
        corners, np.zeros((count, 3, 2)), stock["leaf"], tint_of(flowers * rng.uniform(0.7, 1.1, (count, 1)))
    )


def _bollards(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator) -> None:
    colour = tint_of(((60, 62, 66), (170, 36, 34), (150, 150, 148))[int(rng.integers(3))])
    for x in np.arange(int(rng.integers(3, 6))) * 1.4:
        mesh.cylinder((x, 0, 0), (x, 0, 0.9), (0.07, 0.055), stock["plain"], colour, cap=True)


def _cabinet(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator) -> None:
    colour = tint_of(((116, 124, 116), (150, 148, 136), (206, 172, 40), (170, 40, 36))[int(rng.integers(4))])
    w, h = rng.uniform(0.4, 1.3), rng.uniform(0.9, 1.5)
    mesh.boxes([(0, -0.2, 0)], [(w, 0.2, h)], stock["plain"], colour)


FURNITURE: tuple[tuple[Furniture, float], ...] = (
    (_sign, 0.3),
    (_bin, 0.2),
    (_bench, 0.1),
    (_column, 0.05),
    (_shelter, 0.05),
    (_planter, 0.1),
    (_bollards, 0.1),
    (_cabinet, 0.1),
)
"""Street furniture along a kerb, with its relative frequency; each piece faces the road along -y."""
