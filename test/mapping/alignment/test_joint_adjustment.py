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

"""Two halves of a loop, adjusted together: the second closes the loop, so that the drift of both is told."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from drifting_drives import COVARIANCE, T_DRIVE_MAP, drifted, heading
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.depth.point_cloud import POINT_CLOUD
from scene_geo_loc.geometry.pose import inverse, make_pose, position_error_m
from scene_geo_loc.geometry.rotation import matrix_of_vector
from scene_geo_loc.mapping.alignment.joint_adjustment import (
    JointPoses,
    Sighting,
    adjust_together,
    check_movable,
)
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals.sources import Role, SensorSource

OVERLAP = 8


def halves() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """True poses of two drives around a circle, which overlap at both ends."""
    angles = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    places = 40.0 * np.stack([np.sin(angles), -np.cos(angles), 0 * angles], axis=1)
    whole = np.stack([make_pose(heading(a), p) for a, p in zip(angles, places, strict=True)])
    return whole[: 60 + OVERLAP], np.concatenate([whole[60:], whole[:OVERLAP]])


def sighted(
    first: NDArray[np.float64], second: NDArray[np.float64], T_first_map: NDArray[np.float64]
) -> dict[int, Sighting]:
    """Poses of the second drive where it overlaps with the first, in the first's map, which drifts."""
    rng, found = np.random.default_rng(0), {}
    for i, T in enumerate(second):
        errors = position_error_m(first, T)
        k = int(errors.argmin())
        if errors[k] > 1.0:
            continue
        noise = make_pose(matrix_of_vector(rng.normal(0, np.radians(0.1), 3)), rng.normal(0, 0.02, 3))
        found[i] = Sighting(k, T_first_map[k] @ inverse(first[k]) @ T @ noise, COVARIANCE)
    return found


@cache
def adjusted(yaw_deg: float) -> tuple[JointPoses, NDArray[np.float64], NDArray[np.float64]]:
    """Two drives whose headings drift by the same angle from step to step."""
    first, second = halves()
    T_map = drifted(first, np.eye(4), np.radians(yaw_deg))
    drive = drifted(second, T_DRIVE_MAP, np.radians(yaw_deg))
    return (
        adjust_together(drive, T_map, sighted(first, second, T_map)),
        T_map,
        np.concatenate([first, second]),
    )


def errors(T: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances of poses from the truth, moved as a rigid whole."""
    p, q = T[:, :3, 3], truth[:, :3, 3]
    u, _, vt = np.linalg.svd((p - p.mean(axis=0)).T @ (q - q.mean(axis=0)))
    R = vt.T @ np.diag([1, 1, np.linalg.det(vt.T @ u.T)]) @ u.T
    return np.asarray(np.linalg.norm((p - p.mean(axis=0)) @ R.T + q.mean(axis=0) - q, axis=1))


def test_the_drift_of_both_halves_is_told_by_the_loop_that_they_close() -> None:
    joint, T_map, truth = adjusted(yaw_deg=0.2)
    alone = errors(np.concatenate([T_map, joint.aligned.T_map_camera]), truth)
    together = errors(np.concatenate([joint.T_map_cameras, joint.T_drive_cameras]), truth)
    assert np.median(alone) > 1.0
    assert np.median(together) < 0.25 * np.median(alone)
    assert joint.residual_m < 0.05
    assert joint.moved_m > 0.5


def test_the_frame_of_the_map_stays() -> None:
    joint, T_map, _ = adjusted(yaw_deg=0.2)
    moved = joint.T_map_cameras[:, :3, 3] - T_map[:, :3, 3]
    assert np.linalg.norm(moved.mean(axis=0)) < 1e-6


def test_halves_that_do_not_drift_stay_where_they_are() -> None:
    joint, _, truth = adjusted(yaw_deg=0.0)
    assert joint.moved_m < 0.1
    assert errors(np.concatenate([joint.T_map_cameras, joint.T_drive_cameras]), truth).max() < 0.1


def test_the_deviation_counts_that_the_map_is_uncertain_too() -> None:
    joint, _, _ = adjusted(yaw_deg=0.0)
    # 60 steps of 2 m with 0.05 m and 0.15 degrees of random error, on either way to the far side of the loop.
    assert joint.aligned.std_m < joint.std_m < 1.5


def test_maps_that_may_be_surveyed_or_of_several_drives_do_not_move(room_map: Path) -> None:
    opened = ReferenceMap.open(room_map)
    check_movable(opened)
    cloud = SensorSource(Role.LIDAR.value, "street.pcd", POINT_CLOUD)
    opened.info = opened.info.model_copy(update={"sources": [cloud]})
    with pytest.raises(MapError, match="depth from a point cloud"):
        check_movable(opened)
    check_movable(opened, is_surveyed=True)
    drive = opened.info.all_drives[0]
    opened.info = opened.info.model_copy(update={"drives": [drive, drive]})
    with pytest.raises(MapError, match="2 drives"):
        check_movable(opened, is_surveyed=True)
