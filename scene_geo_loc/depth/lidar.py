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

"""Sparse depth maps of the lidar scans around an image, without hidden points."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.depth.densify import densify
from scene_geo_loc.depth.window import LOOKED_AT, ScanWindow, window_for
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.geometry.rolling_shutter import ReadoutMotion
from scene_geo_loc.traversals.frame import Scan

F32 = NDArray[np.float32]

MIN_DEPTH_M = 0.3
MAX_DEPTH_M = 100.0
"""Limit in metres: farther points have little parallax, and errors of the poses dominate."""

_MARGIN = 0.02
"""Margin around the directions of the image's border, at depth 1."""

_CHUNK = 1 << 15
"""Points that are projected at a time, so that they stay in the processor's cache."""

_WINDOW = 2
"""Cells to each side of a point's cell that are searched for occluders."""

_LEVELS = 5
"""Number of cell sizes, each twice the previous one, that are searched for farther occluders."""

_CELLS_ACROSS = 240
"""Cells across the image: large enough to close the gaps between a lidar's rings."""

_MIN_OPENING_DEG = 15.0
"""Mean opening of a visible point's eight sectors; see `_visible`."""

_SLACK_NS = 1_000_000_000


@dataclass(frozen=True)
class MapPoints:
    """Points of the map in single precision, which is exact to 0.01 mm near their own origin.

    The map's coordinates may be those of the Earth, thousands of kilometres from its origin.

    Attributes:
        origin: (3,) float64 metres in the map.
        offsets: (3, N) float32 metres from `origin`.
    """

    origin: NDArray[np.float64]
    offsets: F32

    @classmethod
    def of(cls, points_map: NDArray[np.float64]) -> MapPoints:
        """Returns the points (N, 3), metres in the map; the first one is the origin."""
        origin = np.array(points_map[0] if len(points_map) else np.zeros(3), np.float64)
        return cls(origin, (points_map - origin).T.astype(np.float32, order="C"))

    def __len__(self) -> int:
        return self.offsets.shape[1]


class LidarAccumulator:
    """Keeps the scans that following images may need, and no older ones.

    Args:
        window: scans that belong to an image; None to choose it by the first scans.
    """

    def __init__(self, window: ScanWindow | None) -> None:
        self._window = window
        self._first: list[Scan] = []
        self._scans: deque[tuple[int, MapPoints]] = deque()

    @property
    def window(self) -> ScanWindow:
        """Window of the scans that belong to an image, as chosen by the scans so far."""
        return self._window or window_for(self._first)

    def __len__(self) -> int:
        """Number of scans that are kept."""
        return len(self._scans)

    def add(self, scan: Scan) -> None:
        """Adds a scan; scans must come in order of time. A jump back in time restarts the accumulation."""
        window = self.window
        keep_ns = round((window.before_s + window.after_s) * 1e9) + _SLACK_NS
        if self._scans and scan.stamp_ns < self._scans[-1][0] - keep_ns:
            self._scans.clear()  # the clock jumped back, as with a bag in a loop
            self._first.clear()
        self._scans.append((scan.stamp_ns, MapPoints.of(scan.points_map)))
        if self._window is None:
            self._first.append(scan)
            if len(self._first) >= LOOKED_AT:
                self._window, self._first = self.window, []
        while self._scans[0][0] < scan.stamp_ns - keep_ns:
            self._scans.popleft()

    def points_around(self, stamp_ns: int) -> list[MapPoints]:
        """Returns the points of all scans around a stamp, scan by scan."""
        window = self.window
        first, last = stamp_ns - round(window.before_s * 1e9), stamp_ns + round(window.after_s * 1e9)
        return [points for at_ns, points in self._scans if first <= at_ns <= last]


def project_depth(
    points: Sequence[MapPoints], T_map_camera: Pose, camera: Camera, occluder_m: float = 0.0
) -> F32:
    """Projects points to a sparse depth map, without those that are hidden by others.

    Args:
        points: points in the map, for example scan by scan.
        T_map_camera: pose of the optical frame in the map.
        occluder_m: distance in metres from the line of sight to a point within which other points
            indicate a surface that hides it.  With 0 only those within a few pixels do, which suffices
            for points measured near the camera.  The lines of a push-broom lidar also have points that
            the camera cannot see, and few on the surfaces in front of them.

    Returns:
        (H, W) float32 metres along the optical axis of the nearest point of each pixel; NaN where
        there is none between 0.3 and 100 m.
    """
    return sparse_depth(points_in_view(points, T_map_camera, camera), camera, occluder_m)


