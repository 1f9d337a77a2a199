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

"""Matches of pixels with points of the map, and the fit of a pose to those of one or several cameras.

A match with a feature of unknown depth has a ray of the map instead of a point.  Its error is the distance of
the pixel from the image of the ray: the epipolar line, as far as it is in front of both cameras.  At each
pose the point is taken where the ray is nearest to the pixel, with a standard deviation along the ray of
`UNKNOWN_DEPTH_M`, so that all fits and covariances apply as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.lie import skew
from scene_geo_loc.geometry.pose import Pose
from scene_geo_loc.localization.least_squares import (
    STEPS,
    Linearised,
    fit_pose,
    fit_pose_to_inliers,
    linearised,
)

FIT_WIDTH = 2.0
"""Largest error of a match in the final fit, as a multiple of an inlier's largest error."""

UNKNOWN_DEPTH_M = 1e6
"""Standard deviation of an unknown depth, metres."""

RAY_ERROR = 2.0
"""Factor on the distance from an epipolar line: more pixels are near a line by chance than near a point."""

NEAREST_M, FARTHEST_M = 0.5, 2000.0
"""Depths between which a point of unknown depth is looked for along its ray, metres."""


@dataclass(frozen=True)
class CameraMatches:
    """Matches of one camera.

    Attributes:
        T_base_camera: pose of the camera in the base, the frame whose pose is estimated.
        camera: intrinsics; the lens distortion of `pixels` is already undone.
        pixels: (M, 2) ideal pixels, see `ideal_pixels`.
        points_map: (M, 3) metres; at a depth of 1 m where the depth is unknown.
        points_sigma: (M, 3) metres, see `Matches`; None where depth is exact.
        keyframe: (M,) keyframe of each match; None where there is one keyframe only.
        shrinking: (M,) pixels of the image by which a shift of one ideal pixel moves a match, see
            `shrinking_of`; None where the lens hardly changes them.
    """

    T_base_camera: Pose
    camera: Camera
    pixels: NDArray[np.float64]
    points_map: NDArray[np.float64]
    points_sigma: NDArray[np.float64] | None = None
    keyframe: NDArray[np.int64] | None = None
    shrinking: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def has_depth(self) -> NDArray[np.bool_]:
        """Mask (M,) of the matches whose depth is known."""
        return depth_is_known(self.points_sigma, len(self))

    @property
    def rays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Origins (M, 3) and directions (M, 3) in the map of the rays of matches without depth."""
        assert self.points_sigma is not None
        return rays_of(self.points_map, self.points_sigma)

    def errors(self, T_map_base: Pose) -> NDArray[np.float64]:
        """Returns the reprojection errors (M,) at a pose in pixels; infinite behind the camera.

        Those of matches without depth are multiplied by `RAY_ERROR`.
        """
        T_map_camera = T_map_base @ self.T_base_camera
        points = self.points_at(T_map_camera)
        errors = reprojection_errors(T_map_camera, self.pixels, points, self.camera)
        if self.shrinking is not None:
            errors = errors * self.shrinking
        return errors if self.has_depth.all() else errors * np.where(self.has_depth, 1.0, RAY_ERROR)

    def points_at(self, T_map_camera: Pose, camera: Camera | None = None) -> NDArray[np.float64]:
        """Returns the points (M, 3), without depth those nearest to the pixels at a pose.

        Args:
            T_map_camera: pose of the camera.
            camera: intrinsics to project with; default: those of the matches.
        """
        if self.has_depth.all():
            return self.points_map
        without = self.where(~self.has_depth)
        points = self.points_map.copy()
        points[~self.has_depth] = nearest_on_rays(
            T_map_camera, without.pixels, *without.rays, camera or self.camera
        )
        return points

    def where(self, chosen: NDArray[np.bool_] | slice) -> CameraMatches:
        """Returns the matches that a mask (M,) or a slice chooses."""
        arrays = ("pixels", "points_map", "points_sigma", "keyframe", "shrinking")
        known = {name: array for name in arrays if (array := getattr(self, name)) is not None}
        return replace(self, **{name: array[chosen] for name, array in known.items()})

    def linearised(self, T_map_base: Pose, scale: float) -> Linearised:
        """Returns the reprojections and their Jacobian by the pose of the base, see `linearised`."""
        T_map_camera = T_map_base @ self.T_base_camera
        points = self.points_at(T_map_camera)
        residuals, J = linearised(T_map_camera, self.pixels, points, self.camera, self.points_sigma, scale)
        if self.shrinking is not None:
            residuals, J = residuals * self.shrinking, J * self.shrinking
        if (T_map_base[:3, 3] == T_map_camera[:3, 3]).all():
            return residuals, J
        by_base = np.eye(6)
        by_base[:3, 3:] = skew((T_map_base[:3, 3] - T_map_camera[:3, 3])[None])[0]
        return residuals, (by_base.T @ J.reshape(6, -1)).reshape(J.shape)


def refine_pnp(
    T_map_base: Pose, matches: Sequence[CameraMatches], max_error_px: float, steps: int = STEPS
) -> Pose:
    """Returns a pose refined by a robust least-squares fit to the matches near it.

    Matches up to `FIT_WIDTH` times as far off as an inlier take part with little weight: they improve the
    fit, while the bound on inliers stays strict.  The width of the loss follows the errors of the inliers,
    so that precise features give a precise pose.
    """
    near = [camera.where(camera.errors(T_map_base) <= FIT_WIDTH * max_error_px) for camera in matches]
    return fit_pose(T_map_base, _joint(near), max_error_px, steps)


def refine_to_inliers(T_map_base: Pose, matches: Sequence[CameraMatches], max_error_px: float) -> Pose:
    """Returns the pose nearby with the least sum of truncated squared reprojection errors.

    It is the local optimum of what RANSAC searches for; known depths count as exact.
    """
    exact = [
        replace(camera, points_sigma=None)
        if camera.points_sigma is None or camera.has_depth.all()
        else replace(camera, points_sigma=np.where(camera.has_depth[:, None], 0.0, camera.points_sigma))
        for camera in matches
    ]
    return fit_pose_to_inliers(T_map_base, _joint(exact), max_error_px)


def _joint(matches: Sequence[CameraMatches]) -> Callable[[Pose, float], Linearised]:
    """Returns the function that linearises the reprojections of all cameras at a pose."""

    def linearise(T_map_base: Pose, scale: float) -> Linearised:
        if len(matches) == 1:
            return matches[0].linearised(T_map_base, scale)
        residuals, J = zip(*(camera.linearised(T_map_base, scale) for camera in matches), strict=True)
        return np.concatenate(residuals, axis=-1), np.concatenate(J, axis=-1)

    return linearise


def depth_is_known(points_sigma: NDArray[np.float64] | None, count: int) -> NDArray[np.bool_]:
    """Returns the mask (M,) of the matches whose depth is known, from their `points_sigma` (M, 3)."""
    if points_sigma is None:
        return np.ones(count, bool)
    # A ray has at least unit length.
    return np.asarray((points_sigma**2).sum(axis=1) < (0.5 * UNKNOWN_DEPTH_M) ** 2)


def rays_of(
    points_map: NDArray[np.float64], points_sigma: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns origins (M, 3) and directions (M, 3) in the map of the rays of matches without depth."""
    directions = points_sigma / UNKNOWN_DEPTH_M
    return points_map - directions, directions


