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

"""Roofs: flat, eaves to the street, gable to the street, stepped, mansard; chimneys and dormers."""

from __future__ import annotations

import numpy as np

from scene_geo_loc.simulation.materials.stock import Stock, tint_of
from scene_geo_loc.simulation.rendering.mesh import MeshBuilder
from scene_geo_loc.simulation.town.houses.architecture import Finish, House


def ridge_height(house: House) -> float:
    """Returns the height of the ridge in metres; of the eaves where a gable faces the street."""
    rise = {"eaves": house.depth / 2 * np.tan(min(house.roof_pitch, 0.75)), "mansard": 2.9}
    return house.height + float(rise.get(house.roof, 0.0))


def add_roof(mesh: MeshBuilder, stock: Stock, house: House, finish: Finish, front: int) -> None:
    """Adds the roof in the frame of its house; `front` is the texture of gables and parapets."""
    width, depth, top, tile = house.plot.width, house.depth, house.height, stock["roof"]
    tint = tint_of(finish.roof)
    ridge = ridge_height(house)
    if house.roof == "flat":
        mesh.walls(0, width, top, top + 1.0, 0.0, front)
        mesh.boxes(
            [(-0.04, -0.1, top + 0.95)],
            [(width + 0.04, 0.25, top + 1.05)],
            stock["plain"],
            tint_of(finish.trim),
        )
        mesh.polygon(
            [(0, 0, top), (width, 0, top), (width, depth, top), (0, depth, top)],
            stock["asphalt"],
            tint_of((120, 120, 120)),
        )
        if house.plot.index % 2:
            mesh.boxes(
                [(width * 0.3, depth * 0.4, top)],
                [(width * 0.3 + 3, depth * 0.4 + 3, top + 2.4)],
                stock["plain"],
                tint_of((150, 150, 150)),
            )
    elif house.roof == "eaves":
        out = 0.35
        drop = out * (ridge - top) / (depth / 2)
        for y, far in ((-out, depth / 2), (depth + out, depth / 2)):
            mesh.polygon(
                [
                    (-0.1, y, top - drop),
                    (width + 0.1, y, top - drop),
                    (width + 0.1, far, ridge),
                    (-0.1, far, ridge),
                ],
                tile,
                tint,
            )
        mesh.boxes(
            [(0, -out - 0.1, top - drop - 0.08)],
            [(width, -out, top - drop + 0.05)],
            stock["plain"],
            tint_of((90, 92, 92)),
        )
    elif house.roof == "mansard":
        steep, inset = 2.4, 0.8
        for y, far in ((-0.1, inset), (depth + 0.1, depth - inset)):
            mesh.polygon(
                [(0, y, top), (width, y, top), (width, far, top + steep), (0, far, top + steep)], tile, tint
            )
        for y in (inset, depth - inset):
            mesh.polygon(
                [
                    (0, y, top + steep),
                    (width, y, top + steep),
                    (width, depth / 2, ridge),
                    (0, depth / 2, ridge),
                ],
                tile,
                tint,
            )
    else:
        peak = top + width / 2 * np.tan(house.roof_pitch)
        for x in (0.0, width):
            outer = -0.15 if x == 0 else width + 0.15
            mesh.polygon(
                [
                    (outer, 0.02, top - 0.12),
                    (width / 2, 0.02, peak),
                    (width / 2, depth, peak),
                    (outer, depth, top - 0.12),
                ],
                tile,
                tint,
            )
        gable = np.array([[(0, 0, top), (width, 0, top), (width / 2, 0, peak)]])
        mesh.triangles(gable, gable[..., [0, 2]], front)
        if house.roof == "stepped":
            steps = 5
            xs = np.linspace(0, width / 2, steps + 1)
            zs = top + xs[1:] * np.tan(house.roof_pitch)
            for a, b in ((xs[:-1], xs[1:]), (width - xs[1:], width - xs[:-1])):
                mesh.walls(a, b, top, zs, -0.04, front)
                mesh.boxes(
                    np.stack([a - 0.05, zs * 0 - 0.1, zs - 0.1], 1),
                    np.stack([b + 0.05, zs * 0 + 0.3, zs + 0.05], 1),
                    stock["plain"],
                    tint_of(finish.trim),
                )
    for number in range(house.chimneys if house.roof != "flat" else 0):
        x = width * (0.22 + 0.5 * number)
        mesh.boxes(
            [(x, depth * 0.42, top)],
            [(x + 0.8, depth * 0.42 + 0.6, max(ridge, top + 2) + 1.1)],
            stock["brick"],
            tint_of((150, 90, 70)),
        )
    for number in range(house.dormers):
        _dormer(mesh, stock, house, finish, width * (number + 1) / (house.dormers + 1), ridge)


def _dormer(mesh: MeshBuilder, stock: Stock, house: House, finish: Finish, x: float, ridge: float) -> None:
    slope = (ridge - house.height) / (house.depth / 2) if house.roof == "eaves" else 2.7
    y = 0.9 if house.roof == "eaves" else 0.05
    foot = house.height + (y * slope if house.roof == "eaves" else 0.35)
    mesh.boxes(
        [(x - 0.65, y, foot - 0.3)], [(x + 0.65, y + 2.0, foot + 1.25)], stock["plain"], tint_of(finish.trim)
    )
    mesh.walls([x - 0.5, x + 0.04], [x - 0.04, x + 0.5], foot + 0.1, foot + 1.05, y - 0.02, stock["glass"])
    for side in (-1, 1):
        mesh.polygon(
            [
                (x + side * 0.8, y - 0.15, foot + 1.2),
                (x, y - 0.15, foot + 1.75),
                (x, y + 2.2, foot + 1.75),
                (x + side * 0.8, y + 2.2, foot + 1.2),
            ],
            stock["roof"],
            tint_of(finish.roof),
        )
    mesh.polygon(
        [(x - 0.65, y, foot + 1.25), (x + 0.65, y, foot + 1.25), (x, y, foot + 1.7)],
        stock["plain"],
        tint_of(finish.trim),
    )
