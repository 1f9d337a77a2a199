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
"""Pose from matches without depth: an essential matrix to one place, and the distance by all other matches.

The essential matrix to one keyframe gives the rotation and the direction to it.  Each match with a keyframe
at another place, and each with depth, then gives the distance along that direction, in which its constraint
is linear.  The distance that most matches agree with is taken, and the pose is fitted to all inliers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose, inverse, make_pose
from scene_geo_loc.localization.pnp import CameraMatches, refine_to_inliers
from scene_geo_loc.localization.solvers.base import CONFIDENCE, Effort
from scene_geo_loc.localization.solvers.ray_pairs import (
    SAME_PLACE_M,
    RayPair,
    place_numbers,
    query_rays,
    ray_pairs,
)

MIN_PAIR = 8
"""Least number of matches of a pair that an essential matrix is searched for."""

PAIRS = 4
"""Most pairs that a search begins with, those with most matches."""

PRECISE = 0.5
"""Largest error of an inlier of an essential matrix, as a share of that of the pose's inliers."""

DISTANCES = 80
"""Most distances that are tried for an essential matrix."""

FARTHEST_M = 50.0
"""Largest distance of a camera from the keyframe, metres: beyond, hardly any features match."""

REFINED = 3
"""Number of them whose poses are fitted to their inliers."""

SCORED = 400
"""Most matches that distances are scored on."""


def essential_ransac(matches: Sequence[CameraMatches], max_error_px: float, effort: Effort) -> Pose | None:
    """Returns T_map_base from matches of one or several cameras, some or all of them without depth.

    Returns None where no pair has enough matches, or none of them an essential matrix.
    """
    rays = [camera.where(~camera.has_depth) for camera in matches]
    pairs = sorted(ray_pairs(rays), key=len, reverse=True)
    step = -(-sum(map(len, matches)) // SCORED) or 1
    scored = [camera.where(slice(None, None, step)) for camera in matches]
    best, lowest = None, np.inf
    for pair in pairs[:PAIRS]:
        if len(pair) < MIN_PAIR:
            break
        found = _essential_pose(pair, matches[pair.camera], max_error_px, effort)
        if found is None:
            continue
        rotation, direction = found
        poses = [
            _pose(pair, matches[pair.camera], rotation, direction, distance)
            for distance in _distances(pair, matches, rotation, direction)
        ]
        if not poses:
            continue
        poses.sort(key=lambda T: truncated_cost(T, scored, max_error_px))
        for first in poses[:REFINED]:
            pose = refine_to_inliers(first, matches, max_error_px)
            cost = truncated_cost(pose, matches, max_error_px)
            if cost < lowest:
                best, lowest = pose, cost
    return best


def essential_inliers(matches: CameraMatches, max_error_px: float, effort: Effort) -> int:
    """Returns the number of inliers of an essential matrix to one keyframe, whose matches have no depth."""
    (pair,) = ray_pairs([replace(matches, keyframe=None)])
    found = _essential(pair, matches, max_error_px, effort) if len(pair) >= MIN_PAIR else None
    return 0 if found is None else found[1]


def _essential(
    pair: RayPair, camera: CameraMatches, max_error_px: float, effort: Effort
) -> tuple[NDArray[np.float64], int] | None:
    """Returns the best essential matrix (3, 3) of OpenCV's search and the number of its inliers, or None."""
    settings = cv2.UsacParams()
    settings.threshold = PRECISE * max_error_px / camera.camera.fx
    settings.maxIterations = effort.max_iterations
    settings.confidence = CONFIDENCE
    settings.randomGeneratorState = 0
    try:
        E, inliers = cv2.findEssentialMat(pair.view, pair.query, np.eye(3), np.eye(3), None, None, settings)
    except cv2.error:  # degenerate matches
        return None
    if E is None or E.shape != (3, 3) or not np.isfinite(E).all():
        return None
    return np.asarray(E), int(inliers.sum())


def _essential_pose(
    pair: RayPair, camera: CameraMatches, max_error_px: float, effort: Effort
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Returns the rotation (3, 3) of a camera in the map and the direction (3,) from the keyframe to it."""
    found = _essential(pair, camera, max_error_px, effort)
    if found is None:
        return None
    _, R, t, _ = cv2.recoverPose(found[0], pair.view, pair.query, np.eye(3))
    R_map_view = pair.T_map_view[:3, :3]
    if not (np.isfinite(R).all() and np.isfinite(t).all()):
        return None
    return R_map_view @ R.T, R_map_view @ (-R.T @ t[:, 0])


def _distances(
    pair: RayPair,
    matches: Sequence[CameraMatches],
    rotation: NDArray[np.float64],
    direction: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Returns distances (D,) from the keyframe to the camera that the other matches ask for."""
    own = matches[pair.camera].T_base_camera
    R_map_base = rotation @ own[:3, :3].T
    asked = [np.zeros(0)]
    for number, camera in enumerate(matches):
        seen = query_rays(camera) @ (R_map_base @ camera.T_base_camera[:3, :3]).T
        between = R_map_base @ (camera.T_base_camera[:3, 3] - own[:3, 3])
        has_depth = camera.has_depth
        # A point X asks for (X - c - s u) x d = 0, and a ray (o, e) for (o - c - s u) . (e x d) = 0.
        across = np.cross(camera.points_map[has_depth] - pair.T_map_view[:3, 3] - between, seen[has_depth])
        turned = np.cross(direction, seen[has_depth])
        asked.append(_ratio((across * turned).sum(axis=1), (turned**2).sum(axis=1)))
        if has_depth.all():
            continue
        origins, directions = camera.where(~has_depth).rays
        apart = origins - pair.T_map_view[:3, 3]
        is_other = (number != pair.camera) | (np.linalg.norm(apart, axis=1) > SAME_PLACE_M)
        normal = np.cross(directions, seen[~has_depth])
        asked.append(_ratio(((apart - between) * normal).sum(axis=1), normal @ direction)[is_other])
    distances = np.concatenate(asked)
    distances = np.sort(distances[(distances > 0) & (distances <= FARTHEST_M)])
    return distances[:: -(-len(distances) // DISTANCES) or 1]


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(above / below)


def _pose(
    pair: RayPair,
    camera: CameraMatches,
    rotation: NDArray[np.float64],
    direction: NDArray[np.float64],
    distance: float,
) -> Pose:
    """Returns T_map_base of a camera at a distance from the pair's keyframe."""
    T_map_camera = make_pose(rotation, pair.T_map_view[:3, 3] + distance * direction)
    return np.asarray(T_map_camera @ inverse(camera.T_base_camera))


def truncated_cost(T_map_base: Pose, matches: Sequence[CameraMatches], max_error_px: float) -> float:
    """Returns the sum of squared errors at a pose, each at most an inlier's."""
    errors = np.concatenate([camera.errors(T_map_base) for camera in matches])
    return float(np.square(np.minimum(errors, max_error_px)).sum())


def fix_the_scale(matches: Sequence[CameraMatches]) -> bool:
    """Returns whether matches have depth, or are with keyframes at two places or of two cameras."""
    seeing = [camera for camera in matches if len(camera)]
    if len(seeing) > 1 or any(camera.has_depth.any() for camera in seeing):
        return True
    return any(int(place_numbers(camera.rays[0]).max()) > 0 for camera in seeing)
