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

"""Calibration of the Oxford RobotCar: mountings of the sensors, intrinsics, and undistortion of raw images.

The vehicle's frame is that of the stereo camera: x forward, y right, z down.  A file of `extrinsics/`
holds x, y, z (metres), roll, pitch and yaw (radians), applied as R = Rz(yaw) Ry(pitch) Rx(roll): the
pose of a lidar or of the inertial unit in the vehicle, but the vehicle's pose in a camera.
A camera's frame is also x forward, y right, z down; its file in `models/` has the focal lengths and
the principal point, and the 4x4 pose of the image frame (x right, y down, z forward) of one lens in it.
A lookup table has the position in the raw image of each pixel of the undistorted image: float64, first
x and then y of all pixels, row by row, from 0 at the centre of the top left pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import Pose, from_xyzrpy, inverse, make_pose
from scene_geo_loc.traversals.folder import pose_of, read_numbers
from scene_geo_loc.traversals.messages.images import decode_image

T_VEHICLE_BASE = make_pose(np.diag([1.0, -1.0, -1.0]), np.zeros(3))
"""base_link has the vehicle's origin, with x forward, y left and z up (REP-103)."""


@dataclass(frozen=True)
class CameraKind:
    """Properties of one of the cameras.

    Attributes:
        unit: name of its extrinsics and of its `.timestamps`.
        model: name of its files in `models/`.
        bayer: colours of the first four pixels of a raw image.
        turn_deg: counter-clockwise rotation of its images, in degrees.
    """

    unit: str
    model: str
    bayer: str
    turn_deg: float = 0.0


CAMERAS = {
    "stereo/centre": CameraKind("stereo", "stereo_narrow_left", "gbrg"),
    "stereo/left": CameraKind("stereo", "stereo_wide_left", "gbrg"),
    "stereo/right": CameraKind("stereo", "stereo_wide_right", "gbrg"),
    # Mounted askew: the authors rotated their images by these angles and kept the inner part.
    "mono_left": CameraKind("mono_left", "mono_left", "rggb", 11.0),
    "mono_right": CameraKind("mono_right", "mono_right", "rggb", -11.4),
    "mono_rear": CameraKind("mono_rear", "mono_rear", "rggb"),
}

INNER_PART = 0.72
"""Sides of the part that the authors kept of a rotated image, as a share of its bounding box."""

_ADVICE = "copy it there from the dataset's SDK (github.com/ori-mrg/robotcar-dataset-sdk)"