def points_in_view(points: Sequence[MapPoints], T_map_camera: Pose, camera: Camera) -> F32:
    """Returns the points of the map that are in view, between 0.3 and 100 m from the camera.

    The lens model is valid only there: its polynomials project points far outside the view back into
    the image.

    Returns:
        (M, 3) float32 metres in the optical frame, within the directions of the image's border and a
        small margin.
    """
    across, down = np.linspace(0, camera.width - 1, 16), np.linspace(0, camera.height - 1, 16)
    border = np.concatenate(
        [np.stack([across, np.full(16, y)], axis=1) for y in (0, camera.height - 1)]
        + [np.stack([np.full(16, x), down], axis=1) for x in (0, camera.width - 1)]
    )
    rays = camera.rays(border)[:, :2]
    first, last = rays.min(axis=0) - _MARGIN, rays.max(axis=0) + _MARGIN
    middle, half = (first + last) / 2, (last - first) / 2
    # Sheared and scaled so that a point is between the borders where |x| <= z and |y| <= z.
    shear = np.array(
        [[1 / half[0], 0, -middle[0] / half[0]], [0, 1 / half[1], -middle[1] / half[1]], [0, 0, 1]]
    )
    sheared = shear @ T_map_camera[:3, :3].T
    single = sheared.astype(np.float32)
    parts = [np.zeros((3, 0), np.float32)]
    for part in points:
        at = single @ part.offsets
        at += (sheared @ (part.origin - T_map_camera[:3, 3])).astype(np.float32)[:, None]
        aside, z = np.abs(at[:2]), at[2]
        within = np.maximum(aside[0], aside[1]) <= z
        within &= z > MIN_DEPTH_M
        within &= z < MAX_DEPTH_M
        parts.append(np.compress(within, at, axis=1))
    seen = np.concatenate(parts, axis=1)
    seen[:2] *= half.astype(np.float32)[:, None]
    seen[:2] += middle.astype(np.float32)[:, None] * seen[2]
    return seen.T


def sparse_depth(points: F32, camera: Camera, occluder_m: float = 0.0) -> F32:
    """Returns the sparse depth map (H, W) of `points_in_view`; see `project_depth`."""
    depth = np.full((camera.height, camera.width), np.inf, np.float32)
    for begin in range(0, len(points), _CHUNK):
        part = points[begin : begin + _CHUNK]
        u, v = _pixels(part, camera)
        # Unsigned, negative numbers are large.
        inside = (u.view(np.uint32) < camera.width) & (v.view(np.uint32) < camera.height)
        np.minimum.at(depth.reshape(-1), (v * camera.width + u)[inside], part[:, 2][inside])
    hidden = np.isfinite(depth)
    hidden[hidden] = ~_visible(depth, camera, occluder_m)
    depth[hidden | np.isinf(depth)] = np.nan
    return depth


def lidar_depth(
    points: Sequence[MapPoints],
    T_map_camera: Pose,
    camera: Camera,
    image: NDArray[np.uint8] | None = None,
    occluder_m: float = 0.0,
    wanted: NDArray[np.bool_] | None = None,
    motion: ReadoutMotion | None = None,
) -> F32:
    """Returns the dense depth map (H, W) of lidar points around an image: `project_depth`, then `densify`.

    Args:
        motion: of the camera during the image of a rolling shutter: the depth is that at each pixel's row.
    """
    seen = points_in_view(points, T_map_camera, camera)
    if motion is not None:
        seen = motion.as_read(camera, seen)
    return densify(sparse_depth(seen, camera, occluder_m), image, wanted)


