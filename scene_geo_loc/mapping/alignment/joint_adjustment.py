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

"""Adjusts the poses of two drives together, of which one was localized in the map of the other.

`pose_graph` keeps the map as it is, so that the drive takes all of the drift of both.  Two halves of a loop
that meet at both ends close it, and tell the drift of the first half as well.  Here both may move: the steps
of both drives, and each localized pose relative to a keyframe of the map next to it.

Only motions between poses are measured, so the first pose is held, and the result is moved as a rigid whole
to where the map fits its old poses best: the frame of the map stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu
from scipy.spatial.transform import Rotation

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.depth.point_cloud import POINT_CLOUD
from scene_geo_loc.geometry.lie import displaced
from scene_geo_loc.geometry.pose import Pose, inverse, make_pose
from scene_geo_loc.mapping.alignment.pose_graph import (
    AlignedPoses,
    Steps,
    align_poses,
    assembled,
    between,
    largest_std,
    root_of,
)
from scene_geo_loc.mapping.reference_map import ReferenceMap

_ITERATIONS = 50
_CONVERGED = 1e-6
_HELD = 1e6
"""Inverse of the standard deviation of the pose that is held, metres and radians."""


@dataclass(frozen=True)
class Sighting:
    """A pose of a drive that was localized by a keyframe of a map.

    Attributes:
        keyframe: a keyframe near it, which its pose is measured from.
        T_map_camera: the pose (4, 4) in the map as it was.
        covariance: (6, 6) of it.
    """

    keyframe: int
    T_map_camera: Pose
    covariance: NDArray[np.float64]


@dataclass(frozen=True)
class JointPoses:
    """Poses of a drive and of the keyframes of a map, adjusted together.

    Attributes:
        aligned: the drive in the map as it was.
        T_drive_cameras: (N, 4, 4) poses of the drive.
        T_map_cameras: (M, 4, 4) poses of the keyframes of the map.
        residual_m, residual_deg: medians of the differences of localized poses from the adjusted ones.
        moved_m: largest distance that a keyframe of the map moved by.
        std_m: largest standard deviation of a position relative to the first keyframe of the map.
    """

    aligned: AlignedPoses
    T_drive_cameras: NDArray[np.float64]
    T_map_cameras: NDArray[np.float64]
    residual_m: float
    residual_deg: float
    moved_m: float
    std_m: float

    def __str__(self) -> str:
        return (
            f"adjusted together, localized poses are {self.residual_m:.3f} m and {self.residual_deg:.2f}° "
            f"off (median); keyframes of the target moved by up to {self.moved_m:.2f} m; standard deviation "
            f"of a position at most {self.std_m:.3f} m relative to its first keyframe"
        )


@dataclass(frozen=True)
class _Edge:
    """Motion from one pose to another, and the matrix that makes its difference one of unit variance."""

    first: int
    second: int
    motion: Pose
    root: NDArray[np.float64]


def check_movable(reference_map: ReferenceMap, *, is_surveyed: bool = False) -> None:
    """Raises MapError unless the keyframes of a map may move together with a drive.

    Args:
        reference_map: the map.
        is_surveyed: whether it may move although it has a place on the Earth that was not fitted to it, poses
            by geo-tags, or depth from a point cloud, which do not move with it.
    """
    info = reference_map.info
    drives = info.all_drives
    if len(drives) > 1:
        raise MapError(
            f"{reference_map.path} has keyframes of {len(drives)} drives, whose steps do not hang together: "
            "split it, and adjust the map of one drive."
        )
    reasons = [
        reason
        for reason, applies in (
            # A datum that was fitted to the poses of the map says nothing against these.
            ("a place on the Earth", info.georeference is not None and info.georeference.fit is None),
            ("poses by geo-tags", info.geo_tags is not None),
            ("depth from a point cloud", any(source.kind == POINT_CLOUD for source in info.sources)),
        )
        if applies
    ]
    if reasons and not is_surveyed:
        raise MapError(
            f"{reference_map.path} has {' and '.join(reasons)}, so its poses may be surveyed: leave it where "
            "it is, or say that it may move."
        )


def adjust_together(
    T_drive_camera: NDArray[np.float64],
    T_map_camera: NDArray[np.float64],
    sightings: Mapping[int, Sighting],
) -> JointPoses:
    """Returns the poses of a drive and of a map in which some of its images were localized.

    Args:
        T_drive_camera: (N, 4, 4) of the drive, in its own frame, in order of time.
        T_map_camera: (M, 4, 4) of the keyframes of the map, which are of one drive, in order of time.
        sightings: by the number of the image of the drive.

    Raises MapError where too few localized poses agree with each other.
    """
    aligned = align_poses(
        T_drive_camera, {i: (seen.T_map_camera, seen.covariance) for i, seen in sightings.items()}
    )
    good = aligned.measured[~aligned.is_outlier].tolist()
    first_of_drive = len(T_map_camera)
    edges = _steps(T_map_camera, 0, (1.0, 1.0))
    edges += _steps(T_drive_camera, first_of_drive, aligned.step_factors)
    seen = [_sighted(sightings[i], T_map_camera, first_of_drive + i) for i in good]
    poses = np.concatenate([T_map_camera, aligned.T_map_camera])
    for _ in range(_ITERATIONS):
        normal, gradient = _equations(poses, edges, seen)
        update = splu(normal).solve(-gradient).reshape(-1, 6)
        poses = np.stack([displaced(T, step) for T, step in zip(poses, update, strict=True)])
        if np.abs(update).max() < _CONVERGED:
            break
    else:
        raise MapError(
            f"The poses of both maps did not settle in {_ITERATIONS} steps: align without the target."
        )
    apart = np.stack([between(poses[e.first], poses[e.second], e.motion)[0] for e in seen])
    std_m = largest_std(_equations(poses, edges, seen)[0])
    poses = _fitted(poses[:first_of_drive], T_map_camera) @ poses
    moved = poses[:first_of_drive, :3, 3] - T_map_camera[:, :3, 3]
    return JointPoses(
        aligned=aligned,
        T_drive_cameras=poses[first_of_drive:],
        T_map_cameras=poses[:first_of_drive],
        residual_m=float(np.median(np.linalg.norm(apart[:, :3], axis=1))),
        residual_deg=float(np.degrees(np.median(np.linalg.norm(apart[:, 3:], axis=1)))),
        moved_m=float(np.linalg.norm(moved, axis=1).max()),
        std_m=std_m,
    )


def _steps(T: NDArray[np.float64], first: int, factors: tuple[float, float]) -> list[_Edge]:
    """Returns the steps between consecutive poses, the first of which has a number.

    Args:
        factors: of the standard deviations of position and rotation.
    """
    steps = Steps(T)
    weights = steps.weights / np.repeat(factors, 3)
    return [
        _Edge(first + i, first + i + 1, motion, np.diag(row))
        for i, (motion, row) in enumerate(zip(steps.motions, weights, strict=True))
    ]


def _sighted(seen: Sighting, T_map_camera: NDArray[np.float64], number: int) -> _Edge:
    """Returns the motion from a keyframe of the map to a pose that was localized by it."""
    T_keyframe = T_map_camera[seen.keyframe]
    # The covariance is along the axes of the map, and a difference along those of the two poses.
    axes = np.zeros((6, 6))
    axes[:3, :3], axes[3:, 3:] = T_keyframe[:3, :3].T, seen.T_map_camera[:3, :3].T
    root = root_of(axes @ seen.covariance @ axes.T)
    return _Edge(seen.keyframe, number, inverse(T_keyframe) @ seen.T_map_camera, root)


def _equations(
    poses: NDArray[np.float64], steps: list[_Edge], seen: list[_Edge]
) -> tuple[coo_array, NDArray[np.float64]]:
    """Returns the normal matrix (6 N, 6 N) and the gradient (6 N,) for small motions of all poses."""
    blocks: list[tuple[int, int, NDArray[np.float64]]] = [(0, 0, _HELD**2 * np.eye(6))]
    gradient = np.zeros(6 * len(poses))
    for edge in (*steps, *seen):
        residual, *derivatives = between(poses[edge.first], poses[edge.second], edge.motion)
        whitened = [edge.root @ derivative for derivative in derivatives]
        at = (edge.first, edge.second)
        for row, J_row in zip(at, whitened, strict=True):
            gradient[6 * row : 6 * row + 6] += J_row.T @ edge.root @ residual
            blocks += [(row, column, J_row.T @ J) for column, J in zip(at, whitened, strict=True)]
    return assembled(blocks, len(poses)), gradient


def _fitted(T: NDArray[np.float64], T_wanted: NDArray[np.float64]) -> Pose:
    """Returns the rigid motion (4, 4) of poses to where they fit others best, in position and direction."""
    centre, wanted = T[:, :3, 3].mean(axis=0), T_wanted[:, :3, 3].mean(axis=0)

    def vectors(poses: NDArray[np.float64], about: NDArray[np.float64]) -> NDArray[np.float64]:
        # The axes of the cameras, a metre long, tell the turn about a straight line.
        axes = np.swapaxes(poses[:, :3, :3], 1, 2).reshape(-1, 3)
        return np.concatenate([poses[:, :3, 3] - about, axes])

    R = Rotation.align_vectors(vectors(T_wanted, wanted), vectors(T, centre))[0].as_matrix()
    return make_pose(R, wanted - R @ centre)