@dataclass(frozen=True)
class ImageMaker:
    """Converts raw images to undistorted RGB images.

    Attributes:
        bayer: colours of the first four pixels of a raw image.
        width, height: size of raw images in pixels.
        maps: positions of the undistorted image's pixels in the raw image, of `cv2.convertMaps`.
    """

    bayer: str
    width: int
    height: int
    maps: tuple[NDArray[np.int16], NDArray[np.uint16]]

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """Reads a raw image as undistorted (H, W, 3) uint8 RGB. Raises TraversalError."""
        raw = read_raw(path)
        if raw.shape != (self.height, self.width):
            raise TraversalError(
                f"{path}: {raw.shape[1]} x {raw.shape[0]} pixels; others have {self.width} x {self.height}."
            )
        rgb = decode_image(f"bayer_{self.bayer}8", self.width, self.height, self.width, False, raw)
        return np.asarray(
            cv2.remap(rgb, *self.maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.uint8
        )


@dataclass(frozen=True)
class CalibratedCamera:
    """A camera of the vehicle, for its undistorted images.

    Attributes:
        camera: pinhole camera without distortion.
        T_vehicle_camera: pose of its optical frame in the vehicle.
        read_image: reads a raw image as an undistorted one.
    """

    camera: Camera
    T_vehicle_camera: Pose
    read_image: ImageMaker


def read_raw(path: Path) -> NDArray[np.uint8]:
    """Reads a raw image, (H, W) uint8 with a Bayer pattern. Raises TraversalError."""
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if raw is None:
        raise TraversalError(f"{path}: the image is missing or damaged.")
    if raw.ndim != 2 or raw.dtype != np.uint8:
        raise TraversalError(f"{path}: a raw image must be grey with 8 bits, with a Bayer pattern.")
    return np.asarray(raw, np.uint8)


@dataclass(frozen=True)
class Calibration:
    """The folders `extrinsics/` and `models/`, each in the run's folder or beside it.

    Attributes:
        run: folder of the run.
    """

    run: Path

    def extrinsics(self, sensor: str) -> Pose:
        """Returns the pose of a lidar or the inertial unit in the vehicle, or the vehicle's pose in a camera.

        Raises TraversalError.
        """
        path = self._required("extrinsics", f"{sensor}.txt")
        numbers = read_numbers(path, 6)
        if len(numbers) != 1 or not np.isfinite(numbers).all():
            raise TraversalError(f"{path}: expected one line `x y z roll pitch yaw`; {_ADVICE}.")
        return from_xyzrpy(numbers[0])

    def has(self, sensor: str) -> bool:
        """Returns whether there are extrinsics of a sensor."""
        return self._find("extrinsics", f"{sensor}.txt") is not None

    def has_camera(self, name: str) -> bool:
        """Returns whether the mounting of a camera of `CAMERAS` is known."""
        kind = CAMERAS[name]
        return self.has(kind.unit) and self._find("models", f"{kind.model}.txt") is not None

    def T_vehicle_camera(self, name: str) -> Pose:
        """Returns the pose of the optical frame of a camera's images in the vehicle.

        Args:
            name: one of `CAMERAS`.

        Raises:
            TraversalError: files are missing or damaged.
        """
        kind = CAMERAS[name]
        _, T_unit_image = self._model(kind)
        turn = make_pose(Rotation.from_euler("z", kind.turn_deg, degrees=True).as_matrix(), np.zeros(3))
        return inverse(self.extrinsics(kind.unit)) @ T_unit_image @ turn

    def camera(self, name: str, width: int, height: int) -> CalibratedCamera:
        """Returns a camera whose raw images have this size.

        Args:
            name: one of `CAMERAS`.

        Raises:
            TraversalError: files are missing or damaged, or the lookup table has another size.
        """
        kind = CAMERAS[name]
        (fx, fy, cx, cy), _ = self._model(kind)
        path = self._required("models", f"{kind.model}.txt")
        try:
            camera = Camera(width, height, fx, fy, cx, cy)
        except ValueError as error:
            raise TraversalError(f"{path}: invalid intrinsics ({error}).") from error
        lut = self._lut(kind.model, width, height)
        if kind.turn_deg:
            if fx != fy:
                raise TraversalError(
                    f"{path}: images of {name} are rotated, so fx must equal fy; given {fx:g} and {fy:g}."
                )
            camera, lut = _turned(camera, lut, np.radians(kind.turn_deg))
        maps = cv2.convertMaps(lut[0].astype(np.float32), lut[1].astype(np.float32), cv2.CV_16SC2)
        maker = ImageMaker(kind.bayer, width, height, maps)
        return CalibratedCamera(camera, self.T_vehicle_camera(name), maker)

    def _model(self, kind: CameraKind) -> tuple[tuple[float, float, float, float], Pose]:
        """Returns fx, fy, cx, cy, and the pose of the lens's image frame in the camera's frame."""
        path = self._required("models", f"{kind.model}.txt")
        numbers = read_numbers(path, 4)
        T_unit_image = pose_of(numbers[1:]) if len(numbers) == 5 else None
        if T_unit_image is None:
            raise TraversalError(f"{path}: expected `fx fy cx cy` and a 4x4 pose; {_ADVICE}.")
        fx, fy, cx, cy = (float(number) for number in numbers[0])
        return (fx, fy, cx, cy), T_unit_image

    def _lut(self, model: str, width: int, height: int) -> NDArray[np.float64]:
        """Returns the positions x, y (2, H, W) in the raw image of the undistorted image's pixels."""
        path = self._required("models", f"{model}_distortion_lut.bin")
        lut = np.fromfile(path, "<f8")
        if lut.size != 2 * width * height:
            raise TraversalError(
                f"{path}: the lookup table has {lut.size // 2} pixels, images {width} x {height}; {_ADVICE}."
            )
        return lut.reshape(2, height, width)

    def _required(self, folder: str, name: str) -> Path:
        path = self._find(folder, name)
        if path is None:
            raise TraversalError(f"{self.run}: {folder}/{name} is neither here nor beside it; {_ADVICE}.")
        return path

    def _find(self, folder: str, name: str) -> Path | None:
        places = (self.run / folder / name, self.run.absolute().parent / folder / name)
        return next((path for path in places if path.is_file()), None)


def _turned(camera: Camera, lut: NDArray[np.float64], angle: float) -> tuple[Camera, NDArray[np.float64]]:
    """Returns the camera and lookup table of the inner part of the image rotated counter-clockwise.

    Rotating the image about its centre rotates the camera about its optical axis and moves the
    principal point.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])  # y is down
    box = np.abs(turn) @ (camera.width, camera.height)
    width, height = (int(side) for side in np.floor(INNER_PART * box))
    centre = np.array([camera.width - 1, camera.height - 1]) / 2
    new_centre = np.array([width - 1, height - 1]) / 2
    cx, cy = new_centre + turn @ (np.array([camera.cx, camera.cy]) - centre)
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height))).reshape(2, -1)
    x, y = turn.T @ (pixels - new_centre[:, None]) + centre[:, None]
    new_lut = np.stack(
        [map_coordinates(part, (y, x), order=1, cval=-10.0).reshape(height, width) for part in lut]
    )
    return Camera(width, height, camera.fx, camera.fy, float(cx), float(cy)), new_lut