def nearest_on_rays(
    T_map_camera: Pose,
    pixels: NDArray[np.float64],
    origins: NDArray[np.float64],
    directions: NDArray[np.float64],
    camera: Camera,
) -> NDArray[np.float64]:
    """Returns the points (M, 3) of rays whose projections are nearest to ideal pixels (M, 2).

    Args:
        T_map_camera: pose of the camera.
        origins, directions: (M, 3) of the rays in the map, the directions with a depth of 1 m.
        camera: intrinsics.
    """
    seen = pixels - (camera.cx, camera.cy)
    scaled = np.array([camera.fx, camera.fy, 1.0])
    near = (origins - T_map_camera[:3, 3]) @ T_map_camera[:3, :3] * scaled
    far = directions @ T_map_camera[:3, :3] * scaled
    # The epipolar line through the images of the ray's origin and of its vanishing point, in pixels.
    line = np.cross(near, far)
    normal = line[:, :2]
    squared = np.maximum((normal**2).sum(axis=1, keepdims=True), 1e-12)
    foot = seen - normal * ((normal * seen).sum(axis=1, keepdims=True) + line[:, 2:]) / squared
    offset, slope = far[:, :2] - foot * far[:, 2:], near[:, :2] - foot * near[:, 2:]
    per_depth = -(offset * slope).sum(axis=1) / np.maximum((slope**2).sum(axis=1), 1e-12)
    return origins + directions / np.clip(per_depth, 1 / FARTHEST_M, 1 / NEAREST_M)[:, None]


def spread(pixels: NDArray) -> float:
    """Returns the standard deviation of pixels (N, 2) across their principal axis; 0 for less than three."""
    if len(pixels) <= 2:
        return 0.0
    away = pixels - pixels.mean(axis=0)
    return float(np.linalg.eigvalsh(away.T @ away / (len(pixels) - 1))[0].clip(0) ** 0.5)


def ideal_pixels(camera: Camera, pixels: NDArray) -> NDArray[np.float64]:
    """Returns pixels (N, 2) as the pinhole with the camera's K has them: lens distortion undone."""
    return camera.rays(pixels)[:, :2] * (camera.fx, camera.fy) + (camera.cx, camera.cy)


def shrinking_of(camera: Camera, pixels: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Returns the shifts (M,) in pixels of a fisheye's image per ideal pixel, at ideal pixels (M, 2).

    A pinhole with the fisheye's K stretches the border of its image: at an angle a to the optical axis by
    1 / cos(a)^2 along the radius and by tan(a) / a across it, the geometric mean of which is undone here.
    None for other models, which hardly stretch their images.
    """
    if camera.model != "equidistant":
        return None
    tangent = np.hypot(*((pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy)).T)
    angle = np.arctan(tangent)
    across = np.where(tangent > 1e-6, angle / np.maximum(tangent, 1e-6), 1.0)
    return np.asarray(np.cos(angle) * np.sqrt(across))


def reprojection_errors(
    T_map_camera: Pose, pixels: NDArray[np.float64], points_map: NDArray[np.float64], camera: Camera
) -> NDArray[np.float64]:
    """Returns distances (M,) of ideal pixels from the points' projections; infinite behind the camera."""
    # Contiguous along the matches, which is several times as fast.
    arm = np.ascontiguousarray(points_map.T) - T_map_camera[:3, 3, None]
    x, y, z = T_map_camera[:3, :3].T @ arm
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.hypot(
            camera.fx * x / z + camera.cx - pixels[:, 0], camera.fy * y / z + camera.cy - pixels[:, 1]
        )
    return np.where(z > 1e-6, errors, np.inf)
