"""Which frames of a traversal become keyframes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from scene_geo_loc.geometry.pose import Pose, position_error_m, rotation_error_deg

RECENT = 16
"""Keyframes that a frame is compared with.

Of a rig, whose cameras look in several directions, the last one alone would never be near.
"""


class KeyframeSelector:
    """Takes a frame when the camera has moved or turned enough since each of the last keyframes."""

    def __init__(self, distance_m: float, angle_deg: float, recent: Iterable[Pose] = ()) -> None:
        """`recent` are the poses of the last keyframes, where a build goes on."""
        self.distance_m = distance_m
        self.angle_deg = angle_deg
        self._recent = deque(recent, RECENT)

    def is_near(self, T_map_camera: Pose) -> bool:
        """Whether a frame at this pose has moved and turned too little to be a keyframe."""
        return any(
            position_error_m(keyframe, T_map_camera) < self.distance_m
            and rotation_error_deg(keyframe, T_map_camera) < self.angle_deg
            for keyframe in reversed(self._recent)
        )

    def accept(self, T_map_camera: Pose) -> bool:
        """Whether the frame at this pose is a keyframe; if so, the next ones are measured from it."""
        if self.is_near(T_map_camera):
            return False
        self._recent.append(T_map_camera)
        return True
