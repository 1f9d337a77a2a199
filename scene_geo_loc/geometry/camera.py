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

"""Cameras: intrinsics and lens distortion, projection and its inverse."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

DISTORTION_COEFFICIENTS = {
    "none": (0,),
    "plumb_bob": (4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}
"""Distortion models of sensor_msgs/CameraInfo, and the numbers of coefficients that each takes."""
MAX_READOUT_S = 0.2
"""Longest readout of a rolling shutter: an image of a slow sensor at 5 Hz."""


@dataclass(frozen=True)
class Camera:
    """A pinhole or fisheye camera, as sensor_msgs/CameraInfo describes it.

    Pixel centres have integer coordinates: (0, 0) is the centre of the top left pixel.

    Attributes:
        width, height: image size in pixels.
        fx, fy, cx, cy: intrinsics in pixels.
        model: "none", "plumb_bob", "rational_polynomial" or "equidistant" (a fisheye).
        distortion: coefficients in OpenCV's order.
        readout_s: time from the exposure of the first row to that of the last, seconds; 0: a global shutter.
            An image's stamp, and its pose, are those of the first row.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    model: str = "none"
    distortion: tuple[float, ...] = ()
    readout_s: float = 0.0

    def __post_init__(self) -> None:
        counts = DISTORTION_COEFFICIENTS.get(self.model)
        if counts is None:
            raise ValueError(
                f"unknown distortion model {self.model!r}; known models: {', '.join(DISTORTION_COEFFICIENTS)}"
            )
        if len(self.distortion) not in counts:
            raise ValueError(
                f"distortion model {self.model} takes {' or '.join(map(str, counts))} coefficients; "
                f"{len(self.distortion)} are given"
            )
        if not 0 <= self.readout_s <= MAX_READOUT_S:
            raise ValueError(f"the readout time {self.readout_s:g} s is not within 0 to {MAX_READOUT_S:g} s")
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if (
            self.width <= 0
            or self.height <= 0
            or self.fx <= 0
            or self.fy <= 0
            or not np.isfinite(numbers).all()
        ):
            raise ValueError(
                f"image size and focal lengths must be positive and all numbers finite; given: {self}"
            )

    @property
    def K(self) -> NDArray[np.float64]:
        """Intrinsic matrix (3, 3)."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    @property
    def is_distorted(self) -> bool:
        """True where pixels differ from those of an ideal pinhole camera with the same K."""
        return self.model == "equidistant" or any(self.distortion)

    def resized(self, width: int, height: int) -> Camera:
        """Returns the camera of the same image, resized to `width` x `height` pixels."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            width=width,
            height=height,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
        )

    def cropped(self, x: int, y: int, width: int, height: int) -> Camera:
        """Returns the camera of the image cropped to `width` x `height` pixels from (x, y)."""
        readout_s = self.readout_s * (height - 1) / max(self.height - 1, 1)
        return replace(self, width=width, height=height, cx=self.cx - x, cy=self.cy - y, readout_s=readout_s)

    def project(self, points: NDArray) -> NDArray[np.float64]:
        """Projects points (N, 3) in the optical frame to pixels (N, 2); NaN for points not in front."""
        points = np.asarray(points, np.float64)
        front = points[:, 2] > 1e-6
        if len(points) == 0 or not front.all():
            out = np.full((len(points), 2), np.nan)
            if front.any():
                out[front] = self.project(points[front])
            return out
        if not self.is_distorted:
            return points[:, :2] / points[:, 2:] * (self.fx, self.fy) + (self.cx, self.cy)
        lens = cv2.fisheye.projectPoints if self.model == "equidistant" else cv2.projectPoints
        pixels, _ = lens(points[:, None], np.zeros(3), np.zeros(3), self.K, np.array(self.distortion))
        return np.asarray(pixels[:, 0], np.float64)

    def rays(self, pixels: NDArray) -> NDArray[np.float64]:
        """Returns directions (N, 3) with z = 1 through pixels (N, 2), in the optical frame.

        The inverse of `project`: distortion is removed.
        """
        pixels = np.asarray(pixels, np.float64)
        xy: NDArray
        if not self.is_distorted:
            xy = (pixels - (self.cx, self.cy)) / (self.fx, self.fy)
        elif len(pixels) == 0:
            xy = np.zeros((0, 2))
        elif self.model == "equidistant":
            xy = cv2.fisheye.undistortPoints(pixels[:, None], self.K, np.array(self.distortion))[:, 0]
        else:
            criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-9)
            arguments = (pixels[:, None], self.K, np.array(self.distortion))
            if hasattr(cv2, "undistortPointsIter"):  # OpenCV 4; OpenCV 5 has it in undistortPoints
                xy = cv2.undistortPointsIter(*arguments, None, None, criteria)[:, 0]
            else:
                xy = cv2.undistortPoints(*arguments, criteria=criteria)[:, 0]
        return np.concatenate([xy, np.ones((len(xy), 1))], axis=1)

    def back_project(self, pixels: NDArray, depth: NDArray) -> NDArray[np.float64]:
        """Returns points (N, 3) in the optical frame at pixels (N, 2) with depth (N,) in metres.

        Equation 2 of Perspective-n-Learned-Point: p = M^(l,m) K^-1 [l, m, 1].
        """
        return self.rays(pixels) * np.asarray(depth, np.float64)[:, None]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain numbers and strings, for JSON."""
        values = asdict(self)
        if not self.readout_s:
            del values["readout_s"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Camera:
        """Inverse of `to_dict`. Raises ValueError or TypeError where the values are no camera."""
        return cls(**{**values, "distortion": tuple(values.get("distortion", ()))})
