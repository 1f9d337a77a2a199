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

"""Landmarks above the roofs that are visible from afar: churches, towers, chimneys, cranes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from scene_geo_loc.simulation.materials.stock import Stock, tint_of
from scene_geo_loc.simulation.rendering.mesh import MeshBuilder


def add_landmark(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator) -> None:
    """Adds a landmark at the origin of the current frame, 22 to 60 m high."""
    (_church, _water_tower, _chimney, _crane, _dome, _tower_block)[int(rng.integers(6))](mesh, stock, rng)


def _church(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator) -> None:
    wall = str(rng.choice(["ashlar", "brick", "plaster"]))
    colour = {"ashlar": (186, 178, 158), "brick": (150, 84, 66), "plaster": (224, 208, 170)}[wall]
    half, top = rng.uniform(2.8, 3.8), rng.uniform(22, 30)
    mesh.boxes(
        [(-half, -half, 0), (-5, half, 0)],
        [(half, half, top), (5, half + 20, 11)],
        stock[wall],
        tint_of(colour),
    )
    roof = tint_of(((70, 110, 96), (84, 84, 92), (140, 74, 56))[int(rng.integers(3))])
    peak, sides = top + rng.uniform(8, 18), 8 if rng.random() < 0.5 else 4
    mesh.cylinder(
        (0, 0, top),
        (0, 0, peak),
        (half * 1.35 if sides == 4 else half, 0.05),
        stock["roof"],
        roof,
        sides=sides,
    )
    for x in (-5.4, 5.4):
        mesh.polygon(
            [(x, half, 10.8), (0, half, 17), (0, half + 20, 17), (x, half + 20, 10.8)], stock["roof"], roof
        )
    face = tint_of((236, 230, 210))
    for y in (-half - 0.05, half + 0.05):
        angle = np.linspace(0, 2 * np.pi, 17)[:-1]
        mesh.polygon(
            np.stack([1.2 * np.cos(angle), np.full(16, y), top - 3 + 1.2 * np.sin(angle)], 1),
            stock["plain"],
            face,
        )
    for z in np.arange(6, top - 6, 4.0):
        mesh.boxes(
            [(-0.5, -half - 0.04, z), (-half - 0.04, -0.5, z)],
            [(0.5, half + 0.04, z + 2), (half + 0.04, 0.5, z + 2)],
            stock["glass"],
        )


def _water_tower(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator) -> None:
    top, brick = rng.uniform(20, 26), tint_of((160, 92, 70))
    mesh.cylinder((0, 0, 0), (0, 0, top), (3.4, 2.8), stock["brick"], brick, sides=12)
    mesh.cylinder(
        (0, 0, top), (0, 0, top + 1.5), (2.8, 5.0), stock["plain"], tint_of((170, 164, 150)), sides=12
    )
    mesh.cylinder((0, 0, top + 1.5), (0, 0, top + 8), (5.0, 5.0), stock["brick"], brick, sides=12)
    mesh.cylinder(
        (0, 0, top + 8), (0, 0, top + 12), (5.4, 0.2), stock["roof"], tint_of((80, 96, 92)), sides=12
    )


def _chimney(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator) -> None:
    top = rng.uniform(34, 52)
    mesh.cylinder((0, 0, 0), (0, 0, top), (2.2, 1.3), stock["brick"], tint_of((164, 96, 72)), sides=12)
    for z in (top - 7, top - 3):
        mesh.cylinder(
            (0, 0, z), (0, 0, z + 1.6), (1.62, 1.58), stock["plain"], tint_of((226, 222, 214)), sides=12
        )
    mesh.boxes([(-9, 4, 0)], [(9, 16, 9)], stock["brick"], tint_of((150, 84, 66)))


def _crane(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator) -> None:
    top, paint = rng.uniform(34, 46), tint_of(((220, 160, 30), (190, 50, 40))[int(rng.integers(2))])
    reach, angle = rng.uniform(24, 32), rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle), 0.0])
    corners = [np.array([x, y, 0.0]) for x in (-0.8, 0.8) for y in (-0.8, 0.8)]
    mast = np.array([0, 0, top])
    beams = [(c, c + mast) for c in corners]
    beams += [(corners[0] + (0, 0, z), corners[3] + (0, 0, z + 3)) for z in np.arange(0, top - 3, 3.0)]
    beams += [(corners[1] + (0, 0, z), corners[2] + (0, 0, z + 3)) for z in np.arange(0, top - 3, 3.0)]
    tip, back, peak = mast + reach * along, mast - 9 * along, np.array([0, 0, top + 6.0])
    beams += [
        (back, tip),
        (np.add(back, (0, 0, 1.4)), np.add(tip, (0, 0, 1.0))),
        (peak, 0.7 * tip + 0.3 * mast),
        (peak, back),
        (corners[0] + mast, peak),
    ]
    starts, ends = np.array([b[0] for b in beams]), np.array([b[1] for b in beams])
    mesh.ribbons(starts, ends, np.full(len(beams), 0.16), np.full(len(beams), 0.16), stock["plain"], paint)
    mesh.boxes([back - 1.2], [back + 1.2], stock["plain"], tint_of((130, 128, 124)))


def _dome(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator) -> None:
    radius, top = rng.uniform(6, 8), rng.uniform(15, 20)
    mesh.cylinder(
        (0, 0, 0), (0, 0, top), (radius, radius), stock["ashlar"], tint_of((206, 198, 178)), sides=16
    )
    copper = tint_of((96, 150, 130))
    angle = np.linspace(0, np.pi / 2, 6)
    for a, b in pairwise(angle):
        low, high = (0, 0, top + radius * np.sin(a)), (0, 0, top + radius * np.sin(b))
        mesh.cylinder(
            low, high, (radius * np.cos(a), max(0.3, radius * np.cos(b))), stock["plain"], copper, sides=16
        )
    mesh.cylinder((0, 0, top + radius), (0, 0, top + radius + 5), (0.9, 0.1), stock["plain"], copper)


def _tower_block(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator) -> None:
    top, w, d = rng.uniform(34, 58), rng.uniform(7, 10), rng.uniform(6, 8)
    colour = tint_of(((190, 190, 186), (150, 120, 100), (120, 136, 150))[int(rng.integers(3))])
    mesh.boxes([(-w, -d, 0)], [(w, d, top)], stock["panels"], colour)
    floors = np.arange(3, top - 2, 3.0)
    mesh.boxes(
        [(-w + 0.8, -d - 0.05, z) for z in floors],
        [(w - 0.8, d + 0.05, z + 1.5) for z in floors],
        stock["glass"],
    )
    mesh.boxes(
        [(-w - 0.05, -d + 0.8, z) for z in floors],
        [(w + 0.05, d - 0.8, z + 1.5) for z in floors],
        stock["glass"],
    )
    for x in np.arange(-w + 0.8, w, 2.6):
        mesh.boxes([(x, -d - 0.12, 0)], [(x + 0.4, d + 0.12, top)], stock["plain"], colour)
