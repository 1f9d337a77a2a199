"""Calibration of the Oxford RobotCar: where its sensors are, its cameras, and what makes images of raw ones.

The vehicle's frame is that of the stereo camera: x forward, y right, z down.  A file of `extrinsics/`
holds x, y, z (metres), roll, pitch and yaw (radians), applied as R = Rz(yaw) Ry(pitch) Rx(roll): of a
lidar and of the inertial unit their pose in the vehicle, of a camera the vehicle's pose in the camera.
A camera's frame is also x forward, y right, z down; its file in `models/` has the focal lengths and
the principal point, and the 4x4 pose of the image frame (x right, y down, z forward) of one lens in it.
A look-up table says where in the raw image a pixel of the undistorted image is: float64, first x and
then y of all pixels, row by row, from 0 at the centre of the top left pixel.
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
from scene_geo_loc.geometry.pose import Pose, inverse, make_pose
from scene_geo_loc.traversals.folder import pose_of, read_numbers
from scene_geo_loc.traversals.messages.images import decode_image

T_VEHICLE_BASE = make_pose(np.diag([1.0, -1.0, -1.0]), np.zeros(3))
"""base_link has the vehicle's origin, but x forward, y left and z up (REP-103)."""


@dataclass(frozen=True)
class CameraKind:
    """One of the cameras.

    Attributes:
        unit: the camera whose extrinsics and `.timestamps` it has.
        model: the name of its files in `models/`.
        bayer: the colours of the first four pixels of a raw image.
        turn_deg: by how much images are turned, counter-clockwise.
    """

    unit: str
    model: str
    bayer: str
    turn_deg: float = 0.0


CAMERAS = {
    "stereo/centre": CameraKind("stereo", "stereo_narrow_left", "gbrg"),
    "stereo/left": CameraKind("stereo", "stereo_wide_left", "gbrg"),
    "stereo/right": CameraKind("stereo", "stereo_wide_right", "gbrg"),
    # Mounted askew: the authors turned their images by these angles and kept the inner part.
    "mono_left": CameraKind("mono_left", "mono_left", "rggb", 11.0),
    "mono_right": CameraKind("mono_right", "mono_right", "rggb", -11.4),
    "mono_rear": CameraKind("mono_rear", "mono_rear", "rggb"),
}

INNER_PART = 0.72
"""The sides of what the authors kept of a turned image, as a share of the turned image's bounding box."""

_ADVICE = "copy it there from the dataset's SDK (github.com/ori-mrg/robotcar-dataset-sdk)"


