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

"""Poses of the robot's cameras: their mounting, and their motion by odometry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scene_geo_loc.geometry.pose import Pose, from_quaternion, inverse
from scene_geo_loc.geometry.rolling_shutter import ReadoutMotion
from scene_geo_loc.geometry.transform_tree import TransformTree, TransformUnavailable

if TYPE_CHECKING:
    from scene_geo_loc.ros.common.settings import LocalizationNodeSettings

SYNCHRONOUS_NS = 5_000_000
"""Images that are no further apart count as taken at the same time."""


class RobotTransforms:
    """Looks up poses of the robot and its cameras; waits for transforms that are about to arrive.

    Args:
        tree: transforms of the last seconds.
        settings: returns the node's settings, of which some change while it runs.
    """

    def __init__(self, tree: TransformTree, settings: Callable[[], LocalizationNodeSettings]) -> None:
        self.tree = tree
        self._settings = settings

    def base_T_camera(self, camera_frame: str, stamp_ns: int, *, waits: bool = True) -> Pose:
        """Returns the mounting of the first camera, of the parameter or else of TF.

        Raises TransformUnavailable.
        """
        given = self._settings().base_T_camera
        if given:
            return from_quaternion(given[:3], given[3:])
        return self._wait(self._settings().base_frame, camera_frame, stamp_ns, waits=waits)

    def odom_T_base(self, stamp_ns: int, *, waits: bool = True) -> Pose:
        """Returns the pose of the robot by odometry. Raises TransformUnavailable."""
        return self._wait(self._settings().odom_frame, self._settings().base_frame, stamp_ns, waits=waits)

    def odom_T_camera(self, camera_frame: str, stamp_ns: int, *, waits: bool) -> Pose | None:
        """Returns the pose of the first camera by odometry, or None where TF lacks it.

        Args:
            waits: whether to wait for transforms that are about to arrive.
        """
        try:
            T_odom_base = self.odom_T_base(stamp_ns, waits=waits)
            return T_odom_base @ self.base_T_camera(camera_frame, stamp_ns, waits=waits)
        except TransformUnavailable:
            return None

    def readout_motion(
        self, camera_frame: str, stamp_ns: int, readout_s: float, *, is_first: bool = True
    ) -> ReadoutMotion | None:
        """Returns the motion of a camera while its rows are read out, or None where TF lacks odometry.

        Waits for the transforms at the last row.

        Args:
            is_first: False for the other cameras of a rig, whose mounting is always that on TF.
        """
        try:
            if is_first:
                base_T_camera = self.base_T_camera(camera_frame, stamp_ns)
            else:
                base_T_camera = self._wait(self._settings().base_frame, camera_frame, stamp_ns)
            last_ns = stamp_ns + round(readout_s * 1e9)
            first, last = (self.odom_T_base(at_ns) @ base_T_camera for at_ns in (stamp_ns, last_ns))
        except TransformUnavailable:
            return None
        return ReadoutMotion.of(first, last)

    def camera_T_other(self, camera_frame: str, stamp_ns: int, other_frame: str, other_stamp_ns: int) -> Pose:
        """Returns the pose of another camera at its own time, in the first camera at the first one's time.

        The motion of the robot in between is taken from odometry.  Raises TransformUnavailable.
        """
        base_T_other = self._wait(self._settings().base_frame, other_frame, other_stamp_ns)
        if abs(other_stamp_ns - stamp_ns) > SYNCHRONOUS_NS:
            base_T_other = (
                inverse(self.odom_T_base(stamp_ns)) @ self.odom_T_base(other_stamp_ns) @ base_T_other
            )
        return inverse(self.base_T_camera(camera_frame, stamp_ns)) @ base_T_other

    def _wait(self, target: str, source: str, stamp_ns: int, *, waits: bool = True) -> Pose:
        timeout_s = self._settings().transform_timeout if waits else 0.0
        return self.tree.wait(target, source, stamp_ns, timeout_s)
