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

"""Assembles the town: everything along the part of the loop that a drive sees."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.simulation.conditions import Condition
from scene_geo_loc.simulation.materials.stock import Stock, tint_of
from scene_geo_loc.simulation.materials.textures import TextureBank
from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.rendering.mesh import Mesh, MeshBuilder
from scene_geo_loc.simulation.rendering.night import NO_LAMPS, Lamps, burning_lamps
from scene_geo_loc.simulation.rendering.render import Scene
from scene_geo_loc.simulation.town.cars import ParkedCars
from scene_geo_loc.simulation.town.furniture import FURNITURE, LAMP_HEIGHT_M, LAMP_REACH_M, add_lamp
from scene_geo_loc.simulation.town.gaps import SNOW_TINT, add_gap
from scene_geo_loc.simulation.town.ground import KERB_M, PIECE_M, RoadUse, add_ground, piece_count
from scene_geo_loc.simulation.town.houses.architecture import design_house, finish_house
from scene_geo_loc.simulation.town.houses.buildings import add_house
from scene_geo_loc.simulation.town.landmarks import add_landmark
from scene_geo_loc.simulation.town.plan import Plot, StreetPlan
from scene_geo_loc.simulation.town.surroundings import back_row_plots, side_street_plots
from scene_geo_loc.simulation.town.trees import add_tree

SIGHT_M = 240.0
"""Distance from the drive within which the town is built, in metres; haze and houses hide the rest."""

_CLOSE_M, _NEAR_M = 30.0, 90.0
_LAMP_SPACING_M = 27.0
_LANDMARK_SPACING_M = 110.0
_KERB_SPACING_M = 6.5
_SLOT_M = 6.2


@dataclass
class _Site:
    """A scene under construction.

    Attributes:
        path: (N, 2) points of the loop that the drive passes.
        mesh: receives objects that snow does not cover.
        snowed: receives objects that snow covers from above.
    """

    condition: Condition
    drive: str
    path: NDArray[np.float64]
    sight: float
    stock: Stock
    mesh: MeshBuilder = field(default_factory=MeshBuilder)
    snowed: MeshBuilder = field(default_factory=MeshBuilder)

    def __post_init__(self) -> None:
        self.cars = ParkedCars(self.stock, self.condition.has_snow)

    def distance(self, point: NDArray) -> float:
        """Returns the distance in metres from the path to a point (2,)."""
        return float(np.sqrt(np.square(self.path - point).sum(1).min()))

    def joined(self) -> Mesh:
        """Returns all triangles, with snow on upward surfaces if the condition has snow."""
        mesh, snowed = self.mesh.mesh(), self.snowed.mesh()
        if self.condition.has_snow:
            up = snowed.normal[:, 2] > 0.42
            snowed.texture[up], snowed.tint[up] = self.stock["snow"], 1.0
        return mesh.joined(snowed)


class City:
    """A town that depends on its seed and length only; `scene` adds a condition.

    Args:
        loop_m: length of its street, see StreetPlan.
    """

    def __init__(self, seed: int, loop_m: float | None = None) -> None:
        self.seed = seed
        self.plan = StreetPlan(seed, loop_m)
        count = int(self.plan.length / _LAMP_SPACING_M)
        self._lamps = (np.arange(count) + 0.5) * self.plan.length / count
        self._lamp_sides = np.where(np.arange(count) % 2, 1, -1)
        streets = [p for p in self.plan.plots if p.kind == "street"]
        self._crossings = np.array([p.distance + 8 for p in streets[::2]])
        self._front_plots = self.plan.plots + side_street_plots(self.plan)
        self._back_plots = back_row_plots(self.plan)

    @property
    def house_plots(self) -> list[Plot]:
        """Plots of all houses: along the street, in side streets and behind."""
        front = [plot for plot in self._front_plots if plot.kind == "building"]
        return front + self._back_plots

    def scene(
        self, condition: Condition, start: float, length: float, drive: str = "", sight: float = SIGHT_M
    ) -> Scene:
        """Returns the scene around a part of the loop, textured and lit.

        Args:
            start, length: driven part of the loop in metres.
            drive: name of the drive; curtains, and the lights at night, depend on it.
            sight: distance from the drive within which the town is built, in metres.
        """
        path = self.plan.at(np.arange(start - 10, start + length + 10, 5.0))
        site = _Site(
            condition,
            drive or condition.name,
            path,
            sight,
            Stock(TextureBank(), self.seed, condition.is_night),
        )
        cars = self._parked_cars(condition)
        self._ground(site, RoadUse(self._crossings, cars[:, :2]))
        for plot in self._front_plots:
            away = site.distance(plot.origin + plot.width / 2 * plot.along)
            if away < sight and plot.kind == "building":
                self._house(site, plot, 0.03 if away < _CLOSE_M else 0.045 if away < _NEAR_M else 0.09)
            elif away < sight:
                add_gap(site.mesh, site.snowed, site.stock, plot, condition, _leaves(away))
        for plot in self._back_plots:
            if site.distance(plot.origin) < sight:
                self._house(site, plot, 0.11)
        self._landmarks(site)
        for distance, lateral, slot, key in cars:
            if site.distance(self.plan.at(distance)) < sight:
                self._car(site, distance, lateral, int(slot), int(key))
        lamps = self._lamp_posts(site)
        self._along_kerbs(site)
        return Scene(site.joined(), site.stock.bank, condition, self.seed, lamps)

    def _house(self, site: _Site, plot: Plot, texel_m: float) -> None:
        house, condition = design_house(self.seed, plot), site.condition
        finish = finish_house(self.seed, house, condition.epoch, site.drive)
        add_house(
            site.snowed,
            site.stock,
            house,
            finish,
            site.drive,
            texel_m,
            condition.is_night,
            condition.has_snow,
        )

    def _ground(self, site: _Site, use: RoadUse) -> None:
        pieces = np.arange(piece_count(self.plan))
        middles = self.plan.at((pieces + 0.5) * self.plan.length / len(pieces))
        away = np.array([site.distance(middle) for middle in middles])
        seen = away < site.sight + PIECE_M
        near = away[seen] < 1.5 * PIECE_M
        add_ground(site.mesh, site.stock, self.plan, pieces[seen], near, use, site.condition)
        reach = site.sight + 60
        (x0, y0), (x1, y1) = site.path.min(0) - reach, site.path.max(0) + reach
        # Slightly below the road, so that it is visible only behind and between the houses.
        corners = [(x0, y0, -0.02), (x1, y0, -0.02), (x1, y1, -0.02), (x0, y1, -0.02)]
        if site.condition.has_snow:
            site.mesh.polygon(corners, site.stock["snow"], SNOW_TINT)
        else:
            site.mesh.polygon(corners, site.stock["slabs"], tint_of((140, 136, 128)))

    def _landmarks(self, site: _Site) -> None:
        count = int(self.plan.length / _LANDMARK_SPACING_M)
        for number in range(count):
            rng = stream(self.seed, "landmark", number)
            lateral = float(rng.choice([-1, 1]) * rng.uniform(62, 95))
            place = self.plan.at(number * self.plan.length / count, lateral)
            _, from_loop = self.plan.nearest(place[None])
            if site.distance(place) < site.sight + 60 and from_loop[0] > 50:
                angle = rng.uniform(0, 2 * np.pi)
                with site.snowed.frame(place, (np.cos(angle), np.sin(angle))):
                    add_landmark(site.snowed, site.stock, rng)

    def _parked_cars(self, condition: Condition) -> NDArray[np.float64]:
        """Returns parked cars as rows of distance, lateral, slot and seed; right-hand traffic."""
        rows = []
        for side in (-1, 1):
            for slot, s in enumerate(np.arange(3.0, self.plan.length - 3, _SLOT_M)):
                number = slot * 2 + (side > 0)
                stays = stream(self.seed, "resident", number).random() < 0.3 and condition.epoch == 0
                key = 0 if stays else condition.day + 1
                rng = stream(self.seed, "slot", number, key)
                if len(self._crossings) and np.abs(self._crossings - s).min() < 7:
                    continue
                if rng.random() < 0.62:
                    lateral = side * (float(self.plan.half_road(s)) - 1.08 - rng.uniform(0, 0.16))
                    rows.append((s + rng.uniform(-0.5, 0.5), lateral, number, key))
        return np.array(rows)

    def _car(self, site: _Site, distance: float, lateral: float, slot: int, key: int) -> None:
        rng = stream(self.seed, "car", slot, key)
        heading = float(self.plan.heading(distance)) + (np.pi if lateral > 0 else 0) + rng.normal(0, 0.025)
        with site.mesh.frame(self.plan.at(distance, lateral), (np.cos(heading), np.sin(heading))):
            site.cars.add(site.mesh, rng)

    def _lamp_positions(self) -> NDArray[np.float64]:
        lateral = self._lamp_sides * (self.plan.half_road(self._lamps) + 0.45 - LAMP_REACH_M - 0.3)
        return np.column_stack(
            [self.plan.at(self._lamps, lateral), np.full(len(self._lamps), LAMP_HEIGHT_M + 0.1)]
        )

    def _lamp_posts(self, site: _Site) -> Lamps:
        """Adds the street lamps; returns those that burn."""
        burns, lamps = burning_lamps(self._lamp_positions(), self.seed, site.drive)
        if not site.condition.is_night:
            burns, lamps = np.zeros_like(burns), NO_LAMPS
        number_lit = np.cumsum(burns) - 1
        for number, (s, side) in enumerate(zip(self._lamps, self._lamp_sides, strict=True)):
            if site.distance(self.plan.at(s)) < site.sight:
                with site.mesh.frame(*self._beside(s, side, 0.45)):
                    rng = stream(self.seed, "lamp", number)
                    light = lamps.light[number_lit[number]] if burns[number] else None
                    add_lamp(site.mesh, site.stock, rng, light)
        return lamps

    def _along_kerbs(self, site: _Site) -> None:
        """Adds trees in avenues, and street furniture between them."""
        weights = np.array([weight for _, weight in FURNITURE])
        for side in (-1, 1):
            for number, s in enumerate(np.arange(4.0, self.plan.length - 4, _KERB_SPACING_M)):
                rng = stream(self.seed, "kerb", number, side + 1)
                s = s + rng.uniform(-2, 2)
                away = site.distance(self.plan.at(s))
                if away > site.sight or np.abs(self._lamps - s).min() < 1.5:
                    continue
                edge = self.plan.edge_at(s)
                wooded = stream(self.seed, "avenue", round(edge.length * 1000)).random() < 0.4
                if edge.pavement > 2.4 and rng.random() < (0.55 if wooded else 0.1):
                    with site.mesh.frame(*self._beside(s, side, 0.8)):
                        add_tree(site.mesh, site.stock, rng, site.condition.foliage, _leaves(away))
                elif rng.random() < 0.5:
                    with site.mesh.frame(*self._beside(s, side, 0.75)):
                        add_item, _ = FURNITURE[int(rng.choice(len(FURNITURE), p=weights))]
                        add_item(site.mesh, site.stock, rng)

    def _beside(self, s: float, side: int, from_kerb: float) -> tuple[NDArray, NDArray]:
        """Returns origin and x axis of a frame on the pavement whose -y axis points at the road."""
        heading = float(self.plan.heading(s))
        along = side * np.array([np.cos(heading), np.sin(heading)])
        xy = self.plan.at(s, side * (self.plan.half_road(s) + from_kerb))
        return np.append(xy, KERB_M), along


def _leaves(away: float) -> int:
    """Returns the number of leaves of a tree by its distance from the drive in metres."""
    return 2200 if away < _NEAR_M / 2 else 900 if away < _NEAR_M else 350