@dataclass(frozen=True)
class ImageMaker:
    """Makes undistorted RGB images of raw ones.

    Attributes:
        bayer: the colours of the first four pixels of a raw image.
        width, height: the raw image's size.
        maps: where the pixels of the image are in the raw one, as `cv2.convertMaps` gives it.
    """

    bayer: str
    width: int
    height: int
    maps: tuple[NDArray[np.int16], NDArray[np.uint16]]

    def __call__(self, path: Path) -> NDArray[np.uint8]:
        """An (H, W, 3) uint8 RGB image from a raw image's file. Raises TraversalError."""
        raw = read_raw(path)
        if raw.shape != (self.height, self.width):
            raise TraversalError(
                f"{path}: {raw.shape[1]} x {raw.shape[0]} pixels, and others {self.width} x {self.height}."
            )
        rgb = decode_image(f"bayer_{self.bayer}8", self.width, self.height, self.width, False, raw)
        return np.asarray(
            cv2.remap(rgb, *self.maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.uint8
        )


@dataclass(frozen=True)
class CalibratedCamera:
    """A camera of the vehicle, as its undistorted images show it.

    Attributes:
        camera: a pinhole without distortion.
        T_vehicle_camera: the pose of its optical frame in the vehicle.
        read_image: makes such images of raw ones.
    """

    camera: Camera
    T_vehicle_camera: Pose
    read_image: ImageMaker


def read_raw(path: Path) -> NDArray[np.uint8]:
    """A raw image, (H, W) uint8 with the colours in a Bayer pattern. Raises TraversalError."""
    raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if raw is None:
        raise TraversalError(f"{path}: the image is missing or damaged.")
    if raw.ndim != 2 or raw.dtype != np.uint8:
        raise TraversalError(
            f"{path}: a raw image should be grey with 8 bits, its colours in a Bayer pattern."
        )
    return np.asarray(raw, np.uint8)


def se3(xyzrpy: NDArray[np.float64]) -> Pose:
    """The pose of x, y, z, roll, pitch and yaw (6,), or poses (N, 4, 4) of rows (N, 6)."""
    xyzrpy = np.asarray(xyzrpy, np.float64)
    T = np.zeros((*xyzrpy.shape[:-1], 4, 4))
    T[..., :3, :3] = Rotation.from_euler("ZYX", xyzrpy[..., :2:-1]).as_matrix()
    T[..., :3, 3] = xyzrpy[..., :3]
    T[..., 3, 3] = 1.0
    return T


@dataclass(frozen=True)
class Calibration:
    """The folders `extrinsics/` and `models/`, each in the run's folder or beside it.

    Attributes:
        run: the run's folder.
    """

    run: Path

    def extrinsics(self, sensor: str) -> Pose:
        """The pose of a lidar or of the inertial unit in the vehicle; of a camera, the vehicle's pose in it.

        Raises TraversalError.
        """
        path = self._required("extrinsics", f"{sensor}.txt")
        numbers = read_numbers(path, 6)
        if len(numbers) != 1 or not np.isfinite(numbers).all():
            raise TraversalError(f"{path}: not x y z roll pitch yaw in one line; {_ADVICE}.")
        return se3(numbers[0])

    def has(self, sensor: str) -> bool:
        """Whether there are extrinsics of a sensor."""
        return self._find("extrinsics", f"{sensor}.txt") is not None

    def has_camera(self, name: str) -> bool:
        """Whether it is known where a camera of `CAMERAS` is."""
        kind = CAMERAS[name]
        return self.has(kind.unit) and self._find("models", f"{kind.model}.txt") is not None

    def T_vehicle_camera(self, name: str) -> Pose:
        """The pose of the optical frame of a camera's images in the vehicle.

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
        """A camera whose raw images have this size.

        Args:
            name: one of `CAMERAS`.

        Raises:
            TraversalError: files are missing or damaged, or the look-up table is of another size.
        """
        kind = CAMERAS[name]
        (fx, fy, cx, cy), _ = self._model(kind)
        path = self._required("models", f"{kind.model}.txt")
        try:
            camera = Camera(width, height, fx, fy, cx, cy)
        except ValueError as error:
            raise TraversalError(f"{path}: not the intrinsics of a camera ({error}).") from error
        lut = self._lut(kind.model, width, height)
        if kind.turn_deg:
            if fx != fy:
                raise TraversalError(f"{path}: images of {name} are turned, so that fx has to equal fy.")
            camera, lut = _turned(camera, lut, np.radians(kind.turn_deg))
        maps = cv2.convertMaps(lut[0].astype(np.float32), lut[1].astype(np.float32), cv2.CV_16SC2)
        maker = ImageMaker(kind.bayer, width, height, maps)
        return CalibratedCamera(camera, self.T_vehicle_camera(name), maker)

    def _model(self, kind: CameraKind) -> tuple[tuple[float, float, float, float], Pose]:
        """fx, fy, cx, cy, and the pose of the lens's image frame in the camera's frame."""
        path = self._required("models", f"{kind.model}.txt")
        numbers = read_numbers(path, 4)
        T_unit_image = pose_of(numbers[1:]) if len(numbers) == 5 else None
        if T_unit_image is None:
            raise TraversalError(f"{path}: not fx fy cx cy and a 4x4 pose; {_ADVICE}.")
        fx, fy, cx, cy = (float(number) for number in numbers[0])
        return (fx, fy, cx, cy), T_unit_image

    def _lut(self, model: str, width: int, height: int) -> NDArray[np.float64]:
        """Where in the raw image, x and y from 0, the pixels of the undistorted one are (2, H, W)."""
        path = self._required("models", f"{model}_distortion_lut.bin")
        lut = np.fromfile(path, "<f8")
        if lut.size != 2 * width * height:
            raise TraversalError(
                f"{path}: a look-up table of {lut.size // 2} pixels for images of {width} x {height} pixels; "
                f"{_ADVICE}."
            )
        return lut.reshape(2, height, width)

    def _required(self, folder: str, name: str) -> Path:
        path = self._find(folder, name)
        if path is None:
            raise TraversalError(f"{self.run}: there is no {folder}/{name} here or beside it; {_ADVICE}.")
        return path

    def _find(self, folder: str, name: str) -> Path | None:
        places = (self.run / folder / name, self.run.absolute().parent / folder / name)
        return next((path for path in places if path.is_file()), None)


def _turned(camera: Camera, lut: NDArray[np.float64], angle: float) -> tuple[Camera, NDArray[np.float64]]:
    """The camera and look-up table of the inner part of the image turned counter-clockwise.

    To turn the image about its centre is to turn the camera about its optical axis, and to move
    the principal point.
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
