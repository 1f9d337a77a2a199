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

"""Poses of images between verified fixes, by odometry that is corrected so that both ends fit.

Odometry predicts the pose of an image from the fix before it, and backwards from the fix after it, each
with a covariance that grows on the way (`TrackState`).  The image's pose is the mean of both, weighted by
their covariances: next to a fix it is that of the fix, and halfway each counts half (Fraser and Potter, The
optimum linear smoother as a combination of two optimum linear filters, 1969).  Where the two are farther
apart than their covariances explain, odometry slipped, the robot was carried, or a fix is wrong, and no image
between them gets a pose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.lie import difference, displaced
from scene_geo_loc.geometry.pose import Pose, inverse
from scene_geo_loc.localization.tracking.track_state import TrackState
from scene_geo_loc.localization.tracking.tracker import TrackerSettings, odometry_noise

_LEAST_S = 1e-3
"""Time between two images whose stamps are equal, seconds."""


@dataclass(frozen=True)
class Fix:
    """Verified pose of an image.

    Attributes:
        T_map_camera: the pose.
        covariance: (6, 6) of it, as of `PoseEstimate`.
    """

    T_map_camera: Pose
    covariance: NDArray[np.float64]


@dataclass(frozen=True)
class Waypoint:
    """An image on the way.

    Attributes:
        stamp_ns: its time.
        T_odom_camera: its pose by odometry.
        fix: its verified pose; None where it has none.
    """

    stamp_ns: int
    T_odom_camera: Pose
    fix: Fix | None = None


@dataclass(frozen=True)
class BridgedPose:
    """Pose of an image between fixes.

    Attributes:
        T_map_camera: the pose; None where the fixes around the image disagree.
        position_std_m: largest standard deviation of its position over all directions.
    """

    T_map_camera: Pose | None
    position_std_m: float = np.inf


def bridge(
    way: Sequence[Waypoint], settings: TrackerSettings, *, explores: bool = False
) -> list[BridgedPose | None]:
    """Returns the pose of each image of a way; None for those with no fix after them.

    An image before the first fix has its pose by that fix alone.

    Args:
        way: images in order of time; odometry does not jump between them.
        settings: standard deviations of the odometry, and the gate within which fixes agree.
        explores: whether images after the last fix have a pose as well, by that fix alone.
    """
    forth, starts = _predicted(way, settings)
    back, ends = _predicted(way[::-1], settings)
    back = back[::-1]
    ends = {len(way) - 1 - i for i in ends}
    fixes = [i for i, waypoint in enumerate(way) if waypoint.fix is not None]
    poses: list[BridgedPose | None] = []
    for i, (before, after) in enumerate(zip(forth, back, strict=True)):
        following = next((k for k in fixes if k >= i), None)
        previous = next((k for k in reversed(fixes) if k <= i), None)
        if after is None and explores and before is not None:
            poses.append(_pose_of(before.T_map_base, before.covariance))
        elif after is None:
            poses.append(None)
        elif before is None:
            poses.append(_pose_of(after.T_map_base, after.covariance))
        elif previous != following and (following in starts or previous in ends):
            poses.append(BridgedPose(None))
        else:
            poses.append(_mean(before, after))
    return poses


def _predicted(
    way: Sequence[Waypoint], settings: TrackerSettings
) -> tuple[list[TrackState | None], set[int]]:
    """Returns the state at each image by the fixes up to it, and the fixes that disagree with earlier ones.

    The state begins anew at these.
    """
    state: TrackState | None = None
    states, starts = [], set()
    for i, waypoint in enumerate(way):
        if state is not None:
            motion = inverse(way[i - 1].T_odom_camera) @ waypoint.T_odom_camera
            seconds = max(abs(waypoint.stamp_ns - way[i - 1].stamp_ns) / 1e9, _LEAST_S)
            state = state.predict_odometry(motion, odometry_noise(motion, settings), seconds)
        if waypoint.fix is not None:
            T, covariance = waypoint.fix.T_map_camera, waypoint.fix.covariance
            if state is not None and state.distance(T, covariance) > settings.gate:
                starts.add(i)
                state = None
            state = TrackState.from_estimate(T, covariance) if state is None else state.update(T, covariance)
        states.append(state)
    return states, starts


def _mean(before: TrackState, after: TrackState) -> BridgedPose:
    """Returns the mean of two states weighted by their covariances."""
    P, Q = before.covariance, after.covariance
    gain = np.linalg.solve(P + Q, P).T
    T = displaced(before.T_map_base, gain @ difference(before.T_map_base, after.T_map_base))
    return _pose_of(T, P - gain @ P)


def _pose_of(T_map_camera: Pose, covariance: NDArray[np.float64]) -> BridgedPose:
    position = (covariance[:3, :3] + covariance[:3, :3].T) / 2
    return BridgedPose(T_map_camera, float(np.sqrt(max(np.linalg.eigvalsh(position)[-1], 0.0))))
