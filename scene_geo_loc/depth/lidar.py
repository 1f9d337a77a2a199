"""Lidar to depth: scans gathered around an image, seen by its camera, hidden points removed."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.depth.densify import densify
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, inverse, transform
from scene_geo_loc.traversals.frame import Scan

MIN_DEPTH_M = 0.3
MAX_DEPTH_M = 100.0
"""Farther points, metres, say little about parallax and much about errors of the poses."""

_WINDOW = 2
"""Cells to each side of a point's cell in which occluders are looked for."""

_CELLS_ACROSS = 240
"""Cells in the width of the image: wide enough for the gaps between a lidar's rings."""

_MIN_OPENING_DEG = 15.0
"""Mean opening of a visible point's eight sectors; see `_visible`."""

_SLACK_NS = 1_000_000_000


class LidarAccumulator:
    """Keeps the scans that images still to come may need, and no older ones.

    Args:
        before_s, after_s: how far before and after an image's stamp its scans lie, in seconds.
    """

    def __init__(self, before_s: float, after_s: float) -> None:
        self._before_ns = round(before_s * 1e9)
        self._after_ns = round(after_s * 1e9)
        self._scans: deque[Scan] = deque()

    def __len__(self) -> int:
        """How many scans are kept."""
        return len(self._scans)

    def add(self, scan: Scan) -> None:
        """Takes a scan; scans come in order of time. One from long before the last starts anew."""
        keep_ns = self._before_ns + self._after_ns + _SLACK_NS
        if self._scans and scan.stamp_ns < self._scans[-1].stamp_ns - keep_ns:
            self._scans.clear()  # the clock was set back: a bag in a loop
        self._scans.append(scan)
        while self._scans[0].stamp_ns < scan.stamp_ns - keep_ns:
            self._scans.popleft()

    def points_around(self, stamp_ns: int) -> NDArray[np.float64]:
        """The points (N, 3) in the map, metres, of all scans around a stamp."""
        first, last = stamp_ns - self._before_ns, stamp_ns + self._after_ns
        near = [scan.points_map for scan in self._scans if first <= scan.stamp_ns <= last]
        return np.concatenate(near) if near else np.zeros((0, 3))


def project_depth(points_map: NDArray[np.float64], T_map_camera: Pose, camera: Camera) -> NDArray[np.float32]:
    """The sparse depth map of points as a camera sees them, without those that others hide.

    Args:
        points_map: (N, 3) metres in the map.
        T_map_camera: pose of the optical frame in the map.

    Returns:
        (H, W) float32 metres along the optical axis, the nearest of each pixel's points; NaN
        where there is none within 0.3 and 100 m.
    """
    optical_axis, origin = T_map_camera[:3, 2], T_map_camera[:3, 3]
    ahead = points_map @ optical_axis - origin @ optical_axis
    points = transform(inverse(T_map_camera), points_map[(ahead > MIN_DEPTH_M) & (ahead < MAX_DEPTH_M)])
    points = points[_within_view(points, camera)]
    pixels = np.round(camera.project(points))
    inside = ((pixels >= 0) & (pixels < (camera.width, camera.height))).all(axis=1)
    u, v = pixels[inside].astype(np.intp).T
    depth = np.full((camera.height, camera.width), np.inf, np.float32)
    np.minimum.at(depth, (v, u), points[inside, 2].astype(np.float32))
    hidden = np.isfinite(depth)
    hidden[hidden] = ~_visible(depth, camera)
    depth[hidden | np.isinf(depth)] = np.nan
    return depth


def lidar_depth(
    points_map: NDArray[np.float64],
    T_map_camera: Pose,
    camera: Camera,
    image: NDArray[np.uint8] | None = None,
) -> NDArray[np.float32]:
    """The dense depth map (H, W) of lidar points around an image: `project_depth`, then `densify`."""
    return densify(project_depth(points_map, T_map_camera, camera), image)


def _within_view(points: NDArray[np.float64], camera: Camera) -> NDArray[np.bool_]:
    """Whether points lie within the directions of the image's border (N,), or just outside.

    It spares the lens model most points, and the model holds only there: polynomials take points far
    outside the view back into the image.
    """
    across, down = np.linspace(0, camera.width - 1, 16), np.linspace(0, camera.height - 1, 16)
    border = np.concatenate(
        [np.stack([across, np.full(16, y)], axis=1) for y in (0, camera.height - 1)]
        + [np.stack([np.full(16, x), down], axis=1) for x in (0, camera.width - 1)]
    )
    rays = camera.rays(border)
    (left, top), (right, bottom) = rays[:, :2].min(axis=0) - 0.02, rays[:, :2].max(axis=0) + 0.02
    x, y, z = points.T
    return (x >= left * z) & (x <= right * z) & (y >= top * z) & (y <= bottom * z)


def _visible(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.bool_]:
    """Which of the depth map's points (finite pixels, row by row) no other point hides.

    The screen space operator of Pintus, Gobbetti and Agus, "Real-time rendering of massive
    unstructured raw point clouds using screen-space operators" (VAST 2011): around the line of
    sight of a point, each of eight sectors is open up to the angle of its nearest occluder; a
    point is visible where the sectors are open enough on average.  So a slanted road, which only
    its nearer part occludes, stays, and a wall behind the dots of a lidar on a car goes.  The
    occluders are the nearest points of coarse cells, which closes the gaps between lidar rings.
    """
    v, u = np.nonzero(np.isfinite(depth))
    z = depth[v, u]
    size = max(1, round(camera.width / _CELLS_ACROSS))
    rows, columns = -(-camera.height // size), -(-camera.width // size)
    padded = np.full((rows * size, columns * size), np.inf, np.float32)
    padded[: camera.height, : camera.width] = depth
    nearest = padded.reshape(rows, size, columns, size).min(axis=(1, 3))
    nearest = np.pad(nearest, _WINDOW, constant_values=np.inf)
    row, column = v // size + _WINDOW, u // size + _WINDOW
    opening = np.full((8, len(z)), np.pi / 2, np.float32)
    for down in range(-_WINDOW, _WINDOW + 1):
        for right in range(-_WINDOW, _WINDOW + 1):
            if down == right == 0:
                continue
            other = nearest[row + down, column + right]
            in_front = np.flatnonzero(other < z)
            gap = z[in_front] - other[in_front]
            aside = np.float32(size * np.hypot(down, right) / camera.fx) * other[in_front]
            angle = np.arctan2(aside, gap)
            # A cell on the border of two sectors closes both, else every other would have two cells only.
            turn = np.arctan2(down, right) / (np.pi / 4)
            for sector in {round(turn - 0.1) % 8, round(turn + 0.1) % 8}:
                opening[sector, in_front] = np.minimum(opening[sector, in_front], angle)
    return np.degrees(opening.mean(axis=0)) >= _MIN_OPENING_DEG
