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

"""Gaps between houses: mouths of side streets, squares with a monument, walled yards."""

from __future__ import annotations

import numpy as np

from scene_geo_loc.simulation.conditions import Condition
from scene_geo_loc.simulation.materials.stock import Stock, tint_of
from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.rendering.mesh import MeshBuilder
from scene_geo_loc.simulation.town.ground import KERB_M
from scene_geo_loc.simulation.town.plan import Plot
from scene_geo_loc.simulation.town.trees import add_tree

SNOW_TINT = (0.92, 0.94, 0.97)

_DEPTH_M = {"street": 75.0, "square": 26.0, "yard": 14.0}
_COLOURS = {"asphalt": (92, 92, 94), "grass": (92, 118, 62), "cobbles": (146, 140, 130)}


def add_gap(
    mesh: MeshBuilder, snowed: MeshBuilder, stock: Stock, plot: Plot, condition: Condition, leaves: int
) -> None:
    """Adds the ground of a plot without a house, and the objects on it.

    Args:
        snowed: receives objects that snow covers from above.
        leaves: number of leaves of a tree in summer.
    """
    rng = stream(stock.seed, "plot", plot.index)
    deep = _DEPTH_M[plot.kind]
    paving = {"street": "asphalt", "square": str(rng.choice(["grass", "cobbles"])), "yard": "grass"}[
        plot.kind
    ]
    with mesh.frame(plot.origin, plot.along):
        # A side street's mouth crosses the pavement.
        x0, x1, y, z = 0.4, plot.width - 0.4, -2.0 if plot.kind == "street" else 0.0, KERB_M + 0.035
        texture, tint = (
            (stock["snow"], SNOW_TINT) if condition.has_snow else (stock[paving], tint_of(_COLOURS[paving]))
        )
        mesh.polygon([(x0, y, z), (x1, y, z), (x1, deep, z), (x0, deep, z)], texture, tint)
        trees = {"street": 0, "square": int(rng.integers(3, 8)), "yard": int(rng.integers(1, 3))}[plot.kind]
        for number in range(trees):
            place = rng.uniform((2, 3), (max(plot.width - 2, 2.1), deep - 2))
            with mesh.frame((*place, KERB_M), (1, 0)):
                tree = stream(stock.seed, "garden tree", plot.index, number)
                add_tree(mesh, stock, tree, condition.foliage, leaves)
    with snowed.frame(plot.origin, plot.along):
        if plot.kind == "yard":
            _wall(snowed, stock, rng, plot)
        elif plot.kind == "square":
            _monument(snowed, stock, rng, plot)


def _wall(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator, plot: Plot) -> None:
    """Adds a wall with a gate."""
    height, kind = rng.uniform(1.0, 2.4), str(rng.choice(["brick", "ashlar", "boards"]))
    colour = tint_of(rng.uniform((110, 80, 60), (200, 170, 140)))
    gate = rng.uniform(0.3, 0.6) * plot.width
    mesh.boxes(
        [(0, 0, 0), (gate + 1.2, 0, 0)],
        [(gate, 0.25, height), (plot.width, 0.25, height)],
        stock[kind],
        colour,
    )
    mesh.boxes(
        [(gate - 0.35, -0.05, 0), (gate + 1.2, -0.05, 0)],
        [(gate, 0.35, height + 0.4), (gate + 1.55, 0.35, height + 0.4)],
        stock["ashlar"],
        colour,
    )


def _monument(mesh: MeshBuilder, stock: Stock, rng: np.random.Generator, plot: Plot) -> None:
    """Adds an obelisk or a figure on a pedestal."""
    middle = plot.width / 2
    stone = tint_of(rng.uniform((130, 124, 112), (196, 188, 170)))
    mesh.boxes(
        [(middle - 1.4, 6.6, 0), (middle - 0.8, 7.2, 0)],
        [(middle + 1.4, 9.4, 0.6), (middle + 0.8, 8.8, 2.4)],
        stock["ashlar"],
        stone,
    )
    bronze = tint_of(((70, 110, 96), (96, 80, 60))[int(rng.integers(2))])
    if rng.random() < 0.5:
        mesh.cylinder(
            (middle, 8, 2.4),
            (middle, 8, rng.uniform(7, 11)),
            (0.5, 0.2),
            stock["ashlar"],
            stone,
            cap=True,
        )
    else:
        mesh.cylinder((middle, 8, 2.4), (middle, 8, 4.0), (0.42, 0.3), stock["plain"], bronze)
        mesh.cylinder((middle, 8, 4.0), (middle, 8, 4.5), (0.2, 0.16), stock["plain"], bronze, cap=True)
        mesh.cylinder((middle, 8, 3.7), (middle + 0.9, 8, 4.3), (0.12, 0.08), stock["plain"], bronze)
