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

"""Correlative scan matching of a map's walls with an occupancy grid (Olson, ICRA 2009).

All headings and places are searched on a coarse grid by correlation, and the best are refined on distances to
occupied cells.  Where two places fit alike, or nothing fits, the answer says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import map_coordinates
from scipy.optimize import least_squares

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.mapping.alignment.occupancy_grid import OccupancyGrid

COLUMN_M = 0.25
"""Side of the columns in which points are taken for a wall where they are spread over `WALL_HEIGHT_M`."""
WALL_HEIGHT_M = 0.5
MOST_POINTS = 1500
MOST_CELLS = 384
"""Cells of the coarse grid along the longer side of the grid and of the map."""
COARSE_M = 0.2
"""Least side of a coarse cell."""
REFINED = 16
"""Places of the coarse search that are refined."""
SAME_M, SAME_DEG = 0.75, 5.0
"""Refined poses nearer than this are the same."""
MIN_OVERLAP = 0.6
MIN_INSIDE = 0.4
MIN_FREE = 0.9
MAX_RIVAL = 0.85
MIN_POINTS = 50


@dataclass(frozen=True)
class Alignment:
    """Pose of a map in an occupancy grid, and how well it fits.

    Attributes:
        x, y: position of the map's origin in the grid's frame, metres.
        yaw: heading of the map's x axis in the grid's frame, radians.
        overlap: share of the wall points inside the grid's known area that lie near an occupied cell.
        residual_m: median distance of those to the nearest occupied cell.
        inside: share of the wall points that lie inside the grid's known area.
        free: share of the keyframes inside the known area that stand on free cells.
        rival: score of the best other place, relative to this one's.
        points: number of wall points.
    """

    x: float
    y: float
    yaw: float
    overlap: float
    residual_m: float
    inside: float
    free: float
    rival: float
    points: int

    @property
    def T_grid_map(self) -> Pose:
        """(4, 4); heights stay."""
        T = np.eye(4)
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        T[:2] = [[c, -s, 0, self.x], [s, c, 0, self.y]]
        return T

    @property
    def doubts(self) -> list[str]:
        """Reasons why the pose is not to be trusted; none where it is."""
        limits = (
            (self.points < MIN_POINTS, f"wall points {self.points} < {MIN_POINTS}"),
            (self.inside < MIN_INSIDE, f"wall points inside the grid {self.inside:.0%} < {MIN_INSIDE:.0%}"),
            (
                self.overlap < MIN_OVERLAP,
                f"wall points on occupied cells {self.overlap:.0%} < {MIN_OVERLAP:.0%}",
            ),
            (self.free < MIN_FREE, f"keyframes on free cells {self.free:.0%} < {MIN_FREE:.0%}"),
            (self.rival > MAX_RIVAL, f"another place fits {self.rival:.0%} as well > {MAX_RIVAL:.0%}"),
        )
        return [reason for is_exceeded, reason in limits if is_exceeded]

    def check(self) -> None:
        """Raises MapError where the pose is not to be trusted."""
        if self.doubts:
            raise MapError(f"This is too uncertain: {'; '.join(self.doubts)}.")

    def __str__(self) -> str:
        return (
            f"It lies at x {self.x:.3f} y {self.y:.3f} m, yaw {math.degrees(self.yaw):.2f}° in the grid;\n"
            f"{self.overlap:.0%} of {self.points} wall points are on occupied cells, {self.residual_m:.3f} m "
            f"off (median);\n{self.free:.0%} of the keyframes are on free cells; the best other place fits "
            f"{self.rival:.0%} as well"
        )


def wall_points(
    points: NDArray[np.float64], height: tuple[float, float] | None = None
) -> NDArray[np.float64]:
    """Returns the horizontal places (M, 2) of points (N, 3) that a lidar's plane would meet.

    Args:
        height: lowest and highest z of the points that are taken; None: those of columns in which points are
            spread over `WALL_HEIGHT_M`, which floors and ceilings are not.
    """
    points = points[np.isfinite(points).all(axis=1)]
    if height is not None:
        return points[(points[:, 2] >= height[0]) & (points[:, 2] <= height[1]), :2]
    if not len(points):
        return points[:, :2]
    columns = np.floor(points[:, :2] / COLUMN_M).astype(np.int64)
    order = np.lexsort((points[:, 2], columns[:, 1], columns[:, 0]))
    points, columns = points[order], columns[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(columns, axis=0) != 0).any(axis=1)])
    ends = np.r_[starts[1:], len(points)]
    counts = ends - starts
    # Of four points or more, the lowest and the highest may be wrong.
    inner = (counts >= 4).astype(int)
    spread = points[ends - 1 - inner, 2] - points[starts + inner, 2]
    is_wall = (spread >= WALL_HEIGHT_M) & (counts >= 3)
    return points[np.repeat(is_wall, counts), :2]


def align(
    walls: NDArray[np.float64], keyframes: NDArray[np.float64], grid: OccupancyGrid
) -> Alignment | None:
    """Returns where a map lies in a grid; None where it has no walls.

    Args:
        walls: (N, 2) horizontal places of the map's walls, metres.
        keyframes: (K, 2) horizontal positions of the keyframes.
    """
    walls = _without_far(_thinned(walls, grid.resolution))
    if not len(walls):
        return None
    field = _DistanceField(grid)
    found = sorted(
        (field.refined(walls, start) for start in _starts(walls, field)),
        key=lambda pose: field.score(walls, pose),
        reverse=True,
    )
    best = found[0]
    centre = walls.mean(axis=0)
    rivals = [pose for pose in found[1:] if not _are_same(pose, best, centre)]
    score = field.score(walls, best)
    rival = field.score(walls, rivals[0]) / max(score, 1e-9) if rivals else 0.0
    placed = _moved(walls, best)
    inside = field.at(grid.known.astype(np.float32), placed) > 0.5
    distances = field.distances(placed)
    inside |= distances <= field.near_m
    near = inside & (distances <= field.near_m)
    stands = _moved(keyframes, best)
    stands_known = field.at(grid.known.astype(np.float32), stands) > 0.5
    stands_free = field.at(grid.free.astype(np.float32), stands) > 0.5
    x, y, yaw = grid.origin
    c, s = math.cos(yaw), math.sin(yaw)
    heading = best[2] + yaw
    return Alignment(
        x=x + c * best[0] - s * best[1],
        y=y + s * best[0] + c * best[1],
        yaw=math.atan2(math.sin(heading), math.cos(heading)),
        overlap=float(near.sum() / max(inside.sum(), 1)),
        residual_m=float(np.median(distances[near])) if near.any() else math.inf,
        inside=float(inside.mean()),
        free=float((stands_free & stands_known).sum() / max(stands_known.sum(), 1)),
        rival=rival,
        points=len(walls),
    )


class _DistanceField:
    """Distances to the nearest occupied cell, in the frame of the grid's corner."""

    def __init__(self, grid: OccupancyGrid) -> None:
        self.grid = grid
        free_of_walls = (~grid.occupied).astype(np.uint8)
        pixels = cv2.distanceTransform(free_of_walls, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        self.metres = pixels.astype(np.float32) * np.float32(grid.resolution)
        self.sigma_m = max(2.0 * grid.resolution, 0.1)
        self.near_m = 2.0 * self.sigma_m

    def coarse(self, reach_m: float) -> tuple[NDArray[np.float32], float]:
        """Returns the likelihood of a wall in coarse cells, and their side in metres.

        Args:
            reach_m: radius of the map.
        """
        extent_m = max(max(self.metres.shape) * self.grid.resolution, 2.0 * reach_m)
        factor = max(1, math.ceil(max(extent_m / MOST_CELLS, COARSE_M) / self.grid.resolution - 1e-6))
        side = factor * self.grid.resolution
        rows, columns = (-size % factor for size in self.metres.shape)
        padded = np.pad(self.metres, ((0, rows), (0, columns)), constant_values=np.inf)
        blocks = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor)
        nearest = blocks.min(axis=(1, 3))
        return np.exp(-0.5 * (nearest / max(side, self.sigma_m)) ** 2), side

    def at(self, values: NDArray[np.float32], places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the values of cells interpolated at places (N, 2) in metres; 0 outside of the grid."""
        cells = places.T[::-1] / self.grid.resolution - 0.5
        return map_coordinates(values, cells, order=1, mode="constant", cval=0.0)

    def distances(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the distances of places (N, 2) to the nearest occupied cell; far outside of the grid."""
        cells = places.T[::-1] / self.grid.resolution - 0.5
        return map_coordinates(self.metres, cells, order=1, mode="constant", cval=10.0 * self.near_m)

    def score(self, walls: NDArray[np.float64], pose: NDArray[np.float64]) -> float:
        """Returns the mean likelihood of walls at a pose x, y, yaw, from 0 to 1."""
        return float(np.exp(-0.5 * (self.distances(_moved(walls, pose)) / self.sigma_m) ** 2).mean())

    def refined(self, walls: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the pose near `start` with the least robust distances to occupied cells."""
        centre = walls.mean(axis=0)

        def residuals(change: NDArray[np.float64]) -> NDArray[np.float64]:
            return self.distances(_moved(walls, _changed(start, change, centre))) / self.sigma_m

        fitted = least_squares(
            residuals, np.zeros(3), loss="cauchy", diff_step=1e-3, x_scale=(0.1, 0.1, 0.01)
        )
        return _changed(start, fitted.x, centre)


def _starts(walls: NDArray[np.float64], field: _DistanceField) -> list[NDArray[np.float64]]:
    """Returns the best poses of the coarse search, the best first."""
    found = sorted(_correlated(walls, field), key=lambda item: -item[0])
    centre, chosen = walls.mean(axis=0), list[NDArray[np.float64]]()
    for _, pose in found:
        if not any(_are_same(pose, other, centre) for other in chosen):
            chosen.append(pose)
        if len(chosen) == REFINED:
            break
    return chosen


def _correlated(
    walls: NDArray[np.float64], field: _DistanceField
) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """Yields score and pose of the best places at every heading."""
    centre = walls.mean(axis=0)
    distances = np.linalg.norm(walls - centre, axis=1)
    radius = float(np.percentile(distances, 95))
    likelihood, side = field.coarse(float(distances.max()))
    step = float(np.clip(1.5 * side / max(radius, side), math.radians(0.5), math.radians(4.0)))
    reach = math.ceil(distances.max() / side) + 1
    shape = [fft.next_fast_len(size + 2 * reach + 1, real=True) for size in likelihood.shape]
    spectrum = fft.rfft2(likelihood, shape)
    for k in range(math.ceil(2 * math.pi / step)):
        yaw = k * 2 * math.pi / math.ceil(2 * math.pi / step)
        turned = (walls - centre) @ _rotation(yaw).T
        cells = np.unique(np.floor(turned / side).astype(int) + reach, axis=0)
        stamp = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
        stamp[cells[:, 1], cells[:, 0]] = 1.0 / len(cells)
        scores = fft.irfft2(spectrum * np.conj(fft.rfft2(stamp, shape)), shape)
        # A shift of -n cells is at the end of the axis.
        for _ in range(3):
            row, column = np.unravel_index(int(scores.argmax()), scores.shape)
            shift = [
                index - size if index > size - reach * 2 - 2 else index
                for index, size in zip((column, row), shape[::-1], strict=True)
            ]
            place = (np.array(shift) + reach) * side
            yield float(scores[row, column]), np.r_[place - _rotation(yaw) @ centre, yaw]
            low_row, low_column = max(0, row - 4), max(0, column - 4)
            scores[low_row : row + 5, low_column : column + 5] = -1.0


def _thinned(points: NDArray[np.float64], side: float) -> NDArray[np.float64]:
    """Returns one point of each cell, at most `MOST_POINTS`, the same ones every time."""
    _, first = np.unique(np.floor(points / side).astype(np.int64), axis=0, return_index=True)
    kept = points[np.sort(first)]
    if len(kept) > MOST_POINTS:
        kept = kept[np.random.default_rng(0).choice(len(kept), MOST_POINTS, replace=False)]
    return kept


def _without_far(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the points without the farthest percent: wrong ones would make the search wide and coarse."""
    if not len(points):
        return points
    distances = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    return points[distances <= np.percentile(distances, 99)]


def _moved(points: NDArray[np.float64], pose: NDArray[np.float64]) -> NDArray[np.float64]:
    return points @ _rotation(pose[2]).T + pose[:2]


def _changed(
    pose: NDArray[np.float64], change: NDArray[np.float64], centre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns a pose that is shifted and turned about a point of the map."""
    yaw = pose[2] + change[2]
    place = _rotation(pose[2]) @ centre + pose[:2] + change[:2]
    return np.r_[place - _rotation(yaw) @ centre, yaw]


def _are_same(first: NDArray[np.float64], second: NDArray[np.float64], centre: NDArray[np.float64]) -> bool:
    apart = _moved(centre[None], first) - _moved(centre[None], second)
    turn = math.degrees(abs(math.remainder(first[2] - second[2], 2 * math.pi)))
    return bool(np.linalg.norm(apart) < SAME_M) and turn < SAME_DEG


def _rotation(yaw: float) -> NDArray[np.float64]:
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, -s], [s, c]])
