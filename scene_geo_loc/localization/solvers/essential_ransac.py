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
"""Pose from matches without depth: an essential matrix to one place, and the distance by those of others.

The essential matrix to one keyframe gives the rotation and the direction to it.  Each match with a keyframe
at another place then gives the distance along that direction: the epipolar constraint is linear in it.
The distance that most matches agree with is taken, and the pose is fitted to all inliers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose, inverse, make_pose
from scene_geo_loc.localization.pnp import CameraMatches, refine_to_inliers
from scene_geo_loc.localization.solvers.base import CONFIDENCE, Effort, RobustPose
from scene_geo_loc.localization.solvers.ray_pairs import RayPair, place_numbers, query_rays, ray_pairs

MIN_PAIR = 8
"""Least number of matches of a pair that an essential matrix is searched for."""

PAIRS = 4
"""Most pairs that a search begins with, those with most matches."""

DISTANCES = 60
"""Most distances that are tried for an essential matrix."""

SCORED = 400
"""Most matches that distances are scored on."""


def essential_ransac(
    matches: Sequence[CameraMatches], max_error_px: float, effort: Effort
) -> RobustPose | None:
    """Returns T_map_base from matches without depth of one or several cameras, with at least two places.

    Returns None where no pair has enough matches, or none of them an essential matrix.
    """
    pairs = sorted(ray_pairs(matches), key=len, reverse=True)
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
        first = min(poses, key=lambda T: truncated_cost(T, scored, max_error_px))
        pose = refine_to_inliers(first, matches, max_error_px)
        cost = truncated_cost(pose, matches, max_error_px)
        if cost < lowest:
            best, lowest = pose, cost
    if best is None:
        return None
    return RobustPose(best, sum(int((camera.errors(best) <= max_error_px).sum()) for camera in matches))


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
    settings.threshold = max_error_px / camera.camera.fx
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
    """Returns distances (D,) from the keyframe to the camera that matches at other places ask for."""
    own = matches[pair.camera].T_base_camera
    R_map_base = rotation @ own[:3, :3].T
    found = [np.zeros(0)]
    for number, camera in enumerate(matches):
        if not len(camera):
            continue
        origins, directions = camera.rays
        seen = query_rays(camera) @ (R_map_base @ camera.T_base_camera[:3, :3]).T
        normal = np.cross(directions, seen)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        between = R_map_base @ (camera.T_base_camera[:3, 3] - own[:3, 3])
        from_pair = origins - pair.T_map_view[:3, 3] - between
        along = normal @ direction
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = (from_pair * normal).sum(axis=1) / along
        is_other = (number != pair.camera) | (np.linalg.norm(from_pair + between, axis=1) > 1e-6)
        found.append(distance[is_other & np.isfinite(distance) & (distance > 0)])
    distances = np.sort(np.concatenate(found))
    return distances[:: -(-len(distances) // DISTANCES) or 1]


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


def sees_two_places(matches: Sequence[CameraMatches]) -> bool:
    """Returns whether matches without depth are with keyframes at two places or more, or of two cameras."""
    seeing = [camera for camera in matches if len(camera)]
    origins = [camera.rays[0] for camera in seeing]
    return len(seeing) > 1 or (len(seeing) == 1 and int(place_numbers(origins[0]).max()) > 0)