def _pixels(points: F32, camera: Camera) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Returns the columns and rows (N,) of the pixels that points (N, 3) in view are projected to."""
    if camera.is_distorted:
        u, v = np.rint(camera.project(points)).T.astype(np.int32)
        return u, v
    x, y, z = points.T  # in single precision, twice as fast as `Camera.project`
    inverse = np.float32(1) / z
    u = x * inverse * np.float32(camera.fx) + np.float32(camera.cx)
    v = y * inverse * np.float32(camera.fy) + np.float32(camera.cy)
    return np.rint(u).astype(np.int32), np.rint(v).astype(np.int32)


def _visible(depth: F32, camera: Camera, occluder_m: float) -> NDArray[np.bool_]:
    """Returns a mask of the depth map's points (finite pixels, row by row) that no other point hides.

    The screen space operator of Pintus, Gobbetti and Agus, "Real-time rendering of massive
    unstructured raw point clouds using screen-space operators" (VAST 2011): around the line of
    sight of a point, each of eight sectors is open up to the angle of its nearest occluder; a
    point is visible where the sectors are open enough on average.  A slanted road, which only its
    nearer part occludes, therefore stays, and a wall behind the lidar's points on a car is removed.
    The occluders are the nearest points of coarse cells, which closes the gaps between lidar rings,
    and of increasingly coarse ones up to `occluder_m` from the line of sight.
    """
    pixels = np.flatnonzero(np.isfinite(depth))
    z = depth.ravel()[pixels]
    size = max(1, round(camera.width / _CELLS_ACROSS))
    levels, nearest = [], _nearest_of_cells(depth, size)
    for level in range(_LEVELS if occluder_m > 0 else 1):
        if level:
            size *= 2
            nearest = _nearest_of_cells(nearest, 2)
        levels.append(_Cells(np.float32(1) / nearest, size, camera.fx, occluder_m if level else np.inf))
    is_visible = _surely_visible(levels, depth.shape, pixels, z)
    rest = np.flatnonzero(~is_visible)
    cotangent = np.zeros((8, len(rest)), np.float32)
    for cells in levels:
        cells.close(cotangent, *np.divmod(pixels[rest], depth.shape[1]), z[rest])
    opening = np.pi / 2 - np.arctan(cotangent).mean(axis=0)
    is_visible[rest] = opening >= np.radians(_MIN_OPENING_DEG)
    return is_visible


@dataclass(frozen=True)
class _Cells:
    """Square cells of a depth map, in which occluders are searched.

    Attributes:
        closeness: (rows, columns) inverse of the least depth of each cell, 0 where there is none.
        size: side of a cell in pixels.
        focal: focal length in pixels.
        reach_m: distance from the line of sight within which a point is an occluder.
    """

    closeness: F32
    size: int
    focal: float
    reach_m: float

    def close(self, cotangent: F32, v: NDArray[np.intp], u: NDArray[np.intp], z: F32) -> None:
        """Raises the cotangents (8, N) of the openings of sectors around points, where there are occluders.

        Args:
            v, u, z: row, column and depth of the points (N,).
        """
        padded = np.pad(self.closeness, _WINDOW)
        width, closeness = padded.shape[1], padded.ravel()
        first = (v // self.size) * width + u // self.size  # the top left cell of the window
        for down in range(-_WINDOW, _WINDOW + 1):
            for right in range(-_WINDOW, _WINDOW + 1):
                if down == right == 0:
                    continue
                other = closeness[(down + _WINDOW) * width + right + _WINDOW :].take(first)
                aside = np.float32(self.size * np.hypot(down, right) / self.focal)  # at depth 1
                steepness = (z * other - 1) / aside
                if np.isfinite(self.reach_m):
                    steepness[other * self.reach_m < aside] = 0
                # A cell on the border of two sectors closes both, else every other sector had only two cells.
                turn = np.arctan2(down, right) / (np.pi / 4)
                for sector in {round(turn - 0.1) % 8, round(turn + 0.1) % 8}:
                    np.maximum(cotangent[sector], steepness, out=cotangent[sector])

    def at(self, pixels: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.intp]:
        """Returns the cells (N,) of pixels (N,) of an image of a shape; both are counted row by row."""
        if self.size == 1:
            return pixels
        rows, columns = (np.arange(length) // self.size for length in shape)
        return (rows[:, None] * self.closeness.shape[1] + columns).ravel().take(pixels)

    def closest_halves(self) -> Iterator[F32]:
        """Yields images of the closest cell above, below, left and right of each in its window."""
        padded = np.pad(self.closeness, _WINDOW)
        side = np.ones(2 * _WINDOW + 1, np.uint8)
        rows = cv2.dilate(padded, side[None])[:, _WINDOW:-_WINDOW]
        columns = cv2.dilate(padded, side[:, None])[_WINDOW:-_WINDOW]
        yield np.maximum(rows[: -2 * _WINDOW], rows[1 : 1 - 2 * _WINDOW])
        yield np.maximum(rows[2 * _WINDOW :], rows[2 * _WINDOW - 1 : -1])
        yield np.maximum(columns[:, : -2 * _WINDOW], columns[:, 1 : 1 - 2 * _WINDOW])
        yield np.maximum(columns[:, 2 * _WINDOW :], columns[:, 2 * _WINDOW - 1 : -1])


def _surely_visible(
    levels: Sequence[_Cells], shape: tuple[int, ...], pixels: NDArray[np.intp], z: F32
) -> NDArray[np.bool_]:
    """Returns a mask of the points that three sectors alone make visible, which are most; see `_visible`.

    Above a point, as below and beside it, there are three whole sectors.  The closest cell of that half of
    the window, as if it was the next one, limits how far they are closed.

    Args:
        shape: of the depth map.
        pixels, z: place and depth of the points (N,); pixels are counted row by row.
    """
    steepest = np.zeros((4, len(z)), np.float32)
    for cells in levels:
        at, beside = cells.at(pixels, shape), np.float32(cells.size / cells.focal)
        for half, steepness in zip(cells.closest_halves(), steepest, strict=True):
            np.maximum(steepness, (z * half.ravel().take(at) - 1) / beside, out=steepness)
    least_opening = np.radians(8 * _MIN_OPENING_DEG / 3)
    return steepest.min(axis=0) <= np.float32(1 / np.tan(least_opening))


def _nearest_of_cells(depth: F32, size: int) -> F32:
    """Returns the least depth of each square cell; infinite where there is none."""
    if size == 1:
        return depth
    rows, columns = -(-depth.shape[0] // size), -(-depth.shape[1] // size)
    padded = np.full((rows * size, columns * size), np.inf, np.float32)
    padded[: depth.shape[0], : depth.shape[1]] = depth
    return padded.reshape(rows, size, columns, size).min(axis=(1, 3))
