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

"""Drives whose odometry drifts, in frames of their own."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.pose import Pose, inverse, make_pose
from scene_geo_loc.geometry.rotation import matrix_of_vector

COVARIANCE = np.diag([0.03**2] * 3 + [np.radians(0.2) ** 2] * 3)


def heading(angle: float) -> NDArray[np.float64]:
    return matrix_of_vector(np.array([0.0, 0.0, angle]))


def drifted(truth: NDArray[np.float64], T_drive_map: Pose, yaw_per_step: float) -> NDArray[np.float64]:
    """The same drive in another frame, whose heading drifts from step to step."""
    poses = [T_drive_map @ truth[0]]
    turn = make_pose(heading(yaw_per_step), np.zeros(3))
    for a, b in pairwise(truth):
        poses.append(poses[-1] @ inverse(a) @ b @ turn)
    return np.stack(poses)


T_DRIVE_MAP = make_pose(heading(2.1), (500.0, -80.0, 3.0))
