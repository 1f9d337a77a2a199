"""Sparse depth maps of the lidar scans around an image, without hidden points."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.depth.densify import densify
from scene_geo_loc.depth.window import LOOKED_AT, ScanWindow, window_for
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.traversals.frame import Scan

MIN_DEPTH_M = 0.3
MAX_DEPTH_M = 100.0
"""Limit in metres: farther points have little parallax, and errors of the poses dominate."""

_WINDOW = 2
"""Cells to each side of a point's cell that are searched for occluders."""

_LEVELS = 5
"""Number of cell sizes, each twice the previous one, that are searched for farther occluders."""

_CELLS_ACROSS = 240
"""Cells across the image: large enough to close the gaps between a lidar's rings."""

_MIN_OPENING_DEG = 15.0
"""Mean opening of a visible point's eight sectors; see `_visible`."""

_SLACK_NS = 1_000_000_000


class LidarAccumulator:
    """Keeps the scans that following images may need, and no older ones.

    Args:
        window: scans that belong to an image; None to choose it by the first scans.
    """

    def __init__(self, window: ScanWindow | None) -> None:
        self._window = window
        self._scans: deque[Scan] = deque()

    @property
    def window(self) -> ScanWindow:
        """Window of the scans that belong to an image, as chosen by the scans so far."""
        return self._window or window_for(self._scans)

    def __len__(self) -> int:
        """Number of scans that are kept."""
        return len(self._scans)

    def add(self, scan: Scan) -> None:
        """Adds a scan; scans must come in order of time. A jump back in time restarts the accumulation."""
        window = self.window
        keep_ns = round((window.before_s + window.after_s) * 1e9) + _SLACK_NS
        if self._scans and scan.stamp_ns < self._scans[-1].stamp_ns - keep_ns:
            self._scans.clear()  # the clock jumped back, as with a bag in a loop
        self._scans.append(scan)
        if self._window is None and len(self._scans) >= LOOKED_AT:
            self._window = self.window
        while self._scans[0].stamp_ns < scan.stamp_ns - keep_ns:
            self._scans.popleft()

    def points_around(self, stamp_ns: int) -> NDArray[np.float64]:
        """Returns the points (N, 3) in the map, metres, of all scans around a stamp."""
        window = self.window
        first, last = stamp_ns - round(window.before_s * 1e9), stamp_ns + round(window.after_s * 1e9)
        near = [scan.points_map for scan in self._scans if first <= scan.stamp_ns <= last]
        return np.concatenate(near) if near else np.zeros((0, 3))


def project_depth(
    points_map: NDArray[np.float64], T_map_camera: Pose, camera: Camera, occluder_m: float = 0.0
) -> NDArray[np.float32]:
    """Projects points to a sparse depth map, without those that are hidden by others.

    Args:
        points_map: (N, 3) metres in the map.
        T_map_camera: pose of the optical frame in the map.
        occluder_m: distance in metres from the line of sight to a point within which other points
            indicate a surface that hides it.  With 0 only those within a few pixels do, which suffices
            for points measured near the camera.  The lines of a push-broom lidar also have points that
            the camera cannot see, and few on the surfaces in front of them.

    Returns:
        (H, W) float32 metres along the optical axis of the nearest point of each pixel; NaN where
        there is none between 0.3 and 100 m.
    """
    return sparse_depth(points_in_view(points_map, T_map_camera, camera), camera, occluder_m)


