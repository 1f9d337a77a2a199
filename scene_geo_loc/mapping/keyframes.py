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

"""Selection of keyframes: the frames of a traversal that the map keeps."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

from scene_geo_loc.geometry.pose import Pose, position_error_m, rotation_error_deg

RECENT = 16
"""Number of last keyframes that a frame is compared with.

The cameras of a rig look in several directions, so that the last keyframe alone would never be near.
"""


class KeyframeSelector:
    """Accepts a frame when the camera has moved or turned enough since each of the last keyframes.

    Attributes:
        distance_m: least distance between keyframes, metres.
        angle_deg: least angle between keyframes, degrees.
    """

    def __init__(self, distance_m: float, angle_deg: float, recent: Iterable[Pose] = ()) -> None:
        """Starts after the poses `recent` of the last keyframes of a build that is resumed."""
        self.distance_m = distance_m
        self.angle_deg = angle_deg
        self._recent = deque(recent, RECENT)

    def is_near(self, T_map_camera: Pose, last: int = RECENT) -> bool:
        """Returns whether a pose is too near to one of the `last` keyframes."""
        return any(
            position_error_m(keyframe, T_map_camera) < self.distance_m
            and rotation_error_deg(keyframe, T_map_camera) < self.angle_deg
            for keyframe in islice(reversed(self._recent), last)
        )

    def stays_near(self, T_map_camera: Pose) -> bool:
        """Returns whether a pose is too near, and is so still when half of `RECENT` keyframes are added."""
        return self.is_near(T_map_camera, RECENT // 2)

    def accept(self, T_map_camera: Pose) -> bool:
        """Returns whether the frame at this pose is a keyframe, and remembers it if so."""
        if self.is_near(T_map_camera):
            return False
        self._recent.append(T_map_camera)
        return True
