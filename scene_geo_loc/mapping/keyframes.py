"""Which frames of a traversal become keyframes."""

from __future__ import annotations

from scene_geo_loc.geometry.pose import Pose, position_error_m, rotation_error_deg


class KeyframeSelector:
    """Takes a frame when the camera has moved or turned enough since the last keyframe."""

    def __init__(self, distance_m: float, angle_deg: float, last: Pose | None = None) -> None:
        """`last` is the pose of the last keyframe, where a build goes on."""
        self.distance_m = distance_m
        self.angle_deg = angle_deg
        self.last = last

    def is_near(self, T_map_camera: Pose) -> bool:
        """Whether a frame at this pose has moved and turned too little to be a keyframe."""
        if self.last is None:
            return False
        moved = position_error_m(self.last, T_map_camera) >= self.distance_m
        turned = rotation_error_deg(self.last, T_map_camera) >= self.angle_deg
        return not (moved or turned)

    def accept(self, T_map_camera: Pose) -> bool:
        """Whether the frame at this pose is a keyframe; if so, the next ones are measured from it."""
        if self.is_near(T_map_camera):
            return False
        self.last = T_map_camera
        return True
