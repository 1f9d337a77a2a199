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

"""Sensors of a simulated Oxford RobotCar: arranged about as on the real one, with other numbers.

For the files that describe them see scene_geo_loc.traversals.robotcar.calibration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, from_xyzrpy, inverse, make_pose
from scene_geo_loc.simulation.vehicle.sensors import PushbroomLidar
from scene_geo_loc.traversals.robotcar.calibration import CAMERAS, T_VEHICLE_BASE, CameraKind

STEREO_HEIGHT_M = 1.65
"""Height of the stereo camera above the road in metres; the vehicle's frame is there."""

T_BASE_VEHICLE: Pose = make_pose(T_VEHICLE_BASE[:3, :3], (0.9, 0.0, STEREO_HEIGHT_M))
"""Pose of the vehicle's frame (x forward, y right, z down) in the simulator's base_link on the road."""

EXTRINSICS: dict[str, tuple[float, ...]] = {
    "stereo": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "mono_left": (-0.09, 1.64, 0.28, 0.206, -0.232, 1.235),
    "mono_right": (-0.26, -1.68, 0.32, -0.198, -0.245, -1.265),
    "mono_rear": (-2.05, 0.09, 0.37, -0.012, -0.25, 3.13),
    "lms_front": (1.76, 0.22, 1.04, -0.044, -1.458, 0.035),
    "lms_rear": (-2.58, 0.28, 1.09, -2.84, -1.51, -0.36),
    "ins": (-1.71, 0.12, 1.19, -0.012, 0.04, 0.005),
}
"""x, y, z (metres), roll, pitch, yaw (radians): of a camera T_camera_vehicle, of others T_vehicle_sensor."""

LIDARS = ("lms_front", "lms_rear")

# A camera's frame is x forward, y right, z down.
_T_UNIT_IMAGE = make_pose([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.zeros(3))

_STEREO_FOCAL, _MONO_FOCAL = 0.754, 0.39
"""Focal lengths of the undistorted images by their widths: fields of view of 67 and 104 degrees."""

_STEREO_DISTORTION = (-0.17, 0.04, 0.0006, -0.0004)
_FISHEYE_DISTORTION = (-0.012, 0.003, -0.0008, 0.0001)

DELAYS_US = {
    "stereo/centre": 0,
    "mono_left": 7_300,
    "mono_rear": 19_100,
    "mono_right": 28_700,
    "lms_front": 3_170,
    "lms_rear": 11_430,
}
"""Delay of each sensor after the stereo camera; the sensors are not triggered together."""


@dataclass(frozen=True)
class RobotcarView:
    """A camera of the vehicle.

    Attributes:
        name: its folder in the dataset, such as "stereo/centre".
        kind: names of its files, and its Bayer pattern.
        lens: camera of the raw images, with distortion.
        pinhole: camera of the undistorted images.
        T_base_camera: pose of its optical frame in the simulator's base_link.
    """

    name: str
    kind: CameraKind
    lens: Camera
    pinhole: Camera
    T_base_camera: Pose

    def undistortion(self) -> NDArray[np.float64]:
        """Returns x and y (2, H * W) in the raw image of the pixels of the undistorted image."""
        u, v = np.meshgrid(np.arange(self.pinhole.width), np.arange(self.pinhole.height))
        pixels = np.stack([u.ravel(), v.ravel()], 1)
        return np.ascontiguousarray(self.lens.project(self.pinhole.rays(pixels)).T)


def views(width: int, height: int) -> tuple[RobotcarView, ...]:
    """Returns the four cameras that the papers use.

    Args:
        width, height: size of the stereo camera's images in pixels, even numbers.  Images of the other
            cameras are squares of four fifths of this width, as RobotCar's 1024 pixels are of 1280.
    """
    side = 2 * round(0.4 * width)
    return (
        _view("stereo/centre", *_stereo(width, height)),
        *(_view(name, *_fisheye(side)) for name in ("mono_left", "mono_rear", "mono_right")),
    )


def lidars() -> dict[str, PushbroomLidar]:
    """Returns the two push-broom lidars by name."""
    return {
        name: PushbroomLidar(T_base_lidar=T_BASE_VEHICLE @ from_xyzrpy(np.array(EXTRINSICS[name])))
        for name in LIDARS
    }


def T_base_ins() -> Pose:
    """Returns the pose of the inertial unit in base_link."""
    return np.asarray(T_BASE_VEHICLE @ from_xyzrpy(np.array(EXTRINSICS["ins"])))


def model_text(view: RobotcarView) -> str:
    """Returns the text of a file in `models/`: fx fy cx cy, and T_camera_image."""
    camera = view.pinhole
    lines = [(camera.fx, camera.fy, camera.cx, camera.cy), *_T_UNIT_IMAGE]
    return "".join(" ".join(f"{number:.6f}" for number in line) + "\n" for line in lines)


def _view(name: str, lens: Camera, pinhole: Camera) -> RobotcarView:
    kind = CAMERAS[name]
    T_vehicle_unit = inverse(from_xyzrpy(np.array(EXTRINSICS[kind.unit])))
    return RobotcarView(name, kind, lens, pinhole, T_BASE_VEHICLE @ T_vehicle_unit @ _T_UNIT_IMAGE)


def _stereo(width: int, height: int) -> tuple[Camera, Camera]:
    f = round(_STEREO_FOCAL * width, 6)
    pinhole = Camera(width, height, f, f, 0.503 * width, 0.505 * height)
    return Camera(width, height, f, f, pinhole.cx, pinhole.cy, "plumb_bob", _STEREO_DISTORTION), pinhole


def _fisheye(side: int) -> tuple[Camera, Camera]:
    f = round(_MONO_FOCAL * side, 6)
    pinhole = Camera(side, side, f, f, 0.495 * side, 0.49 * side)
    # The lens has a slightly larger field of view than the undistorted image.
    lens_f = 0.475 * side / float(np.arctan(0.51 * side / f))
    return Camera(
        side, side, lens_f, lens_f, 0.495 * side, 0.49 * side, "equidistant", _FISHEYE_DISTORTION
    ), pinhole
