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

"""Plan of the town: a closed street and the plots along both sides of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from scene_geo_loc.simulation.randomness import stream

STEP_M = 0.5
"""Distance between the samples of the centre line in metres."""

_EDGE_M = 200.0
"""Mean distance of the corners of a long loop in metres."""

_X, _Y, _HALF_ROAD, _PAVEMENT = range(4)
"""Columns of the samples of the centre line."""

DISTRICTS = ("old town", "brick", "villas", "modern", "market")


@dataclass(frozen=True)
class Edge:
    """A straight part of the loop: its line, and the widths and style of its street."""

    start: NDArray[np.float64]
    direction: NDArray[np.float64]
    length: float
    half_road: float
    pavement: float
    district: str

    @property
    def left(self) -> NDArray[np.float64]:
        """Unit normal to the left."""
        return np.array([-self.direction[1], self.direction[0]])

    @property
    def frontage(self) -> float:
        """Distance of the fronts from the centre line in metres."""
        return self.half_road + self.pavement


@dataclass(frozen=True)
class Plot:
    """A piece of frontage and its use.

    Attributes:
        index: running number; seeds the building.
        kind: "building", "street" (a side street's mouth), "square" or "yard".
        origin: (2,) its left end, seen from the street.
        along: (2,) unit vector to the right, seen from the street.
        width: metres of frontage.
        distance: of the plot's middle along the loop, in metres.
        district: style of the houses around.
        open_left, open_right: the side wall on that end is visible from the street.
    """

    index: int
    kind: str
    origin: NDArray[np.float64]
    along: NDArray[np.float64]
    width: float
    distance: float
    district: str
    open_left: bool
    open_right: bool

    @property
    def inward(self) -> NDArray[np.float64]:
        """Unit vector away from the street."""
        return np.array([-self.along[1], self.along[0]])


class StreetPlan:
    """A closed street with plots on both sides, the same for the same seed and length.

    Args:
        loop_m: length from corner to corner around the loop in metres, at least 3000; None for a small
            town of 2 to 2.6 km.

    Attributes:
        length: of the centre line in metres, a little less than from corner to corner.
        edges: the straight parts.
        plots: everything along both sides.
    """

    def __init__(self, seed: int, loop_m: float | None = None) -> None:
        self.seed = seed
        vertices = _polygon(seed) if loop_m is None else _long_polygon(seed, loop_m)
        self.edges = _edges(seed, vertices)
        self._turns = [_angle(a.direction, b.direction) for a, b in self._corners()]
        centre, edge_of = self._centre_line()
        steps = np.linalg.norm(np.diff(centre, axis=0, append=centre[:1]), axis=1)
        along = np.concatenate([[0.0], np.cumsum(steps)])
        self.length = float(along[-1])
        count = int(self.length / STEP_M)
        self._s = np.arange(count) * (self.length / count)
        closed = np.vstack([centre, centre[:1]])
        self._xy = np.stack([np.interp(self._s, along, closed[:, a]) for a in range(2)], 1)
        # Widths change over 12 m where one edge meets the next.
        around = (np.arange(count)[:, None] + np.arange(-12, 13)) % count
        owner = edge_of[np.minimum(np.searchsorted(along, self._s), len(edge_of) - 1)]
        self._half_road = np.array([e.half_road for e in self.edges])[owner][around].mean(1)
        self._pavement = np.array([e.pavement for e in self.edges])[owner][around].mean(1)
        self._tree = cKDTree(self._xy)
        # np.interp has a period, but then sorts everything at each call.
        wrapped = np.arange(-1, count + 1) % count
        self._wrapped_s = self._s[wrapped] + self.length * np.array([-1.0] + [0.0] * count + [1.0])
        self._wrapped = np.column_stack([self._xy, self._half_road, self._pavement])[wrapped].T.copy()
        self.plots = self._place_plots()

    def _corners(self) -> list[tuple[Edge, Edge]]:
        return list(zip(self.edges, self.edges[1:] + self.edges[:1], strict=True))

    def _centre_line(self) -> tuple[NDArray, NDArray]:
        """Returns the polygon with rounded corners, finely sampled, and the edge of each sample."""
        points, owner = [], []
        cuts = []
        for number, (turn, (a, b)) in enumerate(zip(self._turns, self._corners(), strict=True)):
            radius = stream(self.seed, "corner", number).uniform(13, 19)
            cuts.append((min(radius * np.tan(abs(turn) / 2), 0.45 * min(a.length, b.length)), turn))
        for number, edge in enumerate(self.edges):
            before, (after, turn) = cuts[number - 1][0], cuts[number]
            straight = np.arange(before, edge.length - after, 0.2)
            points.append(edge.start + straight[:, None] * edge.direction)
            owner += [number] * len(straight)
            radius = after / np.tan(abs(turn) / 2)
            begin = edge.start + (edge.length - after) * edge.direction
            centre = begin + np.sign(turn) * radius * edge.left
            swept = np.arange(0, abs(turn), 0.2 / radius)
            spoke = begin - centre
            c, s = np.cos(np.sign(turn) * swept), np.sin(np.sign(turn) * swept)
            points.append(centre + np.stack([c * spoke[0] - s * spoke[1], s * spoke[0] + c * spoke[1]], 1))
            following = (number + 1) % len(self.edges)
            owner += [number if angle < abs(turn) / 2 else following for angle in swept]
        return np.concatenate(points), np.array(owner)

    def at(self, distance: ArrayLike, lateral: ArrayLike = 0.0) -> NDArray[np.float64]:
        """Returns points (..., 2) at distances along the loop (of any lap), `lateral` metres to its left."""
        xy = np.stack([self._interpolate(_X, distance), self._interpolate(_Y, distance)], -1)
        heading = self.heading(distance)
        normal = np.stack([-np.sin(heading), np.cos(heading)], -1)
        return xy + np.asarray(lateral)[..., None] * normal

    def heading(self, distance: ArrayLike) -> NDArray[np.float64]:
        """Returns the direction of the centre line in radians, counter-clockwise from x."""
        s = np.asarray(distance, float)
        d = [self._interpolate(axis, s + 0.5) - self._interpolate(axis, s - 0.5) for axis in (_X, _Y)]
        return np.arctan2(d[1], d[0])

    def half_road(self, distance: ArrayLike) -> NDArray[np.float64]:
        """Returns half the width of the carriageway in metres."""
        return self._interpolate(_HALF_ROAD, distance)

    def pavement(self, distance: ArrayLike) -> NDArray[np.float64]:
        """Returns the width of a pavement in metres."""
        return self._interpolate(_PAVEMENT, distance)

    def _interpolate(self, what: int, distance: ArrayLike) -> NDArray[np.float64]:
        s = np.mod(np.asarray(distance, float), self.length)
        return np.interp(s, self._wrapped_s, self._wrapped[what])

    def nearest(self, points: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns, for points (N, 2), the distance along the loop and from the centre line, in metres."""
        away, index = self._tree.query(points)
        return self._s[index], away

    def edge_at(self, distance: float) -> Edge:
        """Returns the edge at a distance along the loop in metres."""
        point = self.at(distance)
        offsets = [
            np.linalg.norm(
                point - e.start - np.clip((point - e.start) @ e.direction, 0, e.length) * e.direction
            )
            for e in self.edges
        ]
        return self.edges[int(np.argmin(offsets))]

    def _place_plots(self) -> list[Plot]:
        plots: list[Plot] = []
        count = len(self.edges)
        for number, edge in enumerate(self.edges):
            for side in (1, -1):
                _, low = _corner_shift(self.edges[number - 1], edge, self._turns[number - 1], side)
                beyond, _ = _corner_shift(edge, self.edges[(number + 1) % count], self._turns[number], side)
                high = edge.length + beyond
                rng = stream(self.seed, "plots", number, side + 1)
                cuts = _subdivide(rng, high - low, edge.district)
                for place, (kind, a, b) in enumerate(cuts):
                    inward = side * edge.left
                    along = np.array([inward[1], -inward[0]])
                    ends = [edge.start + (low + t) * edge.direction + edge.frontage * inward for t in (a, b)]
                    neighbours = [
                        cuts[p][0] if 0 <= p < len(cuts) else "corner" for p in (place - 1, place + 1)
                    ]
                    is_open = [kind_of != "building" for kind_of in neighbours]
                    if side < 0:
                        ends, is_open = ends[::-1], is_open[::-1]
                    middle = self.nearest(np.mean(ends, axis=0)[None])[0][0]
                    index = len(plots)
                    plots.append(
                        Plot(index, kind, ends[0], along, b - a, float(middle), edge.district, *is_open)
                    )
        return plots


def _angle(a: NDArray, b: NDArray) -> float:
    """Returns the turn from direction a to direction b in radians, left positive."""
    return float(np.arctan2(a[0] * b[1] - a[1] * b[0], a @ b))


def _polygon(seed: int) -> NDArray[np.float64]:
    """Returns the corners of an irregular ring whose turns are neither too slight nor too sharp."""
    for attempt in range(10_000):
        rng = stream(seed, "polygon", attempt)
        count = int(rng.integers(11, 14))
        angle = 2 * np.pi * (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count
        radius = 330 * (1 + rng.uniform(-0.3, 0.3, count))
        vertices = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
        sides = np.roll(vertices, -1, axis=0) - vertices
        lengths = np.linalg.norm(sides, axis=1)
        turns = np.abs([_angle(a, b) for a, b in zip(sides, np.roll(sides, -1, axis=0), strict=True)])
        is_gentle = np.radians(14) < turns.min() and turns.max() < np.radians(78)
        if is_gentle and lengths.min() > 90 and 2080 < lengths.sum() < 2600:
            return vertices
    raise AssertionError("no ring found")


def _long_polygon(seed: int, loop_m: float) -> NDArray[np.float64]:
    """Returns the corners of a ring of a given length, with streets and turns like the small town's.

    Only the corners that do not fit are drawn again, since this many never all fit at once by chance.
    """
    rng = stream(seed, "long polygon")
    count = round(loop_m / _EDGE_M)
    middle = loop_m / (2 * np.pi)

    def draw(corners: NDArray[np.int64]) -> None:
        angle[corners] = 2 * np.pi * (corners + rng.uniform(-0.3, 0.3, len(corners))) / count
        radius[corners] = middle + rng.uniform(-100, 100, len(corners))

    angle, radius = np.empty(count), np.empty(count)
    draw(np.arange(count))
    for _ in range(100_000):
        vertices = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
        sides = np.roll(vertices, -1, axis=0) - vertices
        lengths = np.linalg.norm(sides, axis=1)
        vertices *= loop_m / lengths.sum()
        before = np.roll(sides, 1, axis=0)
        turns = np.abs([_angle(a, b) for a, b in zip(before, sides, strict=True)])
        bad = (turns < np.radians(14)) | (turns > np.radians(78)) | (lengths * loop_m / lengths.sum() < 90)
        if not bad.any():
            return vertices
        draw(rng.choice(np.flatnonzero(bad), 1))
    raise AssertionError("no ring found")


def _edges(seed: int, vertices: NDArray) -> list[Edge]:
    rng = stream(seed, "edges")
    edges = []
    districts = list(rng.permutation(DISTRICTS))
    for number, (a, b) in enumerate(zip(vertices, np.roll(vertices, -1, axis=0), strict=True)):
        length = float(np.linalg.norm(b - a))
        half_road, pavement = float(rng.uniform(4.3, 5.4)), float(rng.uniform(2.0, 3.6))
        edges.append(
            Edge(a, (b - a) / length, length, half_road, pavement, districts[number % len(districts)])
        )
    return edges


def _corner_shift(a: Edge, b: Edge, turn: float, side: int) -> tuple[float, float]:
    """Returns where the frontage lines of two edges meet, along each edge from their common corner."""
    fa, fb = side * a.frontage, side * b.frontage
    shift_a = (fa * np.cos(turn) - fb) / np.sin(turn)
    shift_b = shift_a * np.cos(turn) + fa * np.sin(turn)
    return float(shift_a), float(shift_b)


def _subdivide(rng: np.random.Generator, length: float, district: str) -> list[tuple[str, float, float]]:
    """Returns the plots of a frontage as (kind, start, end)."""
    cuts: list[tuple[str, float, float]] = []
    at, since_gap = 0.0, 0.0
    widths = {
        "old town": (6.0, 10.5),
        "brick": (7, 13),
        "villas": (10, 15),
        "modern": (14, 24),
        "market": (7, 15),
    }
    low, high = widths[district]
    gap = rng.uniform(28, 55)
    while length - at > 1e-6:
        rest = length - at
        kind, width = "building", rng.uniform(low, high)
        if since_gap > gap and rest > 45:
            kind = str(rng.choice(["street", "square", "yard"], p=[0.45, 0.25, 0.3]))
            width = {"street": rng.uniform(8, 10), "square": rng.uniform(16, 26), "yard": rng.uniform(5, 10)}[
                kind
            ]
            since_gap, gap = 0.0, rng.uniform(30, 65)
        elif rng.random() < 0.06:
            width = rng.uniform(18, 28)
        if rest - width < 6:
            kind, width = "building", rest
            if rest > 1.7 * high:
                width = rest / 2
        cuts.append((kind, at, at + width))
        at += width
        since_gap += width if kind == "building" else 0.0
    return cuts