def points_in_view(
    points_map: NDArray[np.float64], T_map_camera: Pose, camera: Camera
) -> NDArray[np.float32]:
    """Returns the points of the map (N, 3) that are in view, between 0.3 and 100 m from the camera.

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
    (left, top), (right, bottom) = (rays.min(axis=0) - 0.02).tolist(), (rays.max(axis=0) + 0.02).tolist()
    # Points may be thousands of kilometres from the map's origin: single precision only from here.
    from_camera = (points_map - T_map_camera[:3, 3]).astype(np.float32)
    x, y, z = T_map_camera[:3, :3].T.astype(np.float32) @ from_camera.T
    within = (z > MIN_DEPTH_M) & (z < MAX_DEPTH_M)
    within &= (x >= left * z) & (x <= right * z)
    within &= (y >= top * z) & (y <= bottom * z)
    return np.stack([x[within], y[within], z[within]], axis=1)


def sparse_depth(points: NDArray[np.float32], camera: Camera, occluder_m: float = 0.0) -> NDArray[np.float32]:
    """Returns the sparse depth map (H, W) of `points_in_view`; see `project_depth`."""
    u, v = np.rint(camera.project(points)).T
    inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    pixels = (v[inside] * camera.width + u[inside]).astype(np.intp)
    depth = np.full((camera.height, camera.width), np.inf, np.float32)
    np.minimum.at(depth.reshape(-1), pixels, points[inside, 2])
    hidden = np.isfinite(depth)
    hidden[hidden] = ~_visible(depth, camera, occluder_m)
    depth[hidden | np.isinf(depth)] = np.nan
    return depth


def lidar_depth(
    points_map: NDArray[np.float64],
    T_map_camera: Pose,
    camera: Camera,
    image: NDArray[np.uint8] | None = None,
    occluder_m: float = 0.0,
) -> NDArray[np.float32]:
    """Returns the dense depth map (H, W) of lidar points around an image: `project_depth`, then `densify`."""
    return densify(project_depth(points_map, T_map_camera, camera, occluder_m), image)


def _visible(depth: NDArray[np.float32], camera: Camera, occluder_m: float) -> NDArray[np.bool_]:
    """Returns a mask of the depth map's points (finite pixels, row by row) that no other point hides.

    The screen space operator of Pintus, Gobbetti and Agus, "Real-time rendering of massive
    unstructured raw point clouds using screen-space operators" (VAST 2011): around the line of
    sight of a point, each of eight sectors is open up to the angle of its nearest occluder; a
    point is visible where the sectors are open enough on average.  A slanted road, which only its
    nearer part occludes, therefore stays, and a wall behind the lidar's points on a car is removed.
    The occluders are the nearest points of coarse cells, which closes the gaps between lidar rings,
    and of increasingly coarse ones up to `occluder_m` from the line of sight.
    """
    v, u = np.nonzero(np.isfinite(depth))
    z = depth[v, u]
    size = max(1, round(camera.width / _CELLS_ACROSS))
    nearest = _nearest_of_cells(depth, size)
    tangent = np.full((8, len(z)), np.inf, np.float32)
    for level in range(_LEVELS if occluder_m > 0 else 1):
        if level:
            size *= 2
            nearest = _nearest_of_cells(nearest, 2)
        padded = np.pad(nearest, _WINDOW, constant_values=np.inf)
        width, cells = padded.shape[1], padded.ravel()
        first = (v // size) * width + u // size  # the top left cell of the window
        for down in range(-_WINDOW, _WINDOW + 1):
            for right in range(-_WINDOW, _WINDOW + 1):
                if down == right == 0:
                    continue
                other = cells[(down + _WINDOW) * width + right + _WINDOW :].take(first)
                aside = other * np.float32(size * np.hypot(down, right) / camera.fx)
                opening = aside / np.maximum(z - other, 1e-6)
                if level:
                    opening[aside > occluder_m] = np.inf
                # A cell on the border of two sectors closes both, else every other sector had only two cells.
                turn = np.arctan2(down, right) / (np.pi / 4)
                for sector in {round(turn - 0.1) % 8, round(turn + 0.1) % 8}:
                    np.minimum(tangent[sector], opening, out=tangent[sector])
    return np.degrees(np.arctan(tangent).mean(axis=0)) >= _MIN_OPENING_DEG


def _nearest_of_cells(depth: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Returns the least depth of each square cell; infinite where there is none."""
    rows, columns = -(-depth.shape[0] // size), -(-depth.shape[1] // size)
    padded = np.full((rows * size, columns * size), np.inf, np.float32)
    padded[: depth.shape[0], : depth.shape[1]] = depth
    return padded.reshape(rows, size, columns, size).min(axis=(1, 3))
