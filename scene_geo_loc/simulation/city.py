"""Puts the town together: everything along the part of the loop that a drive sees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.simulation.architecture import design_house, finish_house
from scene_geo_loc.simulation.buildings import add_house
from scene_geo_loc.simulation.cars import add_car
from scene_geo_loc.simulation.conditions import Condition
from scene_geo_loc.simulation.furniture import FURNITURE, LAMP_HEIGHT_M, LAMP_REACH_M, add_lamp
from scene_geo_loc.simulation.ground import KERB_M, RoadUse, add_ground, piece_count
from scene_geo_loc.simulation.landmarks import add_landmark
from scene_geo_loc.simulation.mesh import Mesh, MeshBuilder
from scene_geo_loc.simulation.plan import Plot, StreetPlan
from scene_geo_loc.simulation.randomness import stream
from scene_geo_loc.simulation.render import Scene
from scene_geo_loc.simulation.stock import Stock, tint_of
from scene_geo_loc.simulation.textures import TextureBank
from scene_geo_loc.simulation.trees import add_tree

SIGHT_M = 240.0
"""How far from the drive the town is built; haze and house fronts hide the rest."""

_NEAR_M = 90.0
_LAMP_SPACING_M = 27.0
_SLOT_M = 6.2


class City:
    """A town that depends on its seed alone; `scene` dresses it for a condition."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.plan = StreetPlan(seed)
        count = int(self.plan.length / _LAMP_SPACING_M)
        self._lamps = (np.arange(count) + 0.5) * self.plan.length / count
        self._lamp_sides = np.where(np.arange(count) % 2, 1, -1)
        streets = [p for p in self.plan.plots if p.kind == "street"]
        self._crossings = np.array([p.distance + 8 for p in streets[::2]])
        self._back_houses = self._place_back_houses()

    def scene(self, condition: Condition, start: float, length: float, drive: str = "") -> Scene:
        """What is seen from the loop between two distances along it, textured and lit.

        Args:
            start, length: part of the loop in metres that is driven.
            drive: names the drive; parked cars, curtains and clouds depend on it.
        """
        drive = drive or condition.name
        path = self.plan.at(np.arange(start - 10, start + length + 10, 5.0))
        bank = TextureBank()
        stock = Stock(bank, self.seed)
        mesh, white = MeshBuilder(), MeshBuilder()
        cars = self._parked_cars(condition)
        seen = _within(self.plan.at(cars[:, 0]), path, SIGHT_M)
        self._ground(mesh, stock, path, RoadUse(self._crossings, cars[:, :2]), condition)
        for plot in self.plan.plots + self._side_street_plots():
            away = _distance(plot.origin + plot.width / 2 * plot.along, path)
            if away < SIGHT_M:
                self._plot(mesh, white, stock, plot, away, condition, drive)
        for plot in self._back_houses:
            away = _distance(plot.origin, path)
            if away < SIGHT_M:
                self._house(white, stock, plot, 0.09, condition, drive)
        self._landmarks(white, stock, path)
        for distance, lateral, slot, key in cars[seen]:
            self._car(mesh, stock, distance, lateral, int(slot), int(key), condition)
        self._along_kerbs(mesh, stock, path, condition)
        solid = [mesh.mesh(), _snowed(white.mesh(), stock) if condition.has_snow else white.mesh()]
        names = ("corners", "uv", "texture", "tint", "normal")
        joined = Mesh(*(np.concatenate([getattr(part, name) for part in solid]) for name in names))
        return Scene(joined, bank, condition, self._lamp_positions(), self.seed)

    def _plot(
        self, mesh: MeshBuilder, white: MeshBuilder, stock: Stock, plot: Plot, away: float, condition: Condition, drive: str
    ) -> None:
        if plot.kind == "building":
            self._house(white, stock, plot, 0.03 if away < _NEAR_M else 0.07, condition, drive)
            return
        rng = stream(self.seed, "plot", plot.index)
        deep = {"street": 75.0, "square": 26.0, "yard": 14.0}[plot.kind]
        with mesh.frame(np.append(plot.origin, 0.0), plot.along):
            kind = {"street": "asphalt", "square": str(rng.choice(["grass", "cobbles"])), "yard": "grass"}[plot.kind]
            self._patch(mesh, stock, kind, (0.4, -plot_front(plot)), (plot.width - 0.4, deep), condition)
            if plot.kind == "street":
                return
            trees = int(rng.integers(1, 3)) if plot.kind == "yard" else int(rng.integers(3, 8))
            for number in range(trees):
                place = rng.uniform((2, 3), (max(plot.width - 2, 2.1), deep - 2))
                with mesh.frame((*place, KERB_M), (1, 0)):
                    tree = stream(self.seed, "garden tree", plot.index, number)
                    add_tree(mesh, stock, tree, condition.foliage, 1400 if away < _NEAR_M else 350)
        with white.frame(np.append(plot.origin, 0.0), plot.along):
            self._fence(white, stock, rng, plot)

    def _fence(self, mesh: MeshBuilder, stock: Stock, rng: np.random.Generator, plot: Plot) -> None:
        """A wall in front of a yard; a monument on a square."""
        if plot.kind == "yard":
            height, kind = rng.uniform(1.0, 2.4), str(rng.choice(["brick", "ashlar", "boards"]))
            colour = tint_of(rng.uniform((110, 80, 60), (200, 170, 140)))
            gate = rng.uniform(0.3, 0.6) * plot.width
            mesh.boxes([(0, 0, 0), (gate + 1.2, 0, 0)], [(gate, 0.25, height), (plot.width, 0.25, height)], stock[kind], colour)
            mesh.boxes([(gate - 0.35, -0.05, 0), (gate + 1.2, -0.05, 0)], [(gate, 0.35, height + 0.4), (gate + 1.55, 0.35, height + 0.4)], stock["ashlar"], colour)
            return
        middle = plot.width / 2
        stone = tint_of(rng.uniform((130, 124, 112), (196, 188, 170)))
        mesh.boxes([(middle - 1.4, 6.6, 0), (middle - 0.8, 7.2, 0)], [(middle + 1.4, 9.4, 0.6), (middle + 0.8, 8.8, 2.4)], stock["ashlar"], stone)
        bronze = tint_of(((70, 110, 96), (96, 80, 60))[int(rng.integers(2))])
        if rng.random() < 0.5:
            mesh.cylinder((middle, 8, 2.4), (middle, 8, rng.uniform(7, 11)), (0.5, 0.2), stock["ashlar"], stone, cap=True)
        else:
            mesh.cylinder((middle, 8, 2.4), (middle, 8, 4.0), (0.42, 0.3), stock["plain"], bronze)
            mesh.cylinder((middle, 8, 4.0), (middle, 8, 4.5), (0.2, 0.16), stock["plain"], bronze, cap=True)
            mesh.cylinder((middle, 8, 3.7), (middle + 0.9, 8, 4.3), (0.12, 0.08), stock["plain"], bronze)

    def _house(self, mesh: MeshBuilder, stock: Stock, plot: Plot, texel_m: float, condition: Condition, drive: str) -> None:
        house = design_house(self.seed, plot)
        finish = finish_house(self.seed, house, condition.epoch, drive)
        add_house(mesh, stock, house, finish, drive, texel_m, condition.is_night, condition.has_snow)

    def _patch(
        self, mesh: MeshBuilder, stock: Stock, kind: str, low: tuple[float, float], high: tuple[float, float], condition: Condition
    ) -> None:
        (x0, y0), (x1, y1), z = low, high, KERB_M + 0.035
        colour = {"asphalt": (92, 92, 94), "grass": (92, 118, 62), "cobbles": (146, 140, 130), "slabs": (150, 147, 140)}[kind]
        covered = condition.has_snow
        texture, tint = (stock["snow"], (0.92, 0.94, 0.97)) if covered else (stock[kind], tint_of(colour))
        mesh.polygon([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], texture, tint)

    def _ground(self, mesh: MeshBuilder, stock: Stock, path: NDArray, use: RoadUse, condition: Condition) -> None:
        pieces = np.arange(piece_count(self.plan))
        middles = self.plan.at((pieces + 0.5) * self.plan.length / len(pieces))
        pieces = pieces[_within(middles, path, SIGHT_M)]
        add_ground(mesh, stock, self.plan, pieces, _within(middles[pieces], path, 40.0), use, condition)
        low, high = path.min(0) - SIGHT_M - 60, path.max(0) + SIGHT_M + 60
        # Below the road in the loop's strip, so that only yards and gaps between houses show it.
        corners = np.array([(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])])
        texture, tint = (stock["snow"], (0.92, 0.94, 0.97)) if condition.has_snow else (stock["slabs"], tint_of((140, 136, 128)))
        mesh.polygon(np.column_stack([corners, np.full(4, -0.02)]), texture, tint)

    def _side_street_plots(self) -> list[Plot]:
        """Houses on both sides of each side street."""
        plots = []
        for street in (p for p in self.plan.plots if p.kind == "street"):
            rng = stream(self.seed, "side street", street.index)
            for side in (0, 1):
                deep = 13.5
                for number in range(4):
                    width = float(rng.uniform(9, 13))
                    if side == 0:
                        origin, along = street.origin + deep * street.inward, street.inward
                    else:
                        origin = street.origin + street.width * street.along + (deep + width) * street.inward
                        along = -street.inward
                    index = 100_000 + street.index * 10 + side * 4 + number
                    plots.append(Plot(index, "building", origin, along, width, street.distance, street.edge, street.district, number == 0, number == 0))
                    deep += width
            closing = street.origin + (deep + 6) * street.inward - 4 * street.along
            plots.append(Plot(100_009 + street.index * 10, "building", closing, street.along, street.width + 8, street.distance, street.edge, street.district, True, True))
        fits = self.plan.nearest(np.array([p.origin + p.width / 2 * p.along + 11 * p.inward for p in plots]))[1] > 20
        return [p for p, fit in zip(plots, fits, strict=True) if fit]

    def _place_back_houses(self) -> list[Plot]:
        """A second row behind the fronts, seen over low roofs and through gaps."""
        plots, step = [], 27.0
        for number, s in enumerate(np.arange(0, self.plan.length, step)):
            for side in (-1, 1):
                rng = stream(self.seed, "back", number, side + 1)
                away = rng.uniform(36, 58)
                heading = self.plan.heading(s)
                inward = side * np.array([-np.sin(heading), np.cos(heading)])
                along = np.array([inward[1], -inward[0]])
                width = float(rng.uniform(14, 22))
                origin = self.plan.at(s) + away * inward - width / 2 * along
                district = str(rng.choice(["modern", "modern", "brick", "market"]))
                plots.append(Plot(200_000 + number * 2 + (side > 0), "building", origin, along, width, float(s), 0, district, True, True))
        streets = [p for p in self.plan.plots if p.kind == "street"]
        middles = np.array([p.origin + p.width / 2 * p.along + 6 * p.inward for p in plots])
        fits = self.plan.nearest(middles)[1] > 34
        for street in streets:
            to = middles - street.origin - street.width / 2 * street.along
            fits &= ~((np.abs(to @ street.along) < 28) & (to @ street.inward < 80) & (to @ street.inward > 0))
        return [p for p, fit in zip(plots, fits, strict=True) if fit]

    def _landmarks(self, mesh: MeshBuilder, stock: Stock, path: NDArray) -> None:
        count = int(self.plan.length / 110)
        for number in range(count):
            rng = stream(self.seed, "landmark", number)
            place = self.plan.at(number * self.plan.length / count, float(rng.choice([-1, 1]) * rng.uniform(62, 95)))
            if _distance(place, path) < SIGHT_M + 60 and self.plan.nearest(place[None])[1][0] > 50:
                angle = rng.uniform(0, 2 * np.pi)
                with mesh.frame(place, (np.cos(angle), np.sin(angle))):
                    add_landmark(mesh, stock, rng)

    def _parked_cars(self, condition: Condition) -> NDArray[np.float64]:
        """Cars as rows of distance, lateral, slot and what seeds their looks; right-hand traffic."""
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

    def _car(self, mesh: MeshBuilder, stock: Stock, distance: float, lateral: float, slot: int, key: int, condition: Condition) -> None:
        rng = stream(self.seed, "car", slot, key)
        heading = float(self.plan.heading(distance)) + (np.pi if lateral > 0 else 0) + rng.normal(0, 0.025)
        with mesh.frame(self.plan.at(distance, lateral), (np.cos(heading), np.sin(heading))):
            add_car(mesh, stock, rng, condition.has_snow)

    def _lamp_positions(self) -> NDArray[np.float64]:
        lateral = self._lamp_sides * (self.plan.half_road(self._lamps) + 0.45 - LAMP_REACH_M - 0.3)
        return np.column_stack([self.plan.at(self._lamps, lateral), np.full(len(self._lamps), LAMP_HEIGHT_M + 0.1)])

    def _along_kerbs(self, mesh: MeshBuilder, stock: Stock, path: NDArray, condition: Condition) -> None:
        for number, (s, side) in enumerate(zip(self._lamps, self._lamp_sides, strict=True)):
            if _distance(self.plan.at(s), path) < SIGHT_M:
                with mesh.frame(*self._beside(s, side, 0.45)):
                    add_lamp(mesh, stock, stream(self.seed, "lamp", number), condition.is_night)
        weights = np.array([weight for _, weight in FURNITURE])
        for side in (-1, 1):
            for number, s in enumerate(np.arange(4.0, self.plan.length - 4, 6.5)):
                rng = stream(self.seed, "kerb", number, side + 1)
                s = s + rng.uniform(-2, 2)
                away = _distance(self.plan.at(s), path)
                if away > SIGHT_M or np.abs(self._lamps - s).min() < 1.5:
                    continue
                edge = self.plan.edge_at(s)
                wooded = stream(self.seed, "avenue", round(edge.length * 1000)).random()
                if edge.pavement > 2.4 and rng.random() < (0.55 if wooded < 0.4 else 0.1):
                    with mesh.frame(*self._beside(s, side, 0.8)):
                        add_tree(mesh, stock, rng, condition.foliage, 2200 if away < 45 else 900 if away < _NEAR_M else 350)
                elif rng.random() < 0.5:
                    with mesh.frame(*self._beside(s, side, 0.75)):
                        FURNITURE[int(rng.choice(len(FURNITURE), p=weights))][0](mesh, stock, rng)

    def _beside(self, s: float, side: int, from_kerb: float) -> tuple[NDArray, NDArray]:
        """A frame on the pavement whose -y axis points at the road."""
        heading = float(self.plan.heading(s))
        along = side * np.array([np.cos(heading), np.sin(heading)])
        xy = self.plan.at(s, side * (self.plan.half_road(s) + from_kerb))
        return np.append(xy, KERB_M), along


def plot_front(plot: Plot) -> float:
    """How far a plot's ground reaches over the pavement towards the road: a side street's mouth crosses it."""
    return 2.0 if plot.kind == "street" else 0.0


def _snowed(mesh: Mesh, stock: Stock) -> Mesh:
    """The mesh with snow on all that faces the sky."""
    up = np.abs(mesh.normal[:, 2]) > 0.42
    texture, tint = mesh.texture.copy(), mesh.tint.copy()
    texture[up], tint[up] = stock["snow"], 1.0
    return Mesh(mesh.corners, mesh.uv, texture, tint, mesh.normal)


def _distance(point: NDArray, path: NDArray) -> float:
    return float(np.linalg.norm(path - point, axis=1).min())


def _within(points: NDArray, path: NDArray, reach: float) -> NDArray[np.bool_]:
    return np.array([_distance(point, path) < reach for point in points], bool)
